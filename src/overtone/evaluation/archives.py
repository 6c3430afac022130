"""Systems and the cubic spline scored on an archive of patches, as the papers of AudioUNet do.

Every patch (or whole file) is one item. Means are over items; their bootstrap intervals draw
recordings, because the patches of one recording overlap. The gain of a system is the mean of the
paired differences to the spline, item by item.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overtone.data.archive import ArchiveInfo, PatchArchive
from overtone.degrade.spline import interpolate
from overtone.errors import InvalidInputError
from overtone.evaluation.stats import Mean, mean_with_interval
from overtone.evaluation.systems import System, distinct, find_bare_system
from overtone.files import sha256_of
from overtone.metrics import kuleshov_lsd, kuleshov_snr_db, lsd, snr_db

FloatArray = NDArray[np.float32]
Scores = NDArray[np.float64]
Progress = Callable[[int, int], None]

METRIC_FUNCTIONS = {
    "snr_db": snr_db,
    "lsd": lsd,
    "kuleshov_snr_db": kuleshov_snr_db,
    "kuleshov_lsd": kuleshov_lsd,
}
BATCH_PATCHES = 32


@dataclass(frozen=True)
class SystemScore:
    """One system by one metric: the spline's score, its own, and the paired difference."""

    system: str
    identity: str
    metric: str
    baseline: Mean
    score: Mean
    gain: Mean


@dataclass(frozen=True)
class ArchiveScores:
    """What :func:`evaluate_archive` found.

    ``undefined`` counts the items without an SNR: their reference is silent. ``notes`` name the
    systems that ran at another rate than their own.
    """

    name: str
    sha256: str
    info: ArchiveInfo
    items: int
    recordings: int
    undefined: int
    comparisons: tuple[SystemScore, ...]
    notes: tuple[str, ...] = ()


def evaluate_archive(
    path: Path, systems: Sequence[str], *, progress: Progress | None = None
) -> ArchiveScores:
    """Score ``systems`` and the cubic spline on the archive at ``path``.

    The spline is the archive's own input where that was interpolated when it was prepared,
    and is computed patch by patch where it was not. Names are those of
    :func:`~overtone.evaluation.systems.find_bare_system`; ``progress`` is told items done and all.

    Raises:
        InvalidInputError: no archive there, a model for another rate or scale, or patches that do
            not start on a low sample and a system that needs these.
        ModelError, ConfigError, MissingExtraError: as :func:`find_bare_system`.
    """
    with PatchArchive(path) as archive:
        settings = archive.info.settings
        found = distinct(find_bare_system(name) for name in dict.fromkeys(systems))
        for system in found:
            system.require(settings.sample_rate, settings.scale)
        _check_starts(archive, found)
        baseline, scores = _score(archive, found, progress)
        # The published lists name files several times over: a recording is known by its contents.
        groups = [archive.file_sha256[number] for number in archive.patch_file]
        return ArchiveScores(
            name=path.name,
            sha256=sha256_of(path),
            info=archive.info,
            items=len(archive),
            recordings=len(set(groups)),
            undefined=int(np.isnan(baseline[:, 0]).sum()),
            comparisons=tuple(
                SystemScore(
                    system.name,
                    system.identity,
                    metric,
                    mean_with_interval(baseline[:, column], groups),
                    mean_with_interval(own[:, column], groups),
                    mean_with_interval(own[:, column] - baseline[:, column], groups),
                )
                for system, own in zip(found, scores, strict=True)
                for column, metric in enumerate(METRIC_FUNCTIONS)
            ),
            notes=tuple(filter(None, (system.note(settings.sample_rate) for system in found))),
        )


def _check_starts(archive: PatchArchive, systems: Sequence[System]) -> None:
    settings = archive.info.settings
    needing = [system.name for system in systems if not system.takes_spline]
    if settings.interpolate and needing and (archive.patch_start % settings.scale).any():
        raise InvalidInputError(
            f"{archive.path}: stride {settings.stride} is no multiple of scale {settings.scale}, so"
            f" not every patch starts on a low sample, from which {needing[0]} begins; prepare it"
            " with another --stride"
        )


def _score(
    archive: PatchArchive, systems: Sequence[System], progress: Progress | None
) -> tuple[Scores, list[Scores]]:
    """Return the spline's scores and each system's, ``[items, metrics]``."""
    shape = len(archive), len(METRIC_FUNCTIONS)
    baseline, scores = np.empty(shape), [np.empty(shape) for _ in systems]
    done = 0
    for low, base, high in _batches(archive):
        part = slice(done, done + len(high))
        baseline[part] = _scores(high, base)
        for system, own in zip(systems, scores, strict=True):
            own[part] = _scores(high, _run(system, low, base, archive.info.settings.sample_rate))
        done = part.stop
        if progress is not None:
            progress(done, len(archive))
    return baseline, scores


def _batches(archive: PatchArchive) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """Yield items: at the low rate, by the spline, and the truth, ``[items, samples]`` each."""
    settings = archive.info.settings
    size = 1 if settings.whole_files else BATCH_PATCHES
    for start in range(0, len(archive), size):
        items = [archive[index] for index in range(start, min(start + size, len(archive)))]
        stored, high = (np.stack(side) for side in zip(*items, strict=True))
        if settings.interpolate:
            yield stored[:, :: settings.scale], stored, high
        else:
            yield stored, interpolate(stored, settings.scale), high


def _run(system: System, low: FloatArray, base: FloatArray, rate: int) -> FloatArray:
    low_rate = rate * low.shape[1] / base.shape[1]
    if system.takes_spline:
        return system.upsample(low, low_rate, rate, base)
    # What takes its channels for one recording gets unrelated patches one by one.
    pairs = zip(low, base, strict=True)
    each = [system.upsample(one[None], low_rate, rate, spline[None]) for one, spline in pairs]
    return np.concatenate(each)


def _scores(high: FloatArray, estimate: FloatArray) -> Scores:
    """Return ``[items, metrics]``."""
    return np.array(
        [
            [metric(y, x) for metric in METRIC_FUNCTIONS.values()]
            for y, x in zip(high, estimate, strict=True)
        ]
    )
