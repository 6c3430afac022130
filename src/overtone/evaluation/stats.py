"""A mean, and how far it would move with other recordings of the same kind.

The interval is Efron's percentile bootstrap (1979). Patches cut from one recording overlap and
resemble each other; treated as independent they promise an interval that is too narrow. So whole
groups are drawn, as in the cluster bootstrap of Davison and Hinkley (1997, section 3.8).
"""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.errors import InvalidInputError

RESAMPLES = 2000
LEVEL = 0.95
# Drawn at once, at most: memory stays bounded whatever the number of groups.
_DRAWN = 1 << 20


class Mean(NamedTuple):
    """A mean and its interval; ``nan`` where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def text(self, decimals: int, sign: str = "") -> str:
        """Return it as printed, as in ``+1.02 [0.91, 1.13]``; ``n/a`` for no mean."""
        if math.isnan(self.value):
            return "n/a"
        value, low, high = (f"{number:{sign}.{decimals}f}" for number in self)
        return value if math.isnan(self.low) else f"{value} [{low}, {high}]"


def mean_with_interval(
    values: ArrayLike,
    groups: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Mean:
    """Return the mean of ``values`` with its percentile bootstrap interval.

    ``groups`` names the recording that each value comes from: recordings are drawn with
    replacement, and all values of those drawn are averaged. Without it every value is a group of
    its own. NaN values are left out, and groups that hold nothing else. Fewer than two groups say
    nothing about others: there is no interval. The same arguments give the same interval.

    Raises:
        InvalidInputError: ``groups`` is not as long as ``values``, or ``resamples`` or ``level``
            is not a possible value.

    Example:
        >>> mean = mean_with_interval([1.0, 2.0, 4.0, 5.0])
        >>> mean.low < mean.value == 3.0 < mean.high
        True
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
    value = math.fsum(array[~np.isnan(array)]) / counts.sum() if counts.size else math.nan
    if sums.size < 2:
        return Mean(value)
    from scipy.stats import bootstrap  # a second of import: only for who needs an interval

    found = bootstrap(
        (sums, counts),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=resamples,
        confidence_level=level,
        batch=max(1, _DRAWN // sums.size),
        rng=np.random.default_rng(seed),
    )
    return Mean(value, *map(float, found.confidence_interval))


def _by_group(
    values: NDArray[np.float64], groups: Sequence[Hashable]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum and the number of the defined values of each group, in order of appearance."""
    numbers: dict[Hashable, int] = {}
    member = np.array([numbers.setdefault(group, len(numbers)) for group in groups], np.int64)
    defined = ~np.isnan(values)
    sums = np.bincount(member[defined], values[defined], len(numbers)).astype(np.float64)
    counts = np.bincount(member[defined], minlength=len(numbers)).astype(np.float64)
    return sums[counts > 0], counts[counts > 0]
