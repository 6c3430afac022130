"""Where a recording's real band ends, whatever its sample rate says.

A low-pass filter adds a known curve (in dB over log frequency) to a spectrum that we do not know.
But natural long-term spectra are known statistically: they fall by some 6 dB an octave and wander
about that line in a way that a Gaussian process describes well. So every hypothesis "low-passed at
f, this steep, down to that floor" can be scored: take its curve away from the measured spectrum
and ask how natural the remainder looks. "Nothing was filtered" is one of the hypotheses. The
scores give a posterior over the cutoff, and from it come verdict, cutoff and confidence.

A steep edge leaves no doubt. A gentle one (Butterworth order 4) can look like a dull voice; then
the posterior is wide, and the answer leans low or is "unsure".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.dsp.decimation import decimation_response
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
MIN_LOUD_S = 0.25
VIEWS_DB = ((0.0, 14.0), (14.0, 40.0))
"""Loud frames, by how far they lie under the loudest. In speech the first view holds vowels, the
second fricatives, which carry the high band: two spectra that went through the same filter."""
QUIETEST_DBFS, CLASS_DB = -120.0, 2.0
COMPRESSION = 0.2
"""Band powers are averaged raised to this power, as loudness is: between a mean of powers, which
a few frames rule, and a mean of dB, which the empty frames of a lossy codec rule."""
LOWEST_BAND_HZ = 250.0
BANDS_PER_OCTAVE = 24

# The natural spectrum in dB: a mean that falls faster above a knee, and the variances of offset,
# slopes, slow wander and fine ripple about it. Found by a search over low-passed speech and piano.
SLOPE_DB_PER_OCTAVE, SLOPE_SD = -6.0, 2.0
KNEE_HZ = 13000.0
HIGH_SLOPE_DB_PER_OCTAVE, HIGH_SLOPE_SD = -25.0, 12.0
OFFSET_SD = 40.0
WANDER_VARIANCE, WANDER_OCTAVES = 140.0, 4.0
RIPPLE_VARIANCE, RIPPLE_OCTAVES = 12.0, 0.15
NUGGET_VARIANCE = 0.5
FREEDOM = 30.0
"""Of Student's t in place of the Gaussian: how lively spectra are differs between recordings."""
TEMPERATURE = 2.2
"""Divides the log likelihood: the model is rough and the views are akin."""

# The hypotheses: Butterworth-shaped curves (the high orders stand for Chebyshev, elliptic,
# resamplers and codecs), and scipy's decimation, each ending on a floor so far down.
ORDERS = (3, 4, 5, 6, 8, 10, 14, 18, 24, 32, 64)
DEPTHS_DB = (12.0, 18.0, 25.0, 35.0, 50.0, 70.0, 95.0)
LOWEST_CUTOFF_HZ = 700.0
FULL_BAND_PRIOR = 0.5
RESAMPLED_HZ, RESAMPLER_EDGE, RESAMPLER_ODDS = 24000, (0.78, 0.97), 30.0
"""A file of so low a rate was nearly always recorded at a higher one, and a resampler's edge is at
such a part of its Nyquist frequency: so much more likely than lower down."""

DECIMATIONS = (2, 3, 4)
"""By how much a file of so low a rate may have been decimated by scipy, after a filter that is
known exactly (larger factors have the last one's, within 4 dB); each as likely as a resampler's
edge at one place."""

USABLE_DB, KNOWN_USABLE_DB, OVER_FLOOR_DB = 40.0, 50.0, 10.0
"""A low-pass's transition band still holds the recording, softer, where it is at most so far down
(the second where the filter is known exactly), and lies so far above the floor that it ends on.
Beyond, a prediction comes closer."""
GENTLE_ORDER = 32
"""The steepest low-pass whose roll-off is compensated. An error of half a band in where it lies is
one of 4 dB in its level, and of 8 dB at the next order."""
COMPENSATION_QUANTILE = 0.25
"""Of what the likely curves say a transition band has lost: too loud is worse than too soft."""
TRANSITION_STEPS = 48
"""Points an octave at which a transition band is given."""

