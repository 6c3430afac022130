"""What a low-passed recording looks like: hypotheses of its cutoff, and their likelihood.

A low-pass filter adds a known curve (in dB over log frequency) to a spectrum that we do not know.
But natural long-term spectra are known statistically: they fall by some 6 dB an octave and wander
about that line in a way that a Gaussian process describes well. So every hypothesis "low-passed at
f, this steep, down to that floor" can be scored: take its curve away from the measured spectrum
and ask how natural the remainder looks. "Nothing was filtered" is one of the hypotheses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.decimation import decimation_response

Floats = NDArray[np.float64]

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

USUAL_QUANTILE = 0.35
DYNAMIC_RANGE_DB = 100.0

TransitionBand = tuple[tuple[float, float], ...]


def band_centres(sample_rate: int) -> Floats:
    """Centres in Hz of the 1/24-octave bands, the last of which ends on the Nyquist frequency."""
    count = max(1, int(BANDS_PER_OCTAVE * np.log2(sample_rate / 2 / LOWEST_BAND_HZ)))
    return np.asarray(sample_rate / 2 * 2 ** (-(np.arange(count, 0, -1) - 0.5) / BANDS_PER_OCTAVE))


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
