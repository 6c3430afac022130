"""Speech or music: what a recording is, told from its low band.

Speech comes in syllables, some four a second, between pauses; its bands swell together and its
partials glide. Music has a steadier level, partials that stay where they are, and bands that go
their own ways (Scheirer & Slaney 1997 and many since). Eighteen figures of that kind are weighed by
a logistic regression. They are taken between 250 and 1800 Hz, which telephones pass as well, so
that the answer does not hang on the cutoff.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.resample import resample
from overtone.dsp.stft import frames, hann, stft

Doubles = NDArray[np.float64]

RATE = 4000
LOWEST_HZ, HIGHEST_HZ = 250.0, 1800.0
BANDS = 12
WINDOW_SAMPLES, HOP_SAMPLES = 256, 40
FRAMES_S = RATE / HOP_SAMPLES
# What lies so far below the loudest counts as silence, and is all the same.
FLOOR = 1e-6
PAUSE = 1e-4
# Shares of the modulation spectrum of the bands' levels, Hz.
MODULATION_HZ = (0.4, 2.0, 4.0, 8.0, 16.0, 40.0)
MODULATION_FRAMES = 200
# Lags at which a spectrum's fine structure is compared with itself, frames.
LAGS = (4, 10, 20, 50)
SMOOTHING_BINS = 9
# Less than this tells nothing.
LEAST_S = 0.5
# More than this is not looked at.
LONGEST_S = 30.0

# By tools/fit_content.py. In the order of features().
MEANS = (
    4.01,
    3.39,
    3.1,
    2.26,
    0.807,
    0.403,
    9.67,
    0.12,
    0.635,
    0.0525,
    0.472,
    1.32,
    0.333,
    0.226,
    0.174,
    0.13,
    -1.43,
    2.37,
)
SPREADS = (
    1.12,
    1.12,
    0.998,
    0.784,
    0.58,
    0.253,
    5.01,
    0.163,
    0.364,
    0.588,
    0.176,
    0.325,
    0.222,
    0.235,
    0.222,
    0.195,
    0.831,
    0.477,
)
WEIGHTS = (
    0.869,
    0.876,
    0.518,
    -1.11,
    0.192,
    1.4,
    1.06,
    -0.188,
    1.42,
    0.0556,
    -0.996,
    0.246,
    0.437,
    -0.0136,
    -1.14,
    -1.52,
    -0.838,
    0.284,
)
BIAS = 0.526


def speech_probability(samples: NDArray[np.floating], sample_rate: int) -> float:
    """Return how likely ``samples [n]`` are speech rather than music, 0 to 1.

    0.5 where too little sounds, or the rate is too low, to tell.

    Example:
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 16000)
        >>> speech_probability(tone, 16000) < 0.1
        True
    """
    found = features(samples, sample_rate)
    if found is None:
        return 0.5
    z = np.clip((found - np.array(MEANS)) / np.array(SPREADS), -4, 4)
    return 1 / (1 + math.exp(-(float(z @ np.array(WEIGHTS)) + BIAS)))


def features(samples: NDArray[np.floating], sample_rate: int) -> Doubles | None:
    """Return the figures ``[18]`` that are weighed, or None where there is nothing to tell from."""
    if sample_rate < RATE:
        return None
    taken = np.asarray(samples[: round(LONGEST_S * sample_rate)], np.float32)
    low = resample(taken[None], sample_rate, RATE)[0].astype(np.float64)
    if len(low) < LEAST_S * RATE or not np.any(low):
        return None
    power = np.abs(stft(low, hann(WINDOW_SAMPLES), HOP_SAMPLES)) ** 2
    hz = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / RATE)
    kept = (hz >= LOWEST_HZ) & (hz <= HIGHEST_HZ)
    power, hz = power[:, kept], hz[kept]
    power += FLOOR * power.max() + 1e-30
    energy = power.sum(axis=1)
    active = energy > PAUSE * energy.max()
    if active.sum() < LEAST_S * FRAMES_S / 2:
        return None
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)
    at = np.searchsorted(edges, hz, side="right") - 1
    bands = np.stack([power[:, at == band].sum(axis=1) for band in range(BANDS)])
    level = 10 * np.log10(bands + FLOOR * bands.max())
    return np.array(
        [
            *_modulation(level),
            *_dynamics(energy, active, level),
            *_fine_structure(power, active),
        ]
    )


def _modulation(level: Doubles) -> list[float]:
    """How much the bands' levels ``[bands, frames]`` change, by how quickly."""
    # Welch's method: the mean of half-overlapping periodograms.
    span = min(level.shape[1], MODULATION_FRAMES)
    parts = frames(level, span, span - span // 2)
    window = hann(span)
    spectra = np.fft.rfft((parts - parts.mean(axis=-1, keepdims=True)) * window)
    hz = np.fft.rfftfreq(span, 1 / FRAMES_S)
    share = 2 * (np.abs(spectra) ** 2).mean(axis=(0, 1)) / (FRAMES_S * (window**2).sum())
    return [math.log(share[(hz >= a) & (hz < b)].sum() + 1e-3) for a, b in pairwise(MODULATION_HZ)]


def _dynamics(energy: Doubles, active: NDArray[np.bool_], level: Doubles) -> list[float]:
    """Pauses, the spread of levels, how quickly they change, and whether all do together."""
    change = np.abs(np.diff(level, axis=1))
    slow = level[:, 4:] - level[:, :-4]
    unlike = slow - slow.mean(axis=1, keepdims=True)
    spread = np.sqrt((unlike**2).mean(axis=1)) + 1e-3
    together = ((unlike / spread[:, None]).mean(axis=0) ** 2).mean()
    return [
        float(np.mean(energy < 0.25 * energy[active].mean())),
        float(np.std(10 * np.log10(energy))),
        float(np.mean(~active)),
        math.log(change[:, active[1:]].mean() + 1e-3),
        math.log(change.mean(axis=0).std() + 1e-3),
        float(together),
    ]


def _fine_structure(power: Doubles, active: NDArray[np.bool_]) -> list[float]:
    """How pronounced partials are, and how long they stay where they are."""
    log_power = np.log(power)
    padded = np.pad(log_power, ((0, 0), (SMOOTHING_BINS // 2, SMOOTHING_BINS // 2)), "edge")
    fine = log_power - frames(padded, SMOOTHING_BINS, 1).mean(axis=-1)
    size = np.sqrt((fine**2).mean(axis=1)) + 1e-9
    found = [float(size[active].mean())]
    for lag in LAGS:
        both = active[lag:] & active[:-lag]
        alike = (fine[lag:] * fine[:-lag]).mean(axis=1) / (size[lag:] * size[:-lag])
        found.append(float(alike[both].mean()) if both.any() else 0.0)
    mean = power[active].mean(axis=0)
    found.append(float(np.log(mean).mean() - np.log(mean.mean())))
    centre = (power * np.arange(power.shape[1])).sum(axis=1) / power.sum(axis=1)
    found.append(math.log(centre[active].std() + 0.1))
    return found