# The decision.
FULL_BAND_RATIO = 0.97
"""An edge above this part of the Nyquist frequency is a full band."""
USUAL_QUANTILE = 0.35
RISK_QUANTILE, TOO_HIGH = 0.02, 1.05
"""The cutoff must not be TOO_HIGH times the truth with more than this probability: too high makes
a network take filtered-out bins for content, too low only gives it more to predict."""
NEAR = (0.8, 1.35)
SURE = 0.6
WORST_FIT = 4.0
DYNAMIC_RANGE_DB = 100.0
DITHER_DBFS = -96.3
"""Power of a 16-bit file's dither: a band no stronger than that is empty,"""
AUDIBLE_RANGE_DB = (60.0, 75.0)
"""if it also lies the first of these below the strongest; beyond the second it always is."""


TransitionBand = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class CutoffEstimate:
    """What was found: see :func:`estimate_cutoff`.

    ``cutoff_hz`` is where the real band ends when ``verdict`` is "band-limited", the Nyquist
    frequency when it is "full band", and None when it is "unsure". ``confidence`` is the
    probability (0..1) of the answer given: of a full band, or of a cutoff near ``cutoff_hz``.
    ``transition`` is the low-pass's transition band as far as it is known, as ``(Hz, dB down)``,
    ascending; it ends where too little of the recording is left, at ``usable_edge_hz``.
    """

    verdict: Verdict
    cutoff_hz: float | None
    confidence: float
    transition: TransitionBand = ()

    @property
    def usable_edge_hz(self) -> float | None:
        """Up to where the recording holds something of use; None without a cutoff."""
        return self.transition[-1][0] if self.transition else self.cutoff_hz


UNSURE = CutoffEstimate("unsure", None, 0.0)


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
            self._analyse(self._classes, block[:, start : start + batch])
            self._done = self._loud_s(self._classes) >= ENOUGH_LOUD_S
            start += step
        self._pending = block[:, start:].copy()

    def estimate(self) -> CutoffEstimate:
        """Decide from what was analysed so far; more may be pushed afterwards."""
        classes = self._classes.copy()
        if not self._done and self._pending is not None:
            self._analyse(classes, self._pending)
        if self._loud_s(classes) < MIN_LOUD_S:
            return UNSURE
        enough_frames = int(MIN_LOUD_S * self.sample_rate / self._hop_samples)
        return decide(classes.views_db(enough_frames), self.sample_rate, self._frame_samples)

    def _loud_s(self, classes: LevelClasses) -> float:
        return classes.loud_frames() * self._hop_samples / self.sample_rate

    def _analyse(self, classes: LevelClasses, block: NDArray[np.float32]) -> None:
        """Add a block's frames: band powers, averaged over channels; a full-scale sine has 1."""
        if block.shape[1] < self._frame_samples:
            return
        # A copy: numpy adds strided data in another order, and the last digits would differ.
        block = block.copy()
        framed = frames(block, self._frame_samples, self._hop_samples)
        spectra = np.fft.rfft((framed - framed.mean(axis=2, keepdims=True)) * self._window)
        powers = (spectra.real**2 + spectra.imag**2).mean(axis=0)
        classes.add(powers.sum(axis=1), powers @ self._to_bands)


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


def decide(views_db: Floats, sample_rate: int, frame_samples: int) -> CutoffEstimate:
    """Score every hypothesis against ``[views, bands]`` and sum the posterior up to an answer."""
    nyquist_hz = sample_rate / 2
    if nyquist_hz < 2 * LOWEST_CUTOFF_HZ:
        return UNSURE
    hypotheses = build_hypotheses(sample_rate)
    posterior, misfit = hypotheses.posterior(views_db)
    audible = audible_bands(views_db.max(axis=0), frame_samples)
    audible_hz = hypotheses.bands_hz[np.flatnonzero(audible)[-1]]
    if misfit > WORST_FIT or audible[hypotheses.bands_hz <= audible_hz].mean() < 0.5:
        return UNSURE  # no natural sound: a tone, a few partials
    full = hypotheses.cutoffs_hz >= FULL_BAND_RATIO * nyquist_hz
    full_probability = float(posterior[full].sum())
    if full_probability > SURE:
        if audible_hz < 0.9 * nyquist_hz:  # the sound itself ends: no edge to be found
            return UNSURE
        return CutoffEstimate("full band", nyquist_hz, full_probability)
    cutoff_hz = _cautious(posterior, hypotheses.cutoffs_hz)
    ratio = hypotheses.cutoffs_hz / cutoff_hz
    confidence = float(posterior[(ratio > NEAR[0]) & (ratio < NEAR[1]) & ~full].sum())
    if confidence < SURE or cutoff_hz > 1.1 * audible_hz:
        return CutoffEstimate("unsure", None, confidence)
    transition = hypotheses.transition(posterior, cutoff_hz)
    return CutoffEstimate("band-limited", cutoff_hz, confidence, transition)


