"""Bootstrap intervals: how far a mean would move with other recordings of the same kind.

Efron's percentile bootstrap (1979). Patches cut from one recording overlap and resemble each
other; treated as independent they promise an interval that is too narrow. So whole groups are
drawn, as in the cluster bootstrap of Davison and Hinkley (1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.errors import InvalidInputError

FloatArray = NDArray[np.float64]

RESAMPLES = 2000
LEVEL = 0.95
# Drawn at once, at most: memory stays bounded whatever the number of groups.
_DRAWN = 1 << 20


def bootstrap_interval(
    values: ArrayLike,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Return ``(low, high)``, the percentile bootstrap interval of the mean of ``values``.

    ``groups`` names the recording that each value comes from: recordings are drawn with
    replacement, and all values of those drawn are averaged. Without it every value is a group of
    its own. NaN values are left out, and groups that hold nothing else. Fewer than two groups say
    nothing about others: the interval is ``(nan, nan)``.

    The same arguments give the same interval.

    Raises:
        InvalidInputError: ``groups`` is not as long as ``values``, or ``resamples`` or ``level``
            is not a possible value.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or (groups is not None and len(groups) != array.size):
        raise InvalidInputError(
            f"values {array.shape} and groups {None if groups is None else len(groups)}: give one"
            " row of values and one group for each"
        )
    if resamples < 1 or not 0 < level < 1:
        raise InvalidInputError(
            f"resamples must be at least 1 and level within 0 to 1, not {resamples} and {level:g}"
        )
    sums, counts = _by_group(array, range(array.size) if groups is None else groups)
    if sums.size < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    step = max(1, _DRAWN // sums.size)
    means = []
    for start in range(0, resamples, step):
        drawn = rng.integers(sums.size, size=(min(step, resamples - start), sums.size))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def _by_group(values: FloatArray, groups: Sequence[Hashable]) -> tuple[FloatArray, FloatArray]:
    """The sum and the number of the defined values of each group, in order of appearance."""
    numbers: dict[Hashable, int] = {}
    member = np.array([numbers.setdefault(group, len(numbers)) for group in groups], np.int64)
    defined = ~np.isnan(values)
    sums = np.bincount(member[defined], values[defined], len(numbers)).astype(np.float64)
    counts = np.bincount(member[defined], minlength=len(numbers)).astype(np.float64)
    return sums[counts > 0], counts[counts > 0]
