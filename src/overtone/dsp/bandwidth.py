"""Where a recording's real band ends, whatever its sample rate says: the estimator.

The long-term spectrum of the loud frames is scored against every hypothesis of
:mod:`overtone.dsp.bandwidth_model`, "low-passed at f, this steep, down to that floor". The scores
give a posterior over the cutoff, and from it come verdict, cutoff and confidence.

A steep edge leaves no doubt. A gentle one (Butterworth order 4) can look like a dull voice; then
the posterior is wide, and the answer leans low or is "unsure".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.dsp.bandwidth_model import (
    BANDS_PER_OCTAVE,
    DYNAMIC_RANGE_DB,
    LOWEST_CUTOFF_HZ,
    USUAL_QUANTILE,
    TransitionBand,
    band_centres,
    build_hypotheses,
)
from overtone.dsp.cliffs import EDGE_OF_CLIFF, GAP_BANDS, find_cliffs, is_flat, steepness_db
from overtone.dsp.images import MirrorMeter
from overtone.dsp.lines import ENOUGH_FRAMES, find_lines, without
from overtone.dsp.stft import frames, hann
from overtone.errors import InvalidInputError

Verdict = Literal["band-limited", "full band", "unsure"]
Floats = NDArray[np.float64]

# Analysis.
FRAME_S, FRAME_MULTIPLE = 2048 / 48000, 64
"""Hann frame, about as long at every rate, so that spectra compare; a multiple for fast FFTs."""
BATCH_FRAMES = 64
ENOUGH_LOUD_S = 30.0
"""Seconds of loud frames after which the estimator has enough and stops."""
MIN_LOUD_S, MIN_FRAMES = 0.25, 4
"""What the posterior needs, and a cliff."""
VIEWS_DB = ((0.0, 14.0), (14.0, 40.0))
"""Loud frames, by how far they lie under the loudest. In speech the first view holds vowels, the
second fricatives, which carry the high band: two spectra that went through the same filter."""
QUIETEST_DBFS, CLASS_DB = -120.0, 2.0
COMPRESSION = 0.2
"""Band powers are averaged raised to this power, as loudness is: between a mean of powers, which
a few frames rule, and a mean of dB, which the empty frames of a lossy codec rule."""

LASTING = 0.25
"""A line lasts if it was in this part of the batches."""
NOTHING_ELSE = 1e-8
"""A frame of so little besides lines, of its power, has nothing else."""

# The decision.
LOWEST_CLIFF_HZ = 1000.0
CLIFFS_DB: dict[Verdict, tuple[float, float]] = {
    "unsure": (22.0, 0.0),
    "full band": (24.0, 0.0),
    "band-limited": (34.0, 16.0),
}
"""So high must a cliff be to overrule the posterior; and above a white floor, where it is"""
FLAT_CLIFFS_DB = ((GAP_BANDS, 13.0), (2 * GAP_BANDS, 15.0))
"""so high, over so many bands, in any case,"""
DITHER_CLIFF_DB, DITHER_DB = 9.0, (-6.5, 1.5)
"""but for 16-bit dither, within that range of it: rounding without it is the softest."""
MIRROR_EDGE, MIRROR_CONFIDENCE = 0.96, 0.95
"""Recordings end a little below the mirror that their images are made by."""
LOWER, HIGHER = 0.87, 1.12
"""A cliff at such a part of the posterior's cutoff is the same, which it knows better."""
ALLOWED = 0.18
"""It must not rule out a cliff, which else is the end of a gentle slope: so probable must an edge
at EDGE_NEAR of the cliff or above be, of all edges."""
EDGE_NEAR = 0.93
STEEP_DB = 11.0
"""Where it is undecided, besides, a cliff is steeper than a gentle slope."""
CERTAIN = 0.95
"""If it is so certain of a cutoff within the cliff's fall, that counts as much as the edge."""
FULL_BAND_RATIO = 0.97
"""An edge above this part of the Nyquist frequency is a full band."""
RISK_QUANTILE, TOO_HIGH = 0.02, 1.05
"""The cutoff must not be TOO_HIGH times the truth with more than this probability: too high makes
a network take filtered-out bins for content, too low only gives it more to predict."""
NEAR = (0.8, 1.35)
SPREAD = (0.1, 0.9)
SURE = 0.6
WORST_FIT = 4.0
DITHER_DBFS = -96.3
"""Power of a 16-bit file's dither: a band no stronger than that is empty,"""
AUDIBLE_RANGE_DB = (60.0, 75.0)
"""if it also lies the first of these below the strongest; beyond the second it always is."""


