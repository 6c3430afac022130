"""What a comparison says: means with intervals, differences, and the settings behind them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby

from overtone import __version__
from overtone.errors import InvalidInputError
from overtone.evaluation.alignment import MAX_SHIFT_S, MIN_GAIN_DB
from overtone.evaluation.quality import Comparison, Kind, Score
from overtone.evaluation.stats import LEVEL, RESAMPLES, Mean, mean_with_interval
from overtone.metrics import describe, settings_lines
from overtone.metrics.scores import OF_REFERENCE
from overtone.report.provenance import LIBRARIES
from overtone.report.tables import Cell, Column, Table

MEANS = ("lsd", "lsd_hf", "lsd_lf", "lineage_lsd", "snr_db", "si_sdr_db")
PERCEPTUAL_MEANS = ("pesq_mos", "stoi")
ENVELOPE = ("envelope_db",)
# Of one recording: to be held beside the reference's own.
TEXTURE = ("grain_db", "harmonics", "pulses_db")
TEXTURE_PERCEPTUAL = ("dnsmos_mos",)
VISQOL = "visqol_mos"
CORE_S = "core_s_per_s"


@dataclass(frozen=True)
class Row:
    """One system on one set: its means, and those of its differences to the chosen system.

    Differences are over the ``common`` cases that both have, case by case.
    """

    group: str
    system: str
    kind: Kind
    cases: int
    shifts: tuple[int, ...]
    means: Mapping[str, Mean]
    visqol: float | None
    core_s_per_s: float | None
    common: int
    differences: Mapping[str, Mean]


def require_system(names: Iterable[str], versus: str) -> None:
    """Raise :class:`~overtone.errors.InvalidInputError` unless ``versus`` is one of ``names``."""
    known = list(names)
    if versus not in known:
        raise InvalidInputError(
            f"--versus {versus}: no such system here; there are {', '.join(known)}"
        )


def summarise(comparison: Comparison, versus: str, seed: int = 0) -> list[Row]:
    """A row for every set and system, sets in order, baselines before models before files."""
    found: dict[tuple[str, str], list[Score]] = {}
    groups = list(dict.fromkeys(score.group for score in comparison.scores))
    for score in comparison.scores:
        found.setdefault((score.group, score.system), []).append(score)
    rows = []
    for group in groups:
        other = {score.case: score for score in found.get((group, versus), [])}
        for system, (kind, _) in comparison.systems.items():
            if scores := found.get((group, system)):
                rows.append(_row(comparison, kind, scores, other, seed))
    return rows


def _row(
    comparison: Comparison,
    kind: Kind,
    scores: Sequence[Score],
    other: Mapping[str, Score],
    seed: int,
) -> Row:
    group, system = scores[0].group, scores[0].system
    compared = [*MEANS, *(PERCEPTUAL_MEANS if comparison.perceptual else ()), *ENVELOPE]
    own = [*TEXTURE, *(TEXTURE_PERCEPTUAL if comparison.perceptual else ())]
    names = [*compared, *own, *(OF_REFERENCE + name for name in own)]
    common = [
        score
        for score in scores
        if score.case in other and score.system != other[score.case].system
    ]
    core_s = [score.core_s for score in scores if score.core_s is not None]
    return Row(
        group,
        system,
        kind,
        len(scores),
        tuple(sorted({score.shift_samples for score in scores})),
        {name: _mean([(s.recording, s.scores[name]) for s in scores], seed) for name in names},
        comparison.visqol.get((group, system)),
        math.fsum(core_s) / math.fsum(score.audio_s for score in scores) if core_s else None,
        len(common),
        {
            name: _mean(
                [(s.recording, s.scores[name] - other[s.case].scores[name]) for s in common], seed
            )
            for name in (compared if common else ())
        },
    )


def _mean(values: Sequence[tuple[str, float]], seed: int) -> Mean:
    recordings, numbers = zip(*values, strict=True)
    return mean_with_interval(numbers, recordings, seed=seed)


def sections(
    rows: Sequence[Row], versus: str, *, with_cost: bool = True
) -> Iterator[tuple[str, list[Table]]]:
    """Every set's name and its tables: the means, and the differences if there are any."""
    for group, members in groupby(rows, key=lambda row: row.group):
        found = list(members)
        differences = difference_table(found, versus)
        tables = [score_table(found, with_cost=with_cost), texture_table(found), differences]
        yield group, [table for table in tables if table is not None]


def score_table(rows: Sequence[Row], *, with_cost: bool = True) -> Table:
    """Means of one set, a system a row; ``with_cost`` adds core-seconds per second."""
    cells: list[dict[str, Cell]] = []
    for row in rows:
        cell: dict[str, Cell] = {"system": row.system, "cases": row.cases}
        cell["shift"] = " to ".join(dict.fromkeys(map(str, (row.shifts[0], row.shifts[-1]))))
        cell |= {name: _text(name, one) for name, one in row.means.items()}
        cells.append(cell | {VISQOL: row.visqol, CORE_S: row.core_s_per_s})
    columns = [Column("system", "system"), Column("cases", "cases")]
    names = [name for name in rows[0].means if name in (*MEANS, *PERCEPTUAL_MEANS)]
    if any(row.visqol is not None for row in rows):
        names.insert(len(MEANS), VISQOL)
    columns += [Column(name, describe(name).label, describe(name).decimals) for name in names]
    columns.append(Column("shift", "late, samples"))
    if with_cost:
        columns.append(Column(CORE_S, "core-s per s", 4))
    return Table(columns, cells)


