"""Kuleshov's protocol, down and up: Chebyshev decimation and the cubic B-spline.

Kuleshov et al. (2017) and Birnbaum et al. (2019) make the input with ``scipy.signal.decimate``
(:mod:`overtone.dsp.decimation`) and bring it back to the full rate with ``splrep`` and ``splev``.
"""

from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.interpolate import splev, splrep

from overtone.errors import InvalidInputError

Floats = NDArray[np.floating]

# What a knot does to a cubic spline decays by 2 - sqrt(3) a knot: after 64 it is 1e-37.
MARGIN_KNOTS = 64
BLOCK_KNOTS = 1 << 16


def decimate(high: Floats, scale: int, *, low_pass: bool = True) -> NDArray[np.float32]:
    """Keep every ``scale``-th sample of ``high`` (``[..., samples]``), low-passed before.

    The result has ``ceil(samples / scale)`` samples; its first is aligned with the first of
    ``high``. Without ``low_pass`` the band above aliases. Computed in float64: the filter's
    poles lie too close together for float32 at large scales.

    Raises:
        InvalidInputError: ``scale`` is below 2, or the recording is too short to filter.

    Example:
        >>> decimate(np.ones(100), 4).shape
        (25,)
    """
    if scale < 2:
        raise InvalidInputError(f"scale must be at least 2, not {scale}")
    if not low_pass:
        return np.ascontiguousarray(high[..., ::scale], dtype=np.float32)
    if high.shape[-1] < MIN_DECIMATED_SAMPLES:
        raise InvalidInputError(
            f"{high.shape[-1]} samples are too few to low-pass; at least"
            f" {MIN_DECIMATED_SAMPLES} are needed"
        )
    return np.asarray(signal.decimate(high.astype(np.float64), scale, axis=-1), dtype=np.float32)


# Forward-backward filtering extends both ends by this many samples, and needs one more.
MIN_DECIMATED_SAMPLES = 28


def interpolate(low: Floats, ratio: Fraction | int) -> NDArray[np.float32]:
    """Evaluate a cubic B-spline through ``low`` (``[..., samples]``) ``ratio`` times as densely.

    The result has ``round(samples * ratio)`` samples, the first aligned with the first of ``low``;
    the last few lie beyond the last knot and are extrapolated, as there. Fewer than four
    samples get the spline of the highest degree that they determine. Memory is bounded: the
    spline is solved in overlapping blocks, whose seams are below rounding.

    Example:
        >>> interpolate(np.array([0.0, 1.0, 4.0, 9.0]), 2)[1:6].tolist()
        [0.25, 1.0, 2.25, 4.0, 6.25]
    """
    ratio = Fraction(ratio)
    if ratio <= 0:
        raise InvalidInputError(f"the ratio of rates must be above 0, not {ratio}")
    samples = low.shape[-1]
    out = np.empty((*low.shape[:-1], _round_half_up(samples * ratio)), np.float32)
    for index in np.ndindex(*low.shape[:-1]):
        _interpolate_channel(low[index].astype(np.float64), ratio, out[index])
    return out


def _round_half_up(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _interpolate_channel(
    low: NDArray[np.float64], ratio: Fraction, out: NDArray[np.float32]
) -> None:
    samples = low.size
    if samples == 0:
        return
    if samples == 1:
        out[:] = low[0]
        return
    # A short last block is joined to the one before: it could not hold its own margin.
    starts = list(range(0, max(samples - BLOCK_KNOTS // 2, 1), BLOCK_KNOTS))
    bounds = [*starts, samples]
    for start, stop in pairwise(bounds):
        first, last = max(0, start - MARGIN_KNOTS), min(samples, stop + MARGIN_KNOTS)
        knots = np.arange(last - first, dtype=np.float64)
        spline = splrep(knots, low[first:last], k=min(3, last - first - 1))
        begin = _ceil(start * ratio)
        end = out.size if stop == samples else _ceil(stop * ratio)
        # Position of output sample i is i / ratio; integers first, so that long files stay exact.
        indices = np.arange(begin, end, dtype=np.int64) * ratio.denominator
        positions = (indices - first * ratio.numerator) / ratio.numerator
        out[begin:end] = splev(positions, spline)


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