def _cautious(posterior: Floats, frequencies_hz: Floats) -> float:
    """The lower part of a distribution over ``frequencies_hz [hypotheses]``."""
    ascending = np.argsort(frequencies_hz, kind="stable")
    cumulated = np.cumsum(posterior[ascending])
    usual, lowest = np.searchsorted(cumulated, [USUAL_QUANTILE, RISK_QUANTILE])
    usual_hz, lowest_hz = frequencies_hz[ascending[[usual, lowest]]]
    return float(min(usual_hz, TOO_HIGH * lowest_hz))


def audible_bands(level_db: Floats, frame_samples: int) -> NDArray[np.bool_]:
    """Tell which bands hold more than 16-bit dither and lie not too far under the strongest."""
    # Dither spreads evenly over the bins of a frame; 6 / samples is the Hann window's share.
    dither_db = DITHER_DBFS + 10 * np.log10(6 / frame_samples)
    nearest, farthest = level_db.max() - np.array(AUDIBLE_RANGE_DB)
    return np.asarray(level_db >= np.clip(dither_db + 6, farthest, nearest))


def band_centres(sample_rate: int) -> Floats:
    """Centres in Hz of the 1/24-octave bands, the last of which ends on the Nyquist frequency."""
    count = max(1, int(BANDS_PER_OCTAVE * np.log2(sample_rate / 2 / LOWEST_BAND_HZ)))
    return np.asarray(sample_rate / 2 * 2 ** (-(np.arange(count, 0, -1) - 0.5) / BANDS_PER_OCTAVE))


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


@dataclass(frozen=True)
class Hypotheses:
    """All the low-pass curves for one rate, and what scoring them needs, computed once."""

    bands_hz: Floats  # [bands]
    cutoffs_hz: Floats  # [hypotheses]; the last is "nothing was filtered"
    orders: Floats  # [hypotheses]
    decimations: NDArray[np.int64]  # [hypotheses]: decimated by scipy so many times; 0: Butterworth
    depths_db: Floats  # [hypotheses]: how far down each curve's floor lies
    log_prior: Floats  # [hypotheses]
    natural_db: Floats  # [bands]: the mean natural spectrum, up to an offset
    precision: Floats  # [bands, bands]: inverse covariance of natural spectra
    curves_db: NDArray[np.float32]  # [hypotheses, bands]
    curve_energy: Floats  # [hypotheses]: curve' precision curve

    def posterior(self, views_db: Floats) -> tuple[Floats, float]:
        """Probabilities ``[hypotheses]``, and how badly the best one fits (1 is as expected)."""
        floor_db = views_db.max(axis=1, keepdims=True) - DYNAMIC_RANGE_DB
        rest = np.maximum(views_db, floor_db) - self.natural_db
        weighted = rest @ self.precision
        agreement = weighted.astype(np.float32) @ self.curves_db.T
        energy = np.sum(rest * weighted, axis=1, keepdims=True) - 2 * agreement + self.curve_energy
        energy = np.maximum(energy, 0)
        bands = rest.shape[1]
        log_likelihood = -0.5 * (FREEDOM + bands) * np.log1p(energy / FREEDOM).sum(axis=0)
        log_posterior = log_likelihood / TEMPERATURE + self.log_prior
        posterior = np.exp(log_posterior - log_posterior.max())
        return posterior / posterior.sum(), float(energy.mean(axis=0).min() / bands)

    @property
    def nyquist_hz(self) -> float:
        """Where a recording ends that nothing was filtered from."""
        return float(self.cutoffs_hz[-1])

    def transition(self, posterior: Floats, cutoff_hz: float) -> TransitionBand:
        """What the likely curves agree on from ``cutoff_hz`` up to where too few of them are left.

        The level at each frequency is a low quantile of theirs, so that what is
        amplified by it stays rather too soft than too loud.
        """
        likely = np.flatnonzero(posterior > 1e-3 * posterior.max())
        weights = posterior[likely] / posterior[likely].sum()
        frequencies_hz = cutoff_hz * 2 ** (np.arange(TRANSITION_STEPS + 1) / TRANSITION_STEPS)
        frequencies_hz = frequencies_hz[frequencies_hz < self.nyquist_hz]
        down_db = self.down_db(frequencies_hz, likely)
        known = self.decimations[likely] > 0
        usable_db = np.where(known, KNOWN_USABLE_DB, USABLE_DB)
        usable = down_db <= np.minimum(self.depths_db[likely] - OVER_FLOOR_DB, usable_db)
        # Where a steep roll-off lies is not known well enough to undo it: it is left as it is.
        down_db = np.where((self.orders[likely] > GENTLE_ORDER) & ~known, 0.0, down_db)
        lost = np.flatnonzero((usable * weights).sum(axis=1) < 1 - USUAL_QUANTILE)
        count = lost[0] if lost.size else len(frequencies_hz)
        order = np.argsort(down_db[:count], axis=1)
        share = np.cumsum(weights[order], axis=1)
        place = (share < COMPENSATION_QUANTILE).sum(axis=1, keepdims=True)
        level_db = np.take_along_axis(down_db[:count], np.take_along_axis(order, place, 1), 1)[:, 0]
        return tuple(zip(frequencies_hz[:count].tolist(), level_db.tolist(), strict=True))

    def down_db(self, frequencies_hz: Floats, which: NDArray[np.int64]) -> Floats:
        """How far the curves of some hypotheses are down, dB, floors aside."""
        octaves = np.log2(frequencies_hz[:, None] / self.cutoffs_hz[which])
        down_db = 10 * np.log10(1 + 2 ** np.clip(2 * self.orders[which] * octaves, -200, 200))
        for scale in DECIMATIONS:
            same = self.decimations[which] == scale
            down_db[:, same] = -decimation_db(frequencies_hz, self.nyquist_hz, scale)[:, None]
        return down_db