@dataclass(frozen=True)
class CutoffEstimate:
    """What was found: see :func:`estimate_cutoff`.

    ``cutoff_hz`` is where the real band ends when ``verdict`` is "band-limited", the Nyquist
    frequency when it is "full band", and None when it is "unsure". ``confidence`` is the
    probability (0..1) of the answer given: of a full band, or of a cutoff near ``cutoff_hz``.
    ``transition`` is the low-pass's transition band as far as it is known, as ``(Hz, dB down)``,
    ascending; it ends where too little of the recording is left, at ``usable_edge_hz``.
    ``lines_hz`` are steady tones such as whistles, pilots and hum, which say nothing about the
    band. Where the verdict is "unsure", ``seen`` says what was seen instead, and ``guess_hz`` is
    the best guess, None where there is nothing to guess from. ``mirror_hz`` is where images of the
    band begin, if there are any.
    """

    verdict: Verdict
    cutoff_hz: float | None
    confidence: float
    transition: TransitionBand = ()
    lines_hz: tuple[float, ...] = ()
    guess_hz: float | None = None
    seen: str = ""
    mirror_hz: float | None = None

    @property
    def usable_edge_hz(self) -> float | None:
        """Up to where the recording holds something of use; None without a cutoff."""
        return self.transition[-1][0] if self.transition else self.cutoff_hz


UNSURE = CutoffEstimate("unsure", None, 0.0, seen="has too little sound")


