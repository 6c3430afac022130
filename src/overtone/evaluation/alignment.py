"""Whole-sample alignment of an estimate with its reference, by cross-correlation."""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from overtone.errors import InvalidInputError

FloatArray = NDArray[np.float32]

MAX_SHIFT_S = 0.5
LENGTH_TOLERANCE_S = 0.1
# A minute tells the shift of any length, and keeps the transforms small.
ANALYSED_S = 60.0
# What a shift has to gain: an estimate that differs anyway may correlate best a sample or two off.
MIN_GAIN_DB = 0.5
# Correlations this close to the highest differ by rounding only; the smallest shift is taken.
ROUNDING = 1e-9


def find_shift(reference: FloatArray, estimate: FloatArray, rate: int) -> int:
    """By how many samples ``estimate`` is late (negative: early), at most 0.5 s.

    The shift at which the correlation over the first minute, summed over the channels, is
    highest; 0 unless that gains 0.5 dB of signal-to-distortion ratio. Both are
    ``[channels, samples]``, of any two lengths; silence has no shift.
    """
    count = round(ANALYSED_S * rate)
    y, x = (side[:, :count].astype(np.float64) for side in (reference, estimate))
    if y.shape[1] == 0 or x.shape[1] == 0:
        return 0
    lags = signal.correlation_lags(x.shape[1], y.shape[1])
    total = np.sum(
        [signal.correlate(b, a, method="fft") for a, b in zip(y, x, strict=True)], axis=0
    )
    near = np.abs(lags) <= MAX_SHIFT_S * rate
    lags, total = lags[near], total[near]
    scale = float(np.linalg.norm(y) * np.linalg.norm(x))
    highest = float(total.max(initial=0.0))
    unmoved = max(float(total[lags == 0][0]), 0.0)
    # (1 - r^2) is the share of the energy that is error, r being the correlation coefficient.
    error, error_unmoved = (scale**2 - product**2 for product in (highest, unmoved))
    if highest <= 0 or error > 10 ** (-MIN_GAIN_DB / 10) * error_unmoved:
        return 0
    best = lags[total >= highest * (1 - ROUNDING)]
    return int(best[np.argmin(np.abs(best))])


def overlap(
    reference: FloatArray, estimate: FloatArray, rate: int, shift: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Return what both have in common once ``estimate`` is moved ``shift`` samples earlier.

    Raises:
        InvalidInputError: the lengths differ by more than 0.1 s and the shift.
    """
    lengths = reference.shape[1], estimate.shape[1]
    if abs(lengths[0] - lengths[1]) > LENGTH_TOLERANCE_S * rate + abs(shift):
        raise InvalidInputError(
            f"lasts {lengths[1] / rate:.3f} s, its reference {lengths[0] / rate:.3f} s: trim them"
            f" to within {LENGTH_TOLERANCE_S} s"
        )
    y, x = reference[:, max(-shift, 0) :], estimate[:, max(shift, 0) :]
    count = min(y.shape[1], x.shape[1])
    return y[:, :count], x[:, :count]
