"""What a spectrum tells of a recording's past: resamplers, codecs and filters leave traces.

- A resampler with a gentle filter leaves a mirror image of what lies below the old Nyquist
  frequency above it. Where, frame by frame, the spectrum rises and falls above a frequency as it
  does below, mirrored, that frequency was one. One with a steep filter leaves an edge just under
  it instead.
- A codec ends on a wall, steeper than filters, at a frequency that its bit rate sets; and MP3,
  Vorbis and AAC leave holes below it: bands that were not worth a bit in one frame.
- A filter leaves a slope.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.stft import frames, hann

Floats = NDArray[np.float32]

BIN_HZ = 25.0
"""All usual Nyquist frequencies are multiples of half of it, so that their mirrors are bins."""
FRAME_S = 1 / BIN_HZ
RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
LOUD_RANGE_DB = 35.0
FLOOR = 1e-15

# Mirror images: the bins that are compared, so far from the Nyquist frequency.
NEAREST_BIN, FARTHEST_BIN, SMOOTHED_BINS = 6, 32, 5
IMAGE_CORRELATION = 0.5
"""Natural spectra come to 0.25, images to 0.8 and more."""
LEAST_FRAMES = 12
LEAST_IMAGE = 1e-13
"""Under this mean power of a bin, softer than 16-bit dither, lies what arithmetic left."""

# Walls: medians of so many hertz on both sides of so narrow a gap.
LOWEST_WALL_HZ, SIDE_HZ, GAP_HZ = 1500.0, 600.0, 120.0
LEAST_WALL_DB = 19.0
WALL_TOP_DB = 6.0
HOLE_BINS, HOLE_DB = 8, 18.0
HOLES_FROM, HOLES_TO = 0.6, 0.95


@dataclass(frozen=True)
class Wall:
    """The steepest fall of a spectrum.

    It starts at ``edge_hz``, 6 dB down, is ``drop_db`` deep and ``width_hz`` wide. ``holes`` is the
    part of the tiles of time and frequency below it that lie far under both their neighbours.
    """

    edge_hz: float
    drop_db: float
    width_hz: float
    holes: float


class TraceMeter:
    """Collects the spectra of audio that arrives in blocks; keeps all, so give it seconds.

    A second of 48 kHz takes 100 kB, whatever the number of channels.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._size = round(sample_rate * FRAME_S)
        window = hann(self._size)
        self._window = (window / (window.sum() / 2)).astype(np.float32)
        self._powers: list[Floats] = []

    def push(self, block: Floats) -> None:
        """Analyse ``[channels, n]``; what does not fill a frame is left out."""
        if block.shape[1] < self._size:
            return
        spectra = np.fft.rfft(frames(block, self._size, self._size) * self._window)
        self._powers.append((spectra.real**2 + spectra.imag**2).mean(axis=0, dtype=np.float32))

    def _loud(self) -> Floats:
        powers = np.concatenate(self._powers) if self._powers else np.zeros((0, 1), np.float32)
        level = powers.sum(axis=1)
        loud: Floats = powers[level > level.max(initial=0) * 10 ** (-LOUD_RANGE_DB / 10)]
        return loud

    def upsampled_from(self) -> int | None:
        """Return the rate, in Hz, at which the recording was before, if it left mirror images."""
        powers = self._loud()
        if len(powers) < LEAST_FRAMES:
            return None
        for rate in RATES_HZ:
            middle = rate / 2 / BIN_HZ
            if middle + FARTHEST_BIN < powers.shape[1] and _mirrored(powers, middle):
                return rate
        return None

    def wall(self) -> Wall | None:
        """Return the steepest fall that is steep enough to be no natural one."""
        powers = self._loud()
        side, gap = round(SIDE_HZ / BIN_HZ), round(GAP_HZ / BIN_HZ)
        first = round(LOWEST_WALL_HZ / BIN_HZ)
        if len(powers) < LEAST_FRAMES or powers.shape[1] < first + 2 * side + gap:
            return None
        level_db = _smoothed(10 * np.log10(np.quantile(powers, 0.9, axis=0) + FLOOR), 3)
        windows = np.lib.stride_tricks.sliding_window_view(level_db, side)
        below, above = np.median(windows, axis=1), np.quantile(windows, 0.9, axis=1)
        edges = np.arange(first, len(level_db) - side - gap)
        drops = below[edges - side] - above[edges + gap]
        edge, drop_db = int(edges[np.argmax(drops)]), float(drops.max())
        if drop_db < LEAST_WALL_DB:
            return None
        top_db, bottom_db = below[edge - side], np.median(windows[edge + gap])
        near = level_db[edge - side : edge + gap + side]
        start = edge - side + int(np.flatnonzero(near > top_db - WALL_TOP_DB)[-1])
        low = np.flatnonzero(level_db[start:] < bottom_db + WALL_TOP_DB)
        width = int(low[0]) if low.size else 0
        return Wall(start * BIN_HZ, drop_db, width * BIN_HZ, _holes(powers, edge))


def _mirrored(powers: Floats, middle: float) -> bool:
    """Tell whether, around a bin or half a bin, the spectra rise and fall as in a mirror."""
    away = np.arange(NEAREST_BIN, FARTHEST_BIN + 1) + middle % 1
    sides = [
        np.log(powers[:, (middle + sign * away).astype(int)] + FLOOR).astype(np.float64)
        for sign in (-1, 1)
    ]
    loud = sides[0].mean(axis=1) >= np.median(sides[0].mean(axis=1))
    if np.exp(sides[1]).mean() < LEAST_IMAGE:
        return False
    # What is left of a spectrum without its slope, and of a bin without its mean, is its own.
    low, high = (_fluctuation(side[loud]) for side in sides)
    scale = np.sqrt((low**2).sum(axis=0) * (high**2).sum(axis=0)) + 1e-9
    correlations = np.sort((low * high).sum(axis=0) / scale)
    return bool(correlations[len(correlations) // 2 :].mean() > IMAGE_CORRELATION)


def _fluctuation(log_powers: NDArray[np.float64]) -> NDArray[np.float64]:
    half = SMOOTHED_BINS // 2
    windows = np.lib.stride_tricks.sliding_window_view(log_powers, SMOOTHED_BINS, axis=1)
    rest = log_powers[:, half:-half] - windows.mean(axis=2)
    return np.asarray(rest - rest.mean(axis=0))


def _holes(powers: Floats, edge: int) -> float:
    first = int(HOLES_FROM * edge)
    count = int((HOLES_TO - HOLES_FROM) * edge) // HOLE_BINS
    if count < 3:
        return 0.0
    tiles = powers[:, first : first + count * HOLE_BINS].reshape(len(powers), count, HOLE_BINS)
    level_db = 10 * np.log10(tiles.mean(axis=2) + FLOOR)
    beside_db = np.minimum(level_db[:, :-2], level_db[:, 2:])
    return float(np.mean(beside_db - level_db[:, 1:-1] > HOLE_DB))


def _smoothed(level_db: Floats, bins: int) -> Floats:
    return np.convolve(level_db, np.ones(bins) / bins, "same").astype(np.float32)