def decimation_db(frequencies_hz: Floats, nyquist_hz: float, scale: int) -> Floats:
    """What decimation to ``nyquist_hz`` with scipy adds to a spectrum, dB."""
    response = decimation_response(frequencies_hz, round(2 * scale * nyquist_hz), scale)
    return np.asarray(20 * np.log10(response))


@lru_cache(maxsize=8)
def build_hypotheses(sample_rate: int) -> Hypotheses:
    """Lay out the curves and the covariance of natural spectra for one rate."""
    bands_hz, nyquist_hz = band_centres(sample_rate), sample_rate / 2
    resampled = sample_rate <= RESAMPLED_HZ
    families = [_butterworths(bands_hz, nyquist_hz, RESAMPLER_ODDS if resampled else 1.0)]
    families += [_decimations(bands_hz, nyquist_hz, s) for s in DECIMATIONS if resampled]
    odds = np.concatenate([family.odds for family in families])
    prior = np.append((1 - FULL_BAND_PRIOR) * odds / odds.mean(), FULL_BAND_PRIOR * odds.size)
    # In the end, "nothing was filtered": a curve that is 0 everywhere.
    curves_db = np.vstack([*(family.curves_db for family in families), np.zeros_like(bands_hz)])
    curves_db = curves_db.astype(np.float32)
    natural_db, covariance = natural_spectrum(bands_hz)
    precision = np.linalg.inv(covariance)
    weighted = curves_db @ precision.astype(np.float32)
    return Hypotheses(
        bands_hz=bands_hz,
        cutoffs_hz=np.append(np.concatenate([f.cutoffs_hz for f in families]), nyquist_hz),
        orders=np.append(np.concatenate([f.orders for f in families]), ORDERS[-1]),
        decimations=np.append(np.concatenate([f.decimations for f in families]), 0),
        depths_db=np.append(np.concatenate([f.depths_db for f in families]), DEPTHS_DB[-1]),
        log_prior=np.log(prior),
        natural_db=natural_db,
        precision=np.asarray(precision, dtype=np.float64),
        curves_db=curves_db,
        curve_energy=np.einsum("ij,ij->i", weighted, curves_db, dtype=np.float64),
    )


@dataclass(frozen=True)
class Family:
    """Low-passes of one kind; ``[rows]`` as in :class:`Hypotheses`, ``curves_db [rows, bands]``."""

    cutoffs_hz: Floats
    orders: Floats
    decimations: NDArray[np.int64]
    depths_db: Floats
    odds: Floats  # how likely each is, relative to others
    curves_db: NDArray[np.float32]