class CutoffEstimator:
    """Finds the cutoff of audio that arrives in blocks; memory and result do not depend on them.

    Analyses until it has 30 s of loud frames and ignores what follows.
    """

    def __init__(self, sample_rate: int) -> None:
        if sample_rate <= 0:
            raise InvalidInputError(f"sample_rate must be positive, not {sample_rate}")
        self.sample_rate = sample_rate
        multiples = max(1, round(sample_rate * FRAME_S / FRAME_MULTIPLE))
        self._frame_samples = FRAME_MULTIPLE * multiples
        self._hop_samples = self._frame_samples // 2
        window = hann(self._frame_samples)
        self._window = (window / (window.sum() / 2)).astype(np.float32)
        self._to_bands = band_weights(self._frame_samples, sample_rate)
        self._pending: NDArray[np.float32] | None = None
        self._classes = LevelClasses(self._to_bands.shape[1])
        self._lines = LineCounter(self._to_bands.shape[0])
        self._mirrors = MirrorMeter(self._to_bands.shape[0], sample_rate)
        self._done = False

    def push(self, samples: ArrayLike) -> None:
        """Analyse the next block, ``[channels, samples]`` or ``[samples]``, full scale 1."""
        block = np.atleast_2d(np.asarray(samples, dtype=np.float32))
        if block.ndim != 2:
            raise InvalidInputError(f"samples must have 1 or 2 axes, not {block.ndim}")
        if self._done:
            return
        if self._pending is not None:
            if len(block) != len(self._pending):
                was, now = len(self._pending), len(block)
                raise InvalidInputError(f"channel count changed from {was} to {now}")
            block = np.concatenate([self._pending, block], axis=1)
        # Whole batches only, at places fixed by the signal: block sizes cannot change the sums.
        step = BATCH_FRAMES * self._hop_samples
        batch = step + self._frame_samples - self._hop_samples
        start = 0
        while block.shape[1] - start >= batch and not self._done:
            batch_block = block[:, start : start + batch]
            self._analyse(self._classes, self._lines, self._mirrors, batch_block)
            self._done = self._loud_s(self._classes) >= ENOUGH_LOUD_S
            start += step
        self._pending = block[:, start:].copy()

    def estimate(self) -> CutoffEstimate:
        """Decide from what was analysed so far; more may be pushed afterwards."""
        classes, lines, mirrors = self._classes.copy(), self._lines.copy(), self._mirrors.copy()
        if not self._done and self._pending is not None:
            self._analyse(classes, lines, mirrors, self._pending)
        if classes.loud_frames() < MIN_FRAMES:
            return UNSURE
        enough_frames = int(MIN_LOUD_S * self.sample_rate / self._hop_samples)
        views_db = classes.views_db(enough_frames)
        if self._loud_s(classes) < MIN_LOUD_S:
            found = decide(views_db, self.sample_rate, self._frame_samples, weigh=False)
        else:
            found = decide(views_db, self.sample_rate, self._frame_samples)
        mirror_hz = mirrors.mirror_hz()
        if mirror_hz is not None:
            found = _mirrored(found, MIRROR_EDGE * mirror_hz)
            if not found.cutoff_hz or mirror_hz > NEAR[1] * found.cutoff_hz:
                mirror_hz = None  # of codec noise: not of the band
        lines_hz = lines.bins() * self.sample_rate / self._frame_samples
        return replace(found, lines_hz=tuple(lines_hz.tolist()), mirror_hz=mirror_hz)

    def _loud_s(self, classes: LevelClasses) -> float:
        return classes.loud_frames() * self._hop_samples / self.sample_rate

    def _analyse(
        self,
        classes: LevelClasses,
        lines: LineCounter,
        mirrors: MirrorMeter,
        block: NDArray[np.float32],
    ) -> None:
        """Add a block's frames: band powers, averaged over channels; a full-scale sine has 1."""
        if block.shape[1] < self._frame_samples:
            return
        # A copy: numpy adds strided data in another order, and the last digits would differ.
        block = block.copy()
        framed = frames(block, self._frame_samples, self._hop_samples)
        spectra = np.fft.rfft((framed - framed.mean(axis=2, keepdims=True)) * self._window)
        whole = (spectra.real**2 + spectra.imag**2).mean(axis=0)
        powers = lines.remove(whole)
        total = powers.sum(axis=1)
        # (The mean that was taken out is in the first two bins.)
        total[powers[:, 2:].sum(axis=1) < NOTHING_ELSE * whole.sum(axis=1)] = 0
        mirrors.add(powers[total > 0])
        classes.add(total, powers @ self._to_bands)


class LineCounter:
    """Takes steady lines out of batches of frames, and remembers where they were."""

    def __init__(self, bins: int) -> None:
        self._counts = np.zeros(bins, np.int64)
        self._batches = 0
        self._covered = np.zeros(bins, bool)

    def copy(self) -> LineCounter:
        """Return an independent copy."""
        twin = LineCounter(len(self._counts))
        twin._counts, twin._batches = self._counts.copy(), self._batches
        twin._covered = self._covered
        return twin

    def remove(self, powers: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return a batch ``[frames, bins]`` without its lines; a short one takes the last's."""
        if len(powers) >= ENOUGH_FRAMES:
            peaks, self._covered = find_lines(powers)
            self._counts[peaks] += 1
            self._batches += 1
        return without(powers, self._covered)

    def bins(self) -> NDArray[np.int64]:
        """Where lines were in a good part of the batches; one that wandered has but one place."""
        near = np.convolve(self._counts, np.ones(5, np.int64), "same")
        often = (near >= max(1, LASTING * self._batches)) & (self._counts > 0)
        padded = np.pad(self._counts, 2)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 5)
        return np.flatnonzero(often & (np.argmax(windows, axis=1) == 2))


