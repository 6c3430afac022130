"""Weights over frequency that bound what is added to a recording."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DoubleArray = NDArray[np.floating]

# The crossover runs over the last part of the kept band, as in the spectral extender.
CROSSOVER_START = 0.97
# Where converters and resamplers have rolled off to half, as a part of the band, and how steeply
# (a standard deviation): soxr's VHQ is -3 dB at 0.95 and -43 dB at 0.98.
ROLLED_OFF = 0.954
ROLL_OFF_WIDTH = 0.0105
# Half the width of the residual's upper edge: a few bins of a frame. It ends above the cutoff.
EDGE_HZ = 50.0


def crossover(frequencies_hz: DoubleArray, cutoff_hz: float) -> DoubleArray:
    """Weight of the prediction: 0 below, 1 from the cutoff upward."""
    ramp = (np.asarray(frequencies_hz) / cutoff_hz - CROSSOVER_START) / (1 - CROSSOVER_START)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(ramp, 0, 1)), np.float64)


def on_lines(
    frequencies_hz: DoubleArray, lines_hz: tuple[float, ...], bins: int
) -> NDArray[np.bool_]:
    """Which of evenly spaced frequencies lie within so many ``bins`` of a steady line."""
    near_hz = bins * (frequencies_hz[1] - frequencies_hz[0])
    found = np.zeros(np.shape(frequencies_hz), bool)
    for line_hz in lines_hz:
        found |= np.abs(frequencies_hz - line_hz) <= near_hz
    return found


@dataclass(frozen=True)
class OutputBandLimit:
    """Where an output of a lower rate than the model's ends, in the model's frequencies.

    Of the output nothing may be left above; or, if the recording takes the ``bypass`` around the
    model, of the residual alone. Then every n-th sample of it is the output's.
    """

    hz: float
    bypass: bool

    def roll_off(self, frequencies_hz: DoubleArray, cutoff_hz: float) -> DoubleArray:
        """Weight of the prediction: as a converter's that ends here, but not below the cutoff.

        Recordings of any rate end so, whether they were made at it or converted to it.
        """
        far = (np.asarray(frequencies_hz) / self.hz - ROLLED_OFF) / (math.sqrt(2) * ROLL_OFF_WIDTH)
        falling = 0.5 * np.array([math.erfc(distance) for distance in far])
        return np.asarray(np.where(frequencies_hz < cutoff_hz, 1.0, falling))

    def edge(self, frequencies_hz: DoubleArray, cutoff_hz: float) -> DoubleArray:
        """Weight of the residual: 1; with the bypass, 1 below, 0.5 here, 0 above.

        The edge is symmetric: folded down here, what lies above adds up to 1 with what lies below.
        So what is taken away just below, and mirrored just above, goes completely.
        """
        if not self.bypass:
            return np.ones(np.shape(frequencies_hz))
        half_hz = np.clip(self.hz - cutoff_hz, 1.0, EDGE_HZ)
        fall = (self.hz - np.asarray(frequencies_hz)) / (2 * half_hz)
        return np.asarray(np.clip(0.5 + fall, 0, 1), np.float64)