def texture_table(rows: Sequence[Row]) -> Table:
    """The envelope's distance, and the texture beside the reference's own on the same cases."""
    own = [name for name in (*TEXTURE, *TEXTURE_PERCEPTUAL) if name in rows[0].means]
    columns = [Column("system", "system"), Column("cases", "cases")]
    columns += [Column(name, describe(name).label) for name in ENVELOPE]
    for name in own:
        columns += [Column(name, describe(name).label), Column(OF_REFERENCE + name, "reference")]
    cells: list[dict[str, Cell]] = []
    for row in rows:
        cell: dict[str, Cell] = {"system": row.system, "cases": row.cases}
        cell |= {name: _text(name, row.means[name]) for name in (*ENVELOPE, *own)}
        for name in own:
            wanted = row.means[OF_REFERENCE + name].value
            cell[OF_REFERENCE + name] = _text(name, Mean(wanted))
        cells.append(cell)
    return Table(columns, cells)


def difference_table(rows: Sequence[Row], versus: str) -> Table | None:
    """Differences to ``versus`` on one set; None if nothing shares a case with it."""
    compared = [row for row in rows if row.common]
    if not compared:
        return None
    columns = [Column("system", f"minus {versus}"), Column("cases", "cases")]
    columns += [Column(name, describe(name).label) for name in compared[0].differences]
    cells: list[dict[str, Cell]] = []
    for row in compared:
        cell: dict[str, Cell] = {"system": row.system, "cases": row.common}
        cell |= {name: _text(name, one, "+") for name, one in row.differences.items()}
        cells.append(cell)
    return Table(columns, cells)


def _text(name: str, mean: Mean, sign: str = "") -> str:
    return mean.text(describe(name).decimals, sign)


def case_table(comparison: Comparison) -> Table:
    """Every figure of every case; timings are apart, so that the same input gives the same."""
    names = list(dict.fromkeys(name for score in comparison.scores for name in score.scores))
    heads = ("group", "case", "system", "kind", "sample_rate", "cutoff_hz", "shift_samples")
    columns = [Column(head, head) for head in (*heads, *names)]
    rows: list[dict[str, Cell]] = []
    for score in comparison.scores:
        about: tuple[Cell, ...] = (
            score.group,
            score.case,
            score.system,
            comparison.systems[score.system][0],
            score.rate,
            score.cutoff_hz,
            score.shift_samples,
        )
        rows.append({**dict(zip(heads, about, strict=True)), **score.scores})
    return Table(columns, rows)


def settings(comparison: Comparison, versus: str, seed: int = 0) -> list[str]:
    """What made the numbers: versions, low sides, alignment, intervals, metrics, undefined ones."""
    libraries = [*LIBRARIES, "scipy"]
    if comparison.perceptual:
        libraries += ["visqol-python", "pesq", "pystoi"]
    aligned = (
        "every output moved by the whole number of samples, at most "
        f"{MAX_SHIFT_S:g} s, at which its cross-correlation with the reference is highest, where"
        f" that gains {MIN_GAIN_DB:g} dB"
        if comparison.aligned
        else "none: outputs are scored as they start"
    )
    used = dict.fromkeys(name for score in comparison.scores for name in score.scores)
    lines = [
        f"overtone {__version__}, " + ", ".join(f"{name} {version(name)}" for name in libraries),
        *comparison.suite.settings,
        f"alignment: {aligned}; scored over what both have",
        "several channels: their mean; LSD-HF and LSD-LF: above and below half the low side's rate",
        "models find the cutoff themselves, and run on one thread; system soxr is soxr VHQ",
        f"[ , ]: {100 * LEVEL:g} % percentile bootstrap interval of the mean over recordings,"
        f" {RESAMPLES} resamples, seed {seed}; differences are taken case by case, to {versus}",
        *settings_lines([*used, *([VISQOL] if comparison.perceptual else [])]),
    ]
    if comparison.perceptual:
        lines.append(
            "ViSQOL is of each set's clips joined, since single clips can be too short for it:"
            " it has no interval"
        )
    if any(math.isnan(value) for score in comparison.scores for value in score.scores.values()):
        lines.append(
            "n/a: an output that equals its reference or is silent, or too little sound for a"
            " listener model; left out of means"
        )
    return lines


def timings(comparison: Comparison, rows: Sequence[Row]) -> str:
    """Core-seconds per second of audio by set and system, and for every case, as JSON."""
    by_set = [
        {"group": row.group, "system": row.system, CORE_S: _exact(row.core_s_per_s)}
        for row in rows
        if row.core_s_per_s is not None
    ]
    by_case = [
        {
            "group": score.group,
            "case": score.case,
            "system": score.system,
            "core_s": _exact(score.core_s),
            "audio_s": _exact(score.audio_s),
        }
        for score in comparison.scores
        if score.core_s is not None
    ]
    return json.dumps({"sets": by_set, "cases": by_case}, indent=2, ensure_ascii=False) + "\n"


def as_json(comparison: Comparison, rows: Sequence[Row], versus: str, seed: int = 0) -> str:
    """Everything but timings: settings, systems, hashes, means, cases, problems."""
    content = {
        "settings": settings(comparison, versus, seed),
        "versus": versus,
        "systems": {
            name: {"kind": kind, "identity": identity}
            for name, (kind, identity) in comparison.systems.items()
        },
        "sets": [
            {
                "group": row.group,
                "system": row.system,
                "cases": row.cases,
                "common_cases": row.common,
                "means": {name: _exact_mean(one) for name, one in row.means.items()},
                "differences": {name: _exact_mean(one) for name, one in row.differences.items()},
                VISQOL: _exact(row.visqol),
            }
            for row in rows
        ],
        "cases": json.loads(case_table(comparison).render("json"))["rows"],
        "sha256": comparison.hashes,
        "problems": comparison.problems,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _exact(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)


def _exact_mean(one: Mean) -> dict[str, float | None]:
    return {name: _exact(value) for name, value in one._asdict().items()}