class LevelClasses:
    """Compressed band powers, summed by their frame's level: which are loud is known at the end."""

    def __init__(self, bands: int) -> None:
        classes = round(-QUIETEST_DBFS / CLASS_DB) + 20
        self._counts = np.zeros(classes, dtype=np.int64)
        self._sums = np.zeros((classes, bands))

    def copy(self) -> LevelClasses:
        """Return an independent copy."""
        twin = LevelClasses(self._sums.shape[1])
        twin._counts, twin._sums = self._counts.copy(), self._sums.copy()
        return twin

    def add(self, frame_powers: ArrayLike, band_powers: ArrayLike) -> None:
        """Add frames, ``[frames]`` and ``[frames, bands]``, but for silent and non-finite ones."""
        level_db = 10 * np.log10(np.asarray(frame_powers, dtype=np.float64) + 1e-30)
        loud = np.isfinite(level_db) & (level_db > QUIETEST_DBFS)
        index = ((level_db[loud] - QUIETEST_DBFS) / CLASS_DB).astype(int)
        index = np.minimum(index, len(self._counts) - 1)
        np.add.at(self._counts, index, 1)
        np.add.at(self._sums, index, np.asarray(band_powers)[loud] ** COMPRESSION)

    def _classes_within(self, least_db: float, most_db: float) -> slice:
        """Pick the classes that lie so far under the loudest."""
        loudest = int(np.flatnonzero(self._counts)[-1]) + 1 if self._counts.any() else 0
        least, most = round(least_db / CLASS_DB), round(most_db / CLASS_DB)
        return slice(max(0, loudest - most), max(0, loudest - least))

    def loud_frames(self) -> int:
        """How many frames lie within 40 dB of the loudest."""
        return int(self._counts[self._classes_within(0, VIEWS_DB[-1][1])].sum())

    def views_db(self, enough_frames: int) -> Floats:
        """Mean band levels in dB of each view, ``[views, bands]``; one view if one is too thin."""
        views = [self._classes_within(*view) for view in VIEWS_DB]
        if min(self._counts[view].sum() for view in views) < enough_frames:
            views = [self._classes_within(0, VIEWS_DB[-1][1])]
        means = [self._sums[view].sum(axis=0) / self._counts[view].sum() for view in views]
        return np.asarray(10 / COMPRESSION * np.log10(np.asarray(means) + 1e-30))


def estimate_cutoff(samples: ArrayLike, sample_rate: int) -> CutoffEstimate:
    """Find where the real band of a recording ends, ``[samples]`` or ``[channels, samples]``.

    Full scale is 1. The cutoff is the -3 dB point of a low-pass filter, the resampler's or the
    codec's edge, in Hz. Only the first 30 s of loud frames are analysed.
    Raises InvalidInputError for a rate or shape that cannot be used.
    """
    estimator = CutoffEstimator(sample_rate)
    block = np.atleast_2d(np.asarray(samples))
    for start in range(0, block.shape[-1], 10 * sample_rate):
        estimator.push(block[..., start : start + 10 * sample_rate])
    return estimator.estimate()


def decide(
    views_db: Floats, sample_rate: int, frame_samples: int, *, weigh: bool = True
) -> CutoffEstimate:
    """Score every hypothesis against ``[views, bands]`` and sum the posterior up to an answer.

    A cliff speaks for itself where the posterior is undecided, holds another edge for likelier, or
    was not asked for lack of sound, if ``weigh`` is off; not where the posterior rules it out.
    """
    nyquist_hz = sample_rate / 2
    if nyquist_hz < 2 * LOWEST_CUTOFF_HZ:
        return UNSURE
    found = _weigh(views_db, sample_rate, frame_samples) if weigh else UNSURE
    cliff_hz, foot_hz, drop_db, flat = _cliff(views_db, sample_rate, frame_samples)
    if cliff_hz < LOWEST_CLIFF_HZ or drop_db < CLIFFS_DB[found.verdict][flat]:
        return found
    if _is_slope(found, cliff_hz, views_db, sample_rate):
        return found
    if found.verdict == "band-limited" and found.cutoff_hz:
        if LOWER < cliff_hz / found.cutoff_hz < HIGHER:
            return found
        if cliff_hz < found.cutoff_hz < foot_hz and found.confidence > CERTAIN:
            cliff_hz = float(np.sqrt(cliff_hz * found.cutoff_hz))
    return CutoffEstimate("band-limited", cliff_hz, 1 - 10 ** (-drop_db / 20))


