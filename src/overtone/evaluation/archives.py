"""The lineage's table: methods and the spline scored on an archive of patches.

Every patch (or whole file) is one item. Means are over items; their bootstrap intervals draw
recordings, because the patches of one recording overlap. The gain of a method is the mean of the
paired differences to the spline, item by item.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overtone.data.archive import ArchiveInfo, PatchArchive
from overtone.degrade.spline import interpolate
from overtone.errors import InvalidInputError
from overtone.evaluation.intervals import bootstrap_interval
from overtone.evaluation.methods import Method, find_method
from overtone.files import sha256_of
from overtone.metrics import lineage_lsd, lineage_snr_db, lsd, snr_db

FloatArray = NDArray[np.float32]
Scores = NDArray[np.float64]
Progress = Callable[[int, int], None]

METRIC_FUNCTIONS = {
    "snr_db": snr_db,
    "lsd": lsd,
    "lineage_snr_db": lineage_snr_db,
    "lineage_lsd": lineage_lsd,
}
BATCH_PATCHES = 32


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval; NaN where there is none."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One method by one metric: the spline's score, its own, and the paired difference."""

    method: str
    identity: str
    metric: str
    baseline: Estimate
    score: Estimate
    gain: Estimate


@dataclass(frozen=True)
class ArchiveScores:
    """What :func:`evaluate_archive` found.

    ``undefined`` counts the items without an SNR: their reference is silent.
    """

    name: str
    sha256: str
    info: ArchiveInfo
    items: int
    recordings: int
    undefined: int
    comparisons: tuple[Comparison, ...]


def evaluate_archive(
    path: Path, methods: Sequence[str], *, progress: Progress | None = None
) -> ArchiveScores:
    """Score ``methods`` and the cubic spline on the archive at ``path``.

    The spline is the archive's own low side where that was interpolated when it was prepared,
    and is computed patch by patch where it was not. Names are those of
    :func:`~overtone.evaluation.methods.find_method`; ``progress`` is told items done and in all.

    Raises:
        InvalidInputError: no archive there, a model for another rate or scale, or patches that do
            not start on a low sample and a method that needs these.
        ModelError, ConfigError, MissingExtraError: as :func:`find_method`.
    """
    with PatchArchive(path) as archive:
        settings = archive.info.settings
        found = _distinct(
            find_method(name, settings.sample_rate, settings.scale)
            for name in dict.fromkeys(methods)
        )
        _check_starts(archive, found)
        baseline, scores = _score(archive, found, progress)
        # The lineage's lists name files several times over: a recording is known by its contents.
        groups = [archive.file_sha256[number] for number in archive.patch_file]
        return ArchiveScores(
            name=path.name,
            sha256=sha256_of(path),
            info=archive.info,
            items=len(archive),
            recordings=len(set(groups)),
            undefined=int(np.isnan(baseline[:, 0]).sum()),
            comparisons=tuple(
                Comparison(
                    method.name,
                    method.identity,
                    metric,
                    _estimate(baseline[:, column], groups),
                    _estimate(own[:, column], groups),
                    _estimate(own[:, column] - baseline[:, column], groups),
                )
                for method, own in zip(found, scores, strict=True)
                for column, metric in enumerate(METRIC_FUNCTIONS)
            ),
        )


def _distinct(methods: Iterable[Method]) -> list[Method]:
    """Each once, and under a name of its own: two of one name get their identity's head."""
    found = list({(method.name, method.identity): method for method in methods}.values())
    names = [method.name for method in found]
    return [
        replace(method, name=f"{method.name} {method.identity[:8]}")
        if names.count(method.name) > 1
        else method
        for method in found
    ]


def _check_starts(archive: PatchArchive, methods: Sequence[Method]) -> None:
    settings = archive.info.settings
    needing = [method.name for method in methods if method.takes_low]
    if settings.interpolate and needing and (archive.patch_start % settings.scale).any():
        raise InvalidInputError(
            f"{archive.path}: stride {settings.stride} is no multiple of scale {settings.scale}, so"
            f" not every patch starts on a low sample, from which {needing[0]} begins; prepare it"
            " with another --stride"
        )


def _score(
    archive: PatchArchive, methods: Sequence[Method], progress: Progress | None
) -> tuple[Scores, list[Scores]]:
    """The spline's scores and each method's, ``[items, metrics]``."""
    shape = len(archive), len(METRIC_FUNCTIONS)
    baseline, scores = np.empty(shape), [np.empty(shape) for _ in methods]
    done = 0
    for low, base, high in _batches(archive):
        part = slice(done, done + len(high))
        baseline[part] = _scores(high, base)
        for method, own in zip(methods, scores, strict=True):
            own[part] = _scores(high, _run(method, low, base))
        done = part.stop
        if progress is not None:
            progress(done, len(archive))
    return baseline, scores


def _batches(archive: PatchArchive) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """Items in order: at the low rate, by the spline, and the truth, ``[items, samples]`` each."""
    settings = archive.info.settings
    size = 1 if settings.whole_files else BATCH_PATCHES
    for start in range(0, len(archive), size):
        items = [archive[index] for index in range(start, min(start + size, len(archive)))]
        stored, high = (np.stack(side) for side in zip(*items, strict=True))
        if settings.interpolate:
            yield stored[:, :: settings.scale], stored, high
        else:
            yield stored, interpolate(stored, settings.scale), high


def _run(method: Method, low: FloatArray, base: FloatArray) -> FloatArray:
    if not method.takes_low:
        return method.upsample(low, base)
    pairs = zip(low, base, strict=True)
    return np.concatenate([method.upsample(one[None], spline[None]) for one, spline in pairs])


def _scores(high: FloatArray, estimate: FloatArray) -> Scores:
    """``[items, metrics]``."""
    return np.array(
        [
            [metric(y, x) for metric in METRIC_FUNCTIONS.values()]
            for y, x in zip(high, estimate, strict=True)
        ]
    )


def _estimate(values: Scores, groups: Sequence[str]) -> Estimate:
    defined = values[~np.isnan(values)]
    mean = float(defined.mean()) if defined.size else math.nan
    return Estimate(mean, *bootstrap_interval(values, groups))
