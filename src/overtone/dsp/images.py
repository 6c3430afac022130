"""Mirror images: what is left of a low rate by zero-stuffing, repeated samples or interpolation.

Without a filter the spectrum above the low rate's Nyquist frequency mirrors what lies below, bin
by bin and frame by frame. No natural sound does that, whatever its envelope.
"""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

LOW_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000)
WHOLE_RATIOS = (2, 3, 4, 6, 8)
SMOOTHED_BINS = 9
ALIKE, UNLIKE = 0.5, 0.25
"""Correlation of the fine structure on both sides of a mirror: usually, and at least."""
LEAST_BINS, LEAST_FRAMES, WIDEST_HZ = 20, 4, 2000.0
LOWEST_MIRROR_HZ = 3500.0


class MirrorMeter:
    """Compares the spectrum below and above each place where a mirror may stand."""

    def __init__(self, bins: int, sample_rate: int) -> None:
        nyquist_hz, bin_hz = sample_rate / 2, sample_rate / 2 / (bins - 1)
        mirrors = {low / 2 for low in LOW_RATES_HZ if low < 0.95 * sample_rate}
        mirrors |= {
            nyquist_hz / ratio for ratio in WHOLE_RATIOS if nyquist_hz / ratio > LOWEST_MIRROR_HZ
        }
        self._sides: dict[float, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        for hz in sorted(mirrors):
            width_hz = min(0.6 * hz, 0.9 * (nyquist_hz - hz), WIDEST_HZ)
            away = np.arange(3, int(width_hz / bin_hz))
            if away.size >= LEAST_BINS:
                below = np.round(hz / bin_hz - away).astype(np.int64)
                above = np.round(2 * hz / bin_hz - below).astype(np.int64)
                self._sides[hz] = below, above
        self._alike: dict[float, list[float]] = {hz: [] for hz in self._sides}

    def copy(self) -> MirrorMeter:
        """Return an independent copy."""
        twin = copy(self)
        twin._alike = {hz: list(found) for hz, found in self._alike.items()}
        return twin

    def add(self, powers: NDArray[np.floating]) -> None:
        """Take a batch of frames ``[frames, bins]``; silent ones say nothing."""
        sounding = powers[powers.sum(axis=1) > 0]
        if len(sounding) < LEAST_FRAMES or not self._alike:
            return
        fine = _fine_structure(np.log(sounding + 1e-30))
        fine -= fine.mean(axis=0)  # partials that last may lie alike by chance
        for hz, found in list(self._alike.items()):
            below, above = (fine[:, side] for side in self._sides[hz])
            energy = np.sqrt((below * below).sum() * (above * above).sum())
            found.append(float((below * above).sum() / energy) if energy > 0 else 0.0)
            # One batch without images is enough: what is above was recorded.
            if len(found) > 1 and min(found) < UNLIKE:
                del self._alike[hz]

    def mirror_hz(self) -> float | None:
        """The lowest mirror there is, in Hz; None without."""
        for hz, found in self._alike.items():
            if found and np.median(found) > ALIKE:
                return hz
        return None


def _fine_structure(log_powers: NDArray[np.floating]) -> NDArray[np.floating]:
    """Each frame less its envelope, a running mean over frequency."""
    half = SMOOTHED_BINS // 2
    padded = np.pad(log_powers, ((0, 0), (half + 1, half)), mode="edge")
    sums = np.cumsum(padded, axis=1, dtype=np.float64)
    return log_powers - (sums[:, SMOOTHED_BINS:] - sums[:, :-SMOOTHED_BINS]) / SMOOTHED_BINS
