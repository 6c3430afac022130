"""Where a recording's real band ends, whatever its sample rate says.

A low-pass filter adds a known curve (in dB over log frequency) to a spectrum that we do not know.
But natural long-term spectra are known statistically: they fall by some 7 dB an octave and wander
about that line in a way a Gaussian process describes well. So every hypothesis "low-passed at f,
this steep, down to that floor" can be scored: take its curve away from the measured spectrum and
ask how natural the remainder looks. The scores give a posterior over the cutoff, and from it the
verdict, the cutoff and the confidence. "Nothing was filtered" is one of the hypotheses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.errors import InvalidInputError

Verdict = Literal["band-limited", "full band", "unsure"]
Floats = NDArray[np.float64]

FRAME_S = 0.0427
"""Hann frame, 2048 samples at 48 kHz: as long at every rate, so that spectra compare."""
BATCH_FRAMES = 64
ENOUGH_LOUD_S = 30.0
"""Seconds of loud frames after which the estimator has heard enough and stops."""
MIN_LOUD_S = 0.25

CLASS_DB = 3.0
"""Frames are sorted by level into classes this wide; a class keeps one summed spectrum."""
FLOOR_DBFS = -120.0
LOUD_RANGE_DB = 40.0
"""Frames this far below the loudest still count: fricatives, which carry the top, are soft."""

LOWEST_BAND_HZ = 250.0
BANDS_PER_OCTAVE = 24
DYNAMIC_RANGE_DB = 100.0

# The natural spectrum: mean slope, and the covariance fitted to full-band speech and piano.
SLOPE_DB_PER_OCTAVE = -7.5
SLOPE_SD = 4.0
WANDER_VARIANCE, WANDER_OCTAVES = 50.0, 2.0
RIPPLE_VARIANCE, RIPPLE_OCTAVES = 9.0, 0.12
NUGGET_VARIANCE = 0.5

# The hypotheses: Butterworth-shaped curves of many orders (high orders stand for Chebyshev,
# elliptic, resamplers and codecs), each ending on a floor this far down.
ORDERS = (3, 4, 5, 6, 8, 10, 14, 20, 32, 64)
DEPTHS_DB = (12.0, 18.0, 25.0, 35.0, 50.0, 70.0, 95.0)
LOWEST_CUTOFF_HZ = 700.0
CUTOFFS_PER_OCTAVE = 24
FULL_BAND_PRIOR = 0.5
TEMPERATURE = 2.0
"""Divides the log likelihood: the model is rough and must not be believed to the letter."""
FULL_BAND_RATIO = 0.97
"""An edge above this part of the Nyquist frequency is a full band."""
LOW_QUANTILE = 0.35
"""The posterior quantile to report: a cutoff too high does more harm than one too low."""
NEAR_OCTAVES = 0.2
SURE = 0.6


@dataclass(frozen=True)
class CutoffEstimate:
    """What was found: see :func:`estimate_cutoff`.

    ``cutoff_hz`` is where the real band ends when ``verdict`` is "band-limited", the Nyquist
    frequency when it is "full band", and None when it is "unsure". ``confidence`` is the
    probability (0..1) that the verdict is right and the cutoff within about 15 %.
    """

    verdict: Verdict
    cutoff_hz: float | None
    confidence: float


class CutoffEstimator:
    """Finds the cutoff of audio that arrives in blocks; memory and result do not depend on them.

    Listens until it has heard 30 s of loud frames and ignores what follows.
    """

    def __init__(self, sample_rate: int) -> None:
        if sample_rate <= 0:
            raise InvalidInputError(f"sample_rate must be positive, not {sample_rate}")
        self.sample_rate = sample_rate
        self._frame_samples = max(16, 2 * round(sample_rate * FRAME_S / 2))
        self._hop_samples = self._frame_samples // 2
        self._window = np.hanning(self._frame_samples + 1)[:-1]
        self._pending: Floats | None = None
        self._classes = LevelClasses(self._frame_samples // 2 + 1)
        self._done = False

    def push(self, samples: ArrayLike) -> None:
        """Listen to the next block, ``[channels, samples]`` or ``[samples]``, full scale 1."""
        block = np.atleast_2d(np.asarray(samples, dtype=np.float64))
        if block.ndim != 2:
            raise InvalidInputError(f"samples must have 1 or 2 axes, not {block.ndim}")
        if self._done:
            return
        if self._pending is not None:
            if len(block) != len(self._pending):
                raise InvalidInputError(
                    f"channel count changed from {len(self._pending)} to {len(block)}"
                )
            block = np.concatenate([self._pending, block], axis=1)
        # Whole batches only, at places fixed by the signal: block sizes cannot change the sums.
        step = BATCH_FRAMES * self._hop_samples
        start = 0
        while block.shape[1] - start >= step + self._hop_samples and not self._done:
            self._classes.add(self._powers(block[:, start : start + step + self._hop_samples]))
            self._done = self._loud_s(self._classes) >= ENOUGH_LOUD_S
            start += step
        self._pending = block[:, start:].copy()

    def estimate(self) -> CutoffEstimate:
        """Decide from what was heard so far; more may be pushed afterwards."""
        classes = self._classes.copy()
        if not self._done and self._pending is not None:
            classes.add(self._powers(self._pending))
        if self._loud_s(classes) < MIN_LOUD_S:
            return CutoffEstimate("unsure", None, 0.0)
        return decide(classes.loud_spectrum(), self.sample_rate)

    def _loud_s(self, classes: LevelClasses) -> float:
        return classes.loud_frames() * self._hop_samples / self.sample_rate

    def _powers(self, block: Floats) -> Floats:
        """Power spectra, channels averaged, ``[frames, bins]``; a full-scale sine peaks at 1."""
        if block.shape[1] < self._frame_samples:
            return np.zeros((0, self._frame_samples // 2 + 1))
        frames = np.lib.stride_tricks.sliding_window_view(block, self._frame_samples, axis=1)
        frames = frames[:, :: self._hop_samples]
        frames = frames - frames.mean(axis=2, keepdims=True)
        spectra = np.fft.rfft(frames * self._window)
        powers = (spectra.real**2 + spectra.imag**2).mean(axis=0)
        return np.asarray(powers / (self._window.sum() / 2) ** 2)


class LevelClasses:
    """Spectra summed by the level of their frame, so that "loud" can be decided at the end."""

    def __init__(self, bins: int) -> None:
        classes = round(-FLOOR_DBFS / CLASS_DB) + 10
        self.counts = np.zeros(classes, dtype=np.int64)
        self.sums = np.zeros((classes, bins))

    def copy(self) -> LevelClasses:
        """Return an independent copy."""
        twin = LevelClasses(self.sums.shape[1])
        twin.counts, twin.sums = self.counts.copy(), self.sums.copy()
        return twin

    def add(self, powers: Floats) -> None:
        """Add spectra, ``[frames, bins]``; frames under -120 dBFS or not finite are left out."""
        level_db = 10 * np.log10(powers.sum(axis=1) + 1e-30)
        heard = np.isfinite(level_db) & (level_db > FLOOR_DBFS)
        index = ((level_db[heard] - FLOOR_DBFS) / CLASS_DB).astype(int)
        index = np.minimum(index, len(self.counts) - 1)
        np.add.at(self.counts, index, 1)
        np.add.at(self.sums, index, powers[heard])

    def _loud(self) -> slice:
        top = int(np.flatnonzero(self.counts)[-1]) if self.counts.any() else 0
        return slice(max(0, top - round(LOUD_RANGE_DB / CLASS_DB)), None)

    def loud_frames(self) -> int:
        """How many frames lie within 40 dB of the loudest."""
        return int(self.counts[self._loud()].sum())

    def loud_spectrum(self) -> Floats:
        """Return the mean power spectrum of the loud frames, ``[bins]``."""
        loud = self._loud()
        return np.asarray(self.sums[loud].sum(axis=0) / max(1, self.counts[loud].sum()))


def estimate_cutoff(samples: ArrayLike, sample_rate: int) -> CutoffEstimate:
    """Find where the real band of a recording ends, ``[samples]`` or ``[channels, samples]``.

    Full scale is 1. The cutoff is the -3 dB point of a low-pass filter, the resampler's or the
    codec's edge, in Hz. Only the first 30 s of loud frames are listened to.
    Raises InvalidInputError for a rate or shape that cannot be used.
    """
    estimator = CutoffEstimator(sample_rate)
    block = np.atleast_2d(np.asarray(samples))
    step = max(1, 8 * BATCH_FRAMES * estimator._hop_samples)
    for start in range(0, block.shape[-1], step):
        estimator.push(block[..., start : start + step])
    return estimator.estimate()


def decide(spectrum: Floats, sample_rate: int) -> CutoffEstimate:
    """Score every hypothesis against a mean power spectrum ``[bins]`` and sum up."""
    nyquist_hz = sample_rate / 2
    hypotheses = build_hypotheses(sample_rate)
    if hypotheses is None:
        return CutoffEstimate("unsure", None, 0.0)
    level_db = band_levels(spectrum, sample_rate, hypotheses.bands_hz)
    log_posterior = hypotheses.log_likelihood(level_db) / TEMPERATURE + hypotheses.log_prior
    posterior = np.exp(log_posterior - log_posterior.max())
    posterior /= posterior.sum()
    full = hypotheses.cutoffs_hz >= FULL_BAND_RATIO * nyquist_hz
    if posterior[full].sum() > SURE:
        return CutoffEstimate("full band", nyquist_hz, float(posterior[full].sum()))
    cumulative = np.cumsum(posterior)
    cutoff_hz = float(hypotheses.cutoffs_hz[np.searchsorted(cumulative, LOW_QUANTILE)])
    near = np.abs(np.log2(hypotheses.cutoffs_hz / cutoff_hz)) < NEAR_OCTAVES
    confidence = float(posterior[near & ~full].sum())
    if confidence < SURE:
        return CutoffEstimate("unsure", None, confidence)
    return CutoffEstimate("band-limited", cutoff_hz, confidence)


def band_levels(spectrum: Floats, sample_rate: int, bands_hz: Floats) -> Floats:
    """Mean level in dB around each band centre, kept within 100 dB of the strongest band."""
    bin_hz = sample_rate / (2 * (len(spectrum) - 1))
    edges_hz = (np.arange(len(spectrum) + 1) - 0.5) * bin_hz
    running = np.concatenate([[0.0], np.cumsum(spectrum)])
    half = 2 ** (0.5 / BANDS_PER_OCTAVE)
    low_hz, high_hz = bands_hz / half, np.minimum(bands_hz * half, sample_rate / 2)
    power = np.interp(high_hz, edges_hz, running) - np.interp(low_hz, edges_hz, running)
    power = np.maximum(power * bin_hz / (high_hz - low_hz), 0.0)
    floor = power.max() * 10 ** (-DYNAMIC_RANGE_DB / 10) + 1e-30
    return np.asarray(10 * np.log10(np.maximum(power, floor)))


@dataclass(frozen=True)
class Hypotheses:
    """All the low-pass curves for one rate, and what scoring them needs, computed once."""

    bands_hz: Floats
    cutoffs_hz: Floats  # [hypotheses], ascending; the last is "nothing was filtered"
    mean_db: Floats  # [bands]
    curves_db: Floats  # [hypotheses, bands]
    precision: Floats  # [bands, bands]
    curve_energy: Floats  # [hypotheses]: curve' precision curve
    log_prior: Floats  # [hypotheses]

    def log_likelihood(self, level_db: Floats) -> Floats:
        """How natural ``level_db`` minus each curve looks, up to a constant, ``[hypotheses]``."""
        rest = level_db - self.mean_db
        weighted = self.precision @ rest
        energy = rest @ weighted - 2 * (self.curves_db @ weighted) + self.curve_energy
        # Student's t instead of a Gaussian: how lively a spectrum is differs between recordings.
        freedom = 8.0
        return np.asarray(-0.5 * (freedom + len(rest)) * np.log1p(np.maximum(energy, 0) / freedom))


@lru_cache(maxsize=8)
def build_hypotheses(sample_rate: int) -> Hypotheses | None:
    """Lay out bands, curves and covariance for a rate; None if it holds too few bands."""
    nyquist_hz = sample_rate / 2
    count = int(np.floor(BANDS_PER_OCTAVE * np.log2(nyquist_hz / LOWEST_BAND_HZ)))
    if count < BANDS_PER_OCTAVE:
        return None
    # Counted down from the Nyquist frequency, so that the last band ends on it.
    bands_hz = nyquist_hz * 2 ** (-(np.arange(count, 0, -1) - 0.5) / BANDS_PER_OCTAVE)
    steps = int(CUTOFFS_PER_OCTAVE * np.log2(nyquist_hz / LOWEST_CUTOFF_HZ))
    cutoffs_hz = nyquist_hz * 2 ** (-np.arange(steps, 0, -1) / CUTOFFS_PER_OCTAVE)
    grid_hz, grid_order, grid_depth = (
        axis.ravel() for axis in np.meshgrid(cutoffs_hz, ORDERS, DEPTHS_DB, indexing="ij")
    )
    ratio = (bands_hz / grid_hz[:, None]) ** (2 * grid_order[:, None])
    curves_db = 10 * np.log10(1 / (1 + ratio) + 10 ** (-grid_depth[:, None] / 10))
    curves_db = np.vstack([curves_db, np.zeros_like(bands_hz)])

    octaves = np.log2(bands_hz / 1000.0)
    apart = np.abs(octaves[:, None] - octaves)
    covariance = (
        40.0**2
        + SLOPE_SD**2 * octaves[:, None] * octaves
        + WANDER_VARIANCE * np.exp(-apart / WANDER_OCTAVES)
        + RIPPLE_VARIANCE * np.exp(-apart / RIPPLE_OCTAVES)
        + NUGGET_VARIANCE * np.eye(count)
    )
    precision = np.linalg.inv(covariance)
    prior = np.full(len(curves_db), (1 - FULL_BAND_PRIOR) / max(1, len(grid_hz)))
    prior[-1] = FULL_BAND_PRIOR
    return Hypotheses(
        bands_hz=bands_hz,
        cutoffs_hz=np.append(grid_hz, nyquist_hz),
        mean_db=SLOPE_DB_PER_OCTAVE * octaves,
        curves_db=curves_db,
        precision=precision,
        curve_energy=np.einsum("ij,ij->i", curves_db @ precision, curves_db),
        log_prior=np.log(prior),
    )