def _butterworths(bands_hz: Floats, nyquist_hz: float, resampler_odds: float) -> Family:
    """Every order and depth at every cutoff of a grid."""
    steps = int(BANDS_PER_OCTAVE * np.log2(nyquist_hz / LOWEST_CUTOFF_HZ))
    cutoffs_hz = nyquist_hz * 2 ** (-np.arange(steps, 0, -1) / BANDS_PER_OCTAVE)
    # Cutoffs lie on the same grid as bands: every curve is a piece of one that is slid along it.
    slide = np.arange(len(bands_hz) + steps) - len(bands_hz) + 0.5
    order, depth_db = (a.reshape(-1, 1) for a in np.meshgrid(ORDERS, DEPTHS_DB))
    passed = 1 / (1 + 2 ** np.minimum(2 * order * slide / BANDS_PER_OCTAVE, 200))
    master_db = (10 * np.log10(passed + 10 ** (-depth_db / 10))).astype(np.float32)
    pieces = np.lib.stride_tricks.sliding_window_view(master_db, len(bands_hz), axis=1)
    pieces = pieces[:, steps:0:-1].transpose(1, 0, 2).reshape(-1, len(bands_hz))
    low, high = RESAMPLER_EDGE
    usual = (cutoffs_hz > low * nyquist_hz) & (cutoffs_hz < high * nyquist_hz)
    return Family(
        cutoffs_hz=np.repeat(cutoffs_hz, len(master_db)),
        orders=np.tile(order[:, 0], steps),
        decimations=np.zeros(len(pieces), np.int64),
        depths_db=np.tile(depth_db[:, 0], steps),
        odds=np.repeat(np.where(usual, resampler_odds, 1.0), len(master_db)),
        curves_db=pieces,
    )


def _decimations(bands_hz: Floats, nyquist_hz: float, scale: int) -> Family:
    """Decimation by ``scale`` with scipy, at every depth."""
    depths_db = np.array(DEPTHS_DB)
    # The roll-off is steep: a band's power is the mean over its width.
    within_hz = bands_hz[:, None] * 2 ** (np.linspace(-0.5, 0.5, 9) / BANDS_PER_OCTAVE)
    passed = np.mean(10 ** (decimation_db(within_hz, nyquist_hz, scale) / 10), axis=1)
    curves_db = 10 * np.log10(passed + 10 ** (-depths_db[:, None] / 10))
    edge_hz = nyquist_hz * np.linspace(0.8, 1, 401)
    half_power = np.argmax(decimation_db(edge_hz, nyquist_hz, scale) < -3)
    rows = depths_db.size
    return Family(
        cutoffs_hz=np.full(rows, edge_hz[half_power]),
        orders=np.full(rows, ORDERS[-1]),  # says nothing here
        decimations=np.full(rows, scale),
        depths_db=depths_db,
        odds=np.full(rows, RESAMPLER_ODDS * len(ORDERS)),
        curves_db=curves_db.astype(np.float32),
    )


def natural_spectrum(bands_hz: Floats) -> tuple[Floats, Floats]:
    """Mean ``[bands]`` and covariance ``[bands, bands]`` of unfiltered long-term spectra in dB."""
    octaves = np.log2(bands_hz / 1000)
    above_knee = np.maximum(octaves - np.log2(KNEE_HZ / 1000), 0)
    mean_db = (
        SLOPE_DB_PER_OCTAVE * octaves
        + (HIGH_SLOPE_DB_PER_OCTAVE - SLOPE_DB_PER_OCTAVE) * above_knee
    )
    apart = np.abs(octaves[:, None] - octaves)
    covariance = (
        OFFSET_SD**2
        + SLOPE_SD**2 * np.outer(octaves, octaves)
        + HIGH_SLOPE_SD**2 * np.outer(above_knee, above_knee)
        + WANDER_VARIANCE * np.exp(-apart / WANDER_OCTAVES)
        + RIPPLE_VARIANCE * np.exp(-apart / RIPPLE_OCTAVES)
        + NUGGET_VARIANCE * np.eye(len(octaves))
    )
    return np.asarray(mean_db), np.asarray(covariance)
