"""The low-pass of ``scipy.signal.decimate``: AudioUNet's protocol and many files use it.

A Chebyshev I filter of order 8 with 0.05 dB of ripple, whose ripple ends at 0.8 of the low Nyquist
frequency, run forward and backward.
"""

import math

import numpy as np
from numpy.typing import NDArray

DoubleArray = NDArray[np.floating]

FILTER_ORDER, FILTER_RIPPLE_DB, FILTER_EDGE = 8, 0.05, 0.8


def decimation_response(frequencies_hz: DoubleArray, sample_rate: int, scale: int) -> DoubleArray:
    """Return its magnitude response at ``sample_rate``, of which a ``scale``-th will be left.

    By the bilinear transform with its edge prewarped (Oppenheim & Schafer), squared; its phase is
    zero.
    """
    edge = math.tan(math.pi / 2 * FILTER_EDGE / scale)
    warped = np.tan(np.pi * np.asarray(frequencies_hz) / sample_rate) / edge
    polynomial = np.polynomial.chebyshev.Chebyshev.basis(FILTER_ORDER)(warped)
    ripple = 10 ** (FILTER_RIPPLE_DB / 10) - 1
    return np.asarray(1 / (1 + ripple * polynomial**2), np.float64)
