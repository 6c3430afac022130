"""The papers' table, in full for one archive, and in short for several."""

from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import ClassVar

from pydantic import Field, ValidationError

from overtone import __version__
from overtone.errors import ConfigError
from overtone.evaluation.archives import ArchiveScores, SystemScore
from overtone.evaluation.stats import LEVEL, RESAMPLES, Mean
from overtone.evaluation.systems import SPLINE
from overtone.metrics import METRICS, settings_lines
from overtone.report import Cell, Column, Table
from overtone.settings import Settings, problems, read_toml

_HEADS = {"baseline": SPLINE, "score": "system", "gain": "difference"}
INTERVAL_NOTE = (
    f"[low, high]: {LEVEL:.0%} percentile bootstrap of the mean, {RESAMPLES} resamples of whole"
    " recordings, seed 0; difference: mean over items of system minus spline"
)


class ArchiveRow(Settings):
    """One archive, what to call its data, and the systems to score on it."""

    renamed: ClassVar[dict[str, str]] = {"methods": "systems"}

    dataset: str
    archive: str
    systems: list[str] = Field(min_length=1)


class _Rows(Settings):
    row: list[ArchiveRow] = Field(min_length=1)


def read_rows(path: Path) -> list[ArchiveRow]:
    """Return the rows of a TOML file.

    Raises:
        ConfigError: it cannot be read, or a row is wrong; says which.
    """
    try:
        return _Rows.model_validate(read_toml(path)).row
    except ValidationError as error:
        raise ConfigError(f"{path}: {problems(error)}") from error


def archive_table(scores: ArchiveScores, *, readable: bool = True) -> Table:
    """Return every system and metric, a row each.

    ``readable`` puts a mean and its interval into one cell, for people; without it every number
    has a cell of its own, and every row names its archive and the system's identity.
    """

    def metric(one: SystemScore) -> str:
        return METRICS[one.metric].label if readable else one.metric

    columns = [
        Column("system", "system"),
        Column("metric", "metric", of=metric),
    ]
    if readable:
        columns += [Column(part, head, of=partial(_part, part)) for part, head in _HEADS.items()]
    else:
        columns.insert(0, Column("archive", "archive", of=lambda _: scores.name))
        for part in _HEADS:
            for field, end in (("value", ""), ("low", "_low"), ("high", "_high")):
                number = attrgetter(f"{part}.{field}")
                columns.append(Column(f"{part}{end}", f"{part}{end}", of=number))
        columns.append(Column("identity", "identity"))
    return Table.of(scores.comparisons, columns, settings_of(scores))


def _part(part: str, one: SystemScore) -> str:
    return _text(getattr(one, part), one.metric, "+" * (part == "gain"))


def _text(mean: Mean, metric: str, sign: str = "") -> str:
    return mean.text(METRICS[metric].decimals, sign)


def settings_of(scores: ArchiveScores) -> list[str]:
    """Return what made the numbers: the archive, the systems, the metrics, the intervals."""
    kept = scores.info.attributes()
    shown = [f"{name} {value}" for name, value in kept.items() if not name.startswith("schema")]
    what = "whole files" if scores.info.settings.whole_files else "patches"
    lines = [
        f"overtone {__version__}; {scores.name}, SHA-256 {scores.sha256}: {scores.items} {what}"
        f" of {scores.recordings} recordings",
        f"archive: {'; '.join(shown)}",
        f"{SPLINE}: {_spline_of(scores)}; every figure is taken of {_each(scores)} by itself",
    ]
    lines += [f"{name}: {_identity(identity)}" for name, identity in _systems([scores])]
    lines += settings_lines(dict.fromkeys(c.metric for c in scores.comparisons))
    lines += [*scores.notes, INTERVAL_NOTE]
    if scores.recordings < 2:
        lines.append("no intervals: one recording tells nothing about others")
    if scores.undefined:
        lines.append(f"{scores.undefined} silent {what} have no SNR and are left out of its means")
    return lines


def _spline_of(scores: ArchiveScores) -> str:
    own = scores.info.settings.interpolate
    return "the archive's own input" if own else "through the low samples of each item"


def _each(scores: ArchiveScores) -> str:
    return "each whole file" if scores.info.settings.whole_files else "each patch"


def _systems(results: Sequence[ArchiveScores]) -> list[tuple[str, str]]:
    """Return the names and identities of all systems, each once, in order."""
    comparisons = [comparison for scores in results for comparison in scores.comparisons]
    return list(dict.fromkeys((one.system, one.identity) for one in comparisons))


def _identity(identity: str) -> str:
    return identity if identity.startswith("overtone ") else f"SHA-256 {identity}"


def summary_table(results: Sequence[tuple[str, ArchiveScores]]) -> Table:
    """Return the metrics of Kuleshov et al. in one row for each pair of an archive and a system.

    ``results`` are names of data sets with what was found on their archives.
    """
    columns = [
        Column("dataset", "data"),
        Column("ratio", "r"),
        Column("rate", "to Hz"),
        Column("baseline", "spline SNR / LSD"),
        Column("system", "system"),
        Column("score", "SNR / LSD"),
        Column("snr_gain", "SNR dB ↑, difference"),
        Column("lsd_gain", "LSD ↓, difference"),
    ]
    rows = [
        _summary_row(dataset, scores, by_metric)
        for dataset, scores in results
        for by_metric in _by_system(scores)
    ]
    heads = dict.fromkeys(f"{scores.name} ({scores.sha256[:12]})" for _, scores in results)
    systems = ", ".join(
        f"{name} ({identity if identity.startswith('overtone ') else identity[:12]})"
        for name, identity in _systems([scores for _, scores in results])
    )
    settings = [
        f"overtone {__version__}; archives, with the start of their SHA-256: {', '.join(heads)}",
        f"systems: {systems}",
        *settings_lines(["kuleshov_snr_db", "kuleshov_lsd"]),
        *dict.fromkeys(note for _, scores in results for note in scores.notes),
        INTERVAL_NOTE,
    ]
    return Table(columns, rows, settings=settings)


def _by_system(scores: ArchiveScores) -> list[dict[str, SystemScore]]:
    found: dict[str, dict[str, SystemScore]] = {}
    for comparison in scores.comparisons:
        found.setdefault(comparison.system, {})[comparison.metric] = comparison
    return list(found.values())


def _summary_row(
    dataset: str, scores: ArchiveScores, by_metric: Mapping[str, SystemScore]
) -> Mapping[str, Cell]:
    snr, lsd = by_metric["kuleshov_snr_db"], by_metric["kuleshov_lsd"]
    settings = scores.info.settings
    return {
        "dataset": dataset,
        "ratio": settings.scale,
        "rate": settings.sample_rate,
        "baseline": f"{snr.baseline.value:.1f} / {lsd.baseline.value:.1f}",
        "system": snr.system,
        "score": f"{snr.score.value:.1f} / {lsd.score.value:.1f}",
        "snr_gain": _text(snr.gain, snr.metric, "+"),
        "lsd_gain": _text(lsd.gain, lsd.metric, "+"),
    }
