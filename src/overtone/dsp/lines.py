"""Steady tones in a spectrum: whistles, pilots, whine and hum.

They say nothing about where a recording's band ends, and their energy in one band looks like an
edge, or fills the emptiness above one. What tells a line from the partials of a voice is that it is
there all the time at one level: in the quieter part of the frames it stands out from its
neighbours, and its median is hardly stronger. (The power of noise in a bin is distributed
exponentially: there the same two quantiles are 6 dB apart.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

QUIET_QUANTILE, USUAL_QUANTILE = 0.2, 0.6
STEADY_RATIO = 2.0
"""At most so far do the two quantiles of a line's power lie apart, as a ratio."""
PROMINENCE = 10.0
"""So many times as strong as what lies beside it is a line at least,"""
BESIDE_BINS = (5, 12)
"""namely so many bins away on either side."""
WIDEST_BINS = 40
ENOUGH_FRAMES = 12


def find_lines(powers: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find steady lines in ``[frames, bins]`` of a Hann window; digital silence aside.

    Returns:
        The bins of their peaks, and for every bin whether a line covers it, side lobes included.
    """
    covered = np.zeros(powers.shape[1], bool)
    sounding = powers[powers.sum(axis=1) > 0]
    if len(sounding) < ENOUGH_FRAMES:
        return np.zeros(0, np.int64), covered
    ordered = np.sort(np.ascontiguousarray(sounding.T), axis=1)
    quiet, usual = (
        ordered[:, int(q * len(sounding))].astype(np.float64) + 1e-30
        for q in (QUIET_QUANTILE, USUAL_QUANTILE)
    )
    beside = _beside(np.log(quiet))
    steady = (usual < STEADY_RATIO * quiet) & (quiet > PROMINENCE * np.exp(beside))
    peaks = np.flatnonzero(steady & (quiet >= _highest_near(quiet)))
    away = np.arange(len(quiet))
    for peak in peaks:
        distance = np.abs(away - peak)
        lobes = quiet[peak] * SIDE_LOBES[np.minimum(distance, len(SIDE_LOBES) - 1)]
        # Where what else is there is usually stronger than the side lobes, it stays.
        covered |= (distance < len(SIDE_LOBES)) & (2 * lobes > usual)
    return peaks, covered


def without(powers: NDArray[np.floating], covered: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Return ``[frames, bins]`` with the covered bins filled in from both sides, frame by frame."""
    if not covered.any():
        return powers
    filled = powers.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], covered, [False]]).astype(int)))
    for start, end in edges.reshape(-1, 2):
        # A mean that was taken out of the frames is left in the first two bins.
        sides = [powers[:, max(2, start - 3) : start], powers[:, end : end + 3]]
        logs = [np.log(side.mean(axis=1) + 1e-30) for side in sides if side.shape[1]]
        if not logs:
            continue
        way = (np.arange(start, end) - start + 0.5) / (end - start)
        between = logs[0][:, None] + way * (logs[-1] - logs[0])[:, None]
        filled[:, start:end] = np.exp(between)
    return filled


def _side_lobes() -> Floats:
    """The most that a Hann window shows of a line so many bins away, relative to its peak."""
    away = np.arange(3, WIDEST_BINS + 1) - 0.5  # a line may lie half a bin beside its peak
    return np.concatenate([np.ones(3), (1 / (np.pi * away * (away**2 - 1))) ** 2])


SIDE_LOBES = _side_lobes()


def _beside(log_powers: Floats) -> Floats:
    """The mean beside each bin, on the side where it is lower."""
    near, far = BESIDE_BINS
    padded = np.pad(log_powers, far, mode="reflect")
    sums = np.concatenate([[0.0], np.cumsum(padded)])
    means = (sums[far - near + 1 :] - sums[: near - far - 1]) / (far - near + 1)
    count = log_powers.size
    return np.asarray(np.minimum(means[:count], means[far + near : far + near + count]))


def _highest_near(powers: Floats) -> Floats:
    """The highest of each bin and the two on either side."""
    padded = np.pad(powers, 2)
    return np.asarray(np.max([padded[i : i + powers.size] for i in range(5)], axis=0))
