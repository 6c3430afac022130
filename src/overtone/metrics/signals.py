"""What every metric does first: check the two signals, take their channels, cut them in blocks."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.errors import InvalidInputError

Channel = NDArray[Any]
"""One channel, ``[samples]``, in the dtype it came in."""
Floats = NDArray[np.float64]

_BLOCK_SAMPLES = 1 << 18


def channel_mean(
    metric: Callable[[Channel, Channel], float],
    reference: ArrayLike,
    estimate: ArrayLike,
) -> float:
    """Return the mean of ``metric(reference, estimate)`` over the channels."""
    pairs = checked_channels(reference, estimate)
    return mean(metric(y, x) for y, x in zip(*pairs, strict=True))


def check_cutoff(cutoff_hz: float, sample_rate: int) -> None:
    """Refuse a cutoff that leaves nothing above it, or nothing below."""
    if not 0 < cutoff_hz < sample_rate / 2:
        raise InvalidInputError(
            f"cutoff {cutoff_hz:g} Hz: must be above 0 and below half the sample rate,"
            f" {sample_rate / 2:g} Hz"
        )


def checked_channels(
    reference: ArrayLike, estimate: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as ``[channels, samples]``, or raise what is wrong with them."""
    y, x = np.asarray(reference), np.asarray(estimate)
    if y.shape != x.shape:
        raise InvalidInputError(
            f"reference {y.shape} and estimate {x.shape} differ in shape: "
            "trim to one length and mix down to one channel count"
        )
    if y.ndim not in (1, 2) or y.size == 0:
        raise InvalidInputError(
            f"cannot score arrays of shape {y.shape}: need [samples] or [channels, samples]"
        )
    for name, array in (("reference", y), ("estimate", x)):
        if array.dtype.kind not in "fi":
            raise InvalidInputError(f"the {name} is {array.dtype}: need floats or signed integers")
        if not np.all(np.isfinite(array)):
            raise InvalidInputError(f"the {name} holds NaN or infinite samples: remove them first")
    return np.atleast_2d(y), np.atleast_2d(x)


def as_float64(samples: Channel) -> Floats:
    """Return float64 samples; integers are scaled so that full scale is 1."""
    if samples.dtype.kind == "i":
        return samples / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float64)


def mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are not ``nan``; ``nan`` if there are none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def sample_blocks(y: Channel, x: Channel) -> Iterator[tuple[Floats, Floats]]:
    """Yield both channels in float64 a few seconds at a time, so that no long copy is made."""
    for start in range(0, y.size, _BLOCK_SAMPLES):
        block = slice(start, start + _BLOCK_SAMPLES)
        yield as_float64(y[block]), as_float64(x[block])