def _mirrored(found: CutoffEstimate, cutoff_hz: float) -> CutoffEstimate:
    """What was found, unless it takes the images above a mirror for the recording."""
    if found.cutoff_hz is not None and found.cutoff_hz * LOWER < cutoff_hz:
        return found
    return CutoffEstimate("band-limited", cutoff_hz, MIRROR_CONFIDENCE)


def _cliff(
    views_db: Floats, sample_rate: int, frame_samples: int
) -> tuple[float, float, float, bool]:
    """Where the cliff and its foot are, how high it is, and whether its foot is a white floor."""
    strongest = views_db.max(axis=0)
    lowest_db = strongest.max() - DYNAMIC_RANGE_DB
    strongest = np.maximum(strongest, lowest_db)
    best = (0.0, 0.0, 0.0, False)
    for gap_bands, flat_db in FLAT_CLIFFS_DB:
        (last,), (foot,), (drop_db,) = find_cliffs(strongest[None], gap_bands)
        edge_hz = band_centres(sample_rate)[last] * 2 ** (0.5 / BANDS_PER_OCTAVE)
        foot_hz = float(band_centres(sample_rate)[foot])
        above_db = np.median(strongest[foot:]) - _dither_db(frame_samples)
        least_db = DITHER_CLIFF_DB if DITHER_DB[0] < above_db < DITHER_DB[1] else flat_db
        flat = np.median(strongest[foot:]) > lowest_db + 1 and is_flat(strongest, int(foot))
        if drop_db >= least_db and flat:
            return float(EDGE_OF_CLIFF * edge_hz), foot_hz, float(drop_db), True
        if gap_bands == GAP_BANDS:
            best = float(EDGE_OF_CLIFF * edge_hz), foot_hz, float(drop_db), False
    return best


def _is_slope(found: CutoffEstimate, cliff_hz: float, views_db: Floats, sample_rate: int) -> bool:
    """Tell whether a cliff above what the posterior ``found`` is where a gentle slope ends."""
    likely_hz = found.cutoff_hz or found.guess_hz
    if found.verdict == "full band" or likely_hz is None or likely_hz > cliff_hz:
        return False
    hypotheses = build_hypotheses(sample_rate)
    posterior, _ = hypotheses.posterior(views_db)
    edge = hypotheses.cutoffs_hz < FULL_BAND_RATIO * hypotheses.nyquist_hz
    there = edge & (hypotheses.cutoffs_hz > EDGE_NEAR * cliff_hz)
    if posterior[there].sum() < ALLOWED * posterior[edge].sum():
        return True
    strongest = views_db.max(axis=0)
    steep_db = steepness_db(np.maximum(strongest, strongest.max() - DYNAMIC_RANGE_DB))
    return found.verdict == "unsure" and steep_db < STEEP_DB


def _weigh(views_db: Floats, sample_rate: int, frame_samples: int) -> CutoffEstimate:
    """What the posterior says."""
    nyquist_hz = sample_rate / 2
    hypotheses = build_hypotheses(sample_rate)
    posterior, misfit = hypotheses.posterior(views_db)
    audible = audible_bands(views_db.max(axis=0), frame_samples)
    audible_hz = hypotheses.bands_hz[np.flatnonzero(audible)[-1]]
    if misfit > WORST_FIT or audible[hypotheses.bands_hz <= audible_hz].mean() < 0.5:
        # No natural sound: a tone, a few partials.
        return _unsure(0.0, "has too few partials", None)
    full = hypotheses.cutoffs_hz >= FULL_BAND_RATIO * nyquist_hz
    full_probability = float(posterior[full].sum())
    if full_probability > SURE:
        if audible_hz < 0.9 * nyquist_hz:  # the sound itself ends: no edge to be found
            return _unsure(0.0, f"fades out at {_khz(audible_hz)} kHz", float(audible_hz))
        return CutoffEstimate("full band", nyquist_hz, full_probability)
    cutoff_hz, usual_hz = _cautious(posterior, hypotheses.cutoffs_hz)
    ratio = hypotheses.cutoffs_hz / cutoff_hz
    confidence = float(posterior[(ratio > NEAR[0]) & (ratio < NEAR[1]) & ~full].sum())
    if confidence < SURE or cutoff_hz > 1.1 * audible_hz:
        low_hz, high_hz = _spread(np.where(full, 0, posterior), hypotheses.cutoffs_hz)
        seen = f"falls gently from {_khz(low_hz)} to {_khz(high_hz)} kHz"
        return _unsure(confidence, seen, min(usual_hz, float(audible_hz)))
    transition = hypotheses.transition(posterior, cutoff_hz)
    return CutoffEstimate("band-limited", cutoff_hz, confidence, transition)


def _unsure(confidence: float, seen: str, guess_hz: float | None) -> CutoffEstimate:
    return CutoffEstimate("unsure", None, confidence, guess_hz=guess_hz, seen=seen)


def _khz(hertz: float) -> str:
    return f"{hertz / 1000:.2g}"


def _spread(posterior: Floats, frequencies_hz: Floats) -> tuple[float, float]:
    """Between which frequencies most of a distribution lies."""
    ascending = np.argsort(frequencies_hz, kind="stable")
    cumulated = np.cumsum(posterior[ascending])
    low, high = np.searchsorted(cumulated, cumulated[-1] * np.array(SPREAD))
    return float(frequencies_hz[ascending[low]]), float(frequencies_hz[ascending[high]])


def _cautious(posterior: Floats, frequencies_hz: Floats) -> tuple[float, float]:
    """The lower part of a distribution over ``frequencies_hz [hypotheses]``, and the usual one."""
    ascending = np.argsort(frequencies_hz, kind="stable")
    cumulated = np.cumsum(posterior[ascending])
    usual, lowest = np.searchsorted(cumulated, [USUAL_QUANTILE, RISK_QUANTILE])
    usual_hz, lowest_hz = frequencies_hz[ascending[[usual, lowest]]]
    return float(min(usual_hz, TOO_HIGH * lowest_hz)), float(usual_hz)


def audible_bands(level_db: Floats, frame_samples: int) -> NDArray[np.bool_]:
    """Tell which bands hold more than 16-bit dither and lie not too far under the strongest."""
    nearest, farthest = level_db.max() - np.array(AUDIBLE_RANGE_DB)
    return np.asarray(level_db >= np.clip(_dither_db(frame_samples) + 6, farthest, nearest))


def _dither_db(frame_samples: int) -> float:
    """Dither spreads evenly over the bins of a frame; 6 / samples is the Hann window's share."""
    return DITHER_DBFS + 10 * float(np.log10(6 / frame_samples))


@lru_cache(maxsize=8)
def band_weights(frame_samples: int, sample_rate: int) -> NDArray[np.float32]:
    """Weights ``[bins, bands]`` that turn a power spectrum into mean power per bin of each band."""
    bin_hz = sample_rate / frame_samples
    half = 2 ** (0.5 / BANDS_PER_OCTAVE)
    centres_hz = band_centres(sample_rate)
    low_hz, high_hz = centres_hz / half, centres_hz * half
    bins_hz = np.arange(frame_samples // 2 + 1)[:, None] * bin_hz
    overlap_hz = np.minimum(bins_hz + bin_hz / 2, high_hz) - np.maximum(
        bins_hz - bin_hz / 2, low_hz
    )
    return np.asarray(np.maximum(overlap_hz, 0) / (high_hz - low_hz), dtype=np.float32)
