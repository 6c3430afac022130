"""What the robustness matrix says: tables, verdict, files, and the page with its heat maps."""

import json
import math
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from overtone.degrade.conditions import UNITS
from overtone.errors import MissingExtraError
from overtone.evaluation.robustness import SCORES, TOLERANCES, ConditionScore, Matrix, fails
from overtone.files import refuse_existing, write_text
from overtone.metrics import METRICS, settings_lines
from overtone.report import Cell, Column, Figure, Notes, Report, Section, Table
from overtone.report.heatmap import Grid, draw_heatmap
from overtone.report.pages import Block, bare
from overtone.report.provenance import machine, provenance

PICTURE_SUFFIX = ".svg"
RULE = "no output may be worse than its input by more than " + ", ".join(
    f"{limit:g}{' dB' * (METRICS[name].unit == 'dB')} in {METRICS[name].name}"
    for name, limit in TOLERANCES.items()
)
# Where the colours of the heat maps end.
COLOUR_LIMITS = {"lsd": 4.0, "lsd_hf": 5.0, "envelope_db": 20.0, "snr_db": 6.0}


def verdict(matrix: Matrix) -> str:
    """Say in a sentence whether the rule holds."""
    count = len(matrix.scores)
    if not matrix.failed:
        return f"All {count} conditions keep the rule: {RULE}."
    by = ", ".join(
        f"{sum(name in score.failures for score in matrix.failed)} by {METRICS[name].name}"
        for name in TOLERANCES
    )
    return f"{len(matrix.failed)} of {count} conditions fail ({by}): {RULE}."


def settings(matrix: Matrix) -> list[str]:
    """Return the lines that make the numbers comparable."""
    clips = matrix.choice.clips
    rates = ", ".join(sorted({f"{clip.sample_rate / 1000:g}" for clip in clips}))
    return [
        f"model {matrix.model}, SHA-256 {matrix.model_sha256[:16]}; cutoff found, not given; one"
        " thread",
        f"{len(clips)} clips of {matrix.seconds:g} s, mono, {rates} kHz, seed {matrix.seed}; means"
        " over clips; input: the degraded clip, resampled by soxr VHQ where its rate is lower",
        "filters are applied with zero phase; high-pass, noise, clipping and level come before a"
        " Chebyshev I low-pass (order 8, 0.05 dB)",
        "the reference is the clip; for high-pass, noise and clipping the clip with the"
        " same; for levels the known gain is taken out before scoring",
        "LSD-HF and the envelope start at the filter's cutoff, or where a codec's output falls"
        " 10 dB under the original",
        *settings_lines(SCORES),
    ]


# Tables ------------------------------------------------------------------------------------------


def full_table(matrix: Matrix, scores: Sequence[ConditionScore] | None = None) -> Table:
    """Return one row a condition (default: all)."""

    def score_columns(name: str) -> list[Column]:
        return [
            Column(f"{name}_input", f"{METRICS[name].name} input", of=lambda one: one.input[name]),
            Column(f"{name}_output", "output", of=lambda one: one.output[name]),
            Column(f"{name}_change", "change", of=lambda one: one.change(name)),
        ]

    columns = [
        Column("condition", "condition", of=lambda score: score.condition.name),
        Column("edge_hz", "ends at Hz", 0),
        Column("given_hz", "model given Hz", 0, of=lambda score: score.found_hz),
        Column("extended", "extended", of=lambda score: f"{score.extended}/{score.clips}"),
    ]
    columns += [column for name in SCORES for column in score_columns(name)]
    columns += [
        Column("lsd_worst", "worst clip, LSD", of=lambda score: score.worst["lsd"]),
        Column("snr_db_worst", "worst clip, SNR", of=lambda score: score.worst["snr_db"]),
        Column("rule", "rule", of=lambda score: "fails" if score.failures else ""),
    ]
    rows = matrix.scores if scores is None else scores
    return Table.of(rows, columns, settings(matrix))


def summary_table(matrix: Matrix) -> Table:
    """Return a row a kind of degradation: mean change of each score, and worst condition."""
    rows: list[dict[str, Cell]] = []
    columns = [Column("degradation", "degradation"), Column("conditions", "conditions")]
    columns += [Column("extended", "extended %", 0)]
    for name in SCORES:
        columns.append(Column(name, f"{METRICS[name].label} change"))
        columns.append(Column(f"{name}_worst", "worst condition"))
    columns.append(Column("failed", "fail"))
    for (_, kind), group in groupby(matrix.scores, key=_kind):
        scores = list(group)
        row: dict[str, Cell] = {"degradation": kind, "conditions": len(scores)}
        row["extended"] = 100 * sum(s.extended for s in scores) / sum(s.clips for s in scores)
        for name in SCORES:
            changes = [score.change(name) for score in scores]
            row[name] = math.fsum(changes) / len(changes)
            row[f"{name}_worst"] = (min if METRICS[name].higher_is_better else max)(changes)
        row["failed"] = sum(bool(score.failures) for score in scores) or None
        rows.append(row)
    return Table(columns, rows, settings=settings(matrix))


def _kind(score: ConditionScore) -> tuple[str, str]:
    return score.condition.group, score.condition.row


# Pages -------------------------------------------------------------------------------------------


def summary(matrix: Matrix) -> Report:
    """Return what a terminal shows: a row a kind of degradation, and the verdict."""
    said = [*matrix.missing, verdict(matrix)]
    for score in matrix.failed:
        changes = (f"{METRICS[name].name} {score.change(name):+.2f}" for name in TOLERANCES)
        said.append(f"  {score.condition.name}: {', '.join(changes)}")
    return Report("Robustness", [Section("", [summary_table(matrix), Notes(said)])])


def page(matrix: Matrix, pictures: dict[str, Path], file_name: str) -> Report:
    """Return the page in ``file_name``; ``pictures`` by score, in the page's own folder."""
    clips = matrix.choice.clips
    excerpts = ", ".join(f"`{clip.name}` from {clip.start_s:.2f} s" for clip in clips)
    command = (
        f"overtone benchmark robustness FOLDER --model {matrix.model} --clips {len(clips)}"
        f" --seconds {matrix.seconds:g} --seed {matrix.seed} --markdown docs/results/{file_name}"
    )
    about: list[Block] = [
        f"Made by `{command}`, where FOLDER holds full-band recordings. The same clips are degraded"
        " in every common way; each condition compares the model's output with its input.\n",
        Notes([f"{name}: {value}" for name, value in provenance().items()]),
        f"Clips: {excerpts}.\n",
    ]
    failed = [bare(full_table(matrix, matrix.failed))] if matrix.failed else []
    missing = [f"{line}\n" for line in matrix.missing]
    shown: list[Block] = []
    for name, picture in pictures.items():
        framed = "; framed conditions fail" if name in TOLERANCES else ""
        caption = f"Change of {METRICS[name].name}: blue is better than the input{framed}"
        shown.append(Figure(caption, picture))
    table = Path(file_name).with_suffix(".csv").name
    shown.append(f"All conditions: [{table}]({table}).\n")
    return Report(
        "Robustness",
        [
            Section("", about),
            Section("Verdict", [f"{verdict(matrix)}\n", *failed, *missing]),
            Section("By kind of degradation", [summary_table(matrix), *shown]),
        ],
    )


def to_json(matrix: Matrix) -> str:
    """Return everything but the day: the same numbers give the same bytes."""
    content = {
        "model": {"name": matrix.model, "sha256": matrix.model_sha256},
        "settings": settings(matrix),
        "versions": machine(),
        "clips": [
            {
                "name": clip.name,
                "start_s": round(clip.start_s, 6),
                "sample_rate": clip.sample_rate,
                "sha256": clip.sha256,
            }
            for clip in matrix.choice.clips
        ],
        "verdict": verdict(matrix),
        "missing": matrix.missing,
        "conditions": json.loads(full_table(matrix).render("json"))["rows"],
    }
    return json.dumps(content, indent=1) + "\n"


def outputs(folder: Path) -> list[Path]:
    """Return the files that :func:`write_folder` may write."""
    page = folder / "robustness.md"
    return [folder / "robustness.json", *page_outputs(page)]


def write_folder(matrix: Matrix, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the conditions as JSON, and the page with what goes with it; returns what it wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    data, page_path, *_ = outputs(folder)
    write_text(to_json(matrix), data, overwrite=overwrite)
    return [data, *write_page(matrix, page_path, overwrite=overwrite)]


def page_outputs(path: Path) -> list[Path]:
    """Return the page, and the table and the pictures beside it."""
    return [path, path.with_suffix(".csv"), *(_picture(path, name) for name in SCORES)]


def write_page(matrix: Matrix, path: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the page, and beside it all conditions as CSV, and heat maps if matplotlib is there."""
    for output in page_outputs(path):
        refuse_existing(output, overwrite)
    pictures = {}
    for name in SCORES:
        try:
            draw(matrix, name, _picture(path, name), overwrite=overwrite)
        except MissingExtraError:
            break  # the tables say the same
        pictures[name] = _picture(path, name)
    table = path.with_suffix(".csv")
    write_text(bare(full_table(matrix)).render("csv"), table, overwrite=overwrite)
    write_text(page(matrix, pictures, path.name).markdown(), path, overwrite=overwrite)
    return [path, table, *pictures.values()]


def _picture(page_path: Path, name: str) -> Path:
    return page_path.with_name(f"{page_path.stem}_{name.removesuffix('_db')}{PICTURE_SUFFIX}")


def draw(matrix: Matrix, name: str, path: Path, *, overwrite: bool = False) -> None:
    """Draw the changes of one score as heat maps, a panel for each group of conditions."""
    metric = METRICS[name]
    unit = ", dB" * (metric.unit == "dB")
    draw_heatmap(
        grids(matrix.scores, name),
        path,
        label=f"{metric.name} of the output minus that of the input{unit}",
        limit=COLOUR_LIMITS[name],
        higher_is_better=bool(metric.higher_is_better),
        marked=partial(fails, name),
        overwrite=overwrite,
    )


def grids(scores: Sequence[ConditionScore], name: str) -> list[Grid]:
    """Return the changes of one score, a grid for each group of conditions."""
    result = []
    for group, members in groupby(scores, key=lambda score: score.condition.group):
        found = list(members)
        rows = list(dict.fromkeys(score.condition.row for score in found))
        columns = sorted({score.condition.column for score in found}, key=float)
        values = {(s.condition.row, s.condition.column): s.change(name) for s in found}
        numbers = [[values.get((row, column), math.nan) for column in columns] for row in rows]
        result.append(Grid(group, rows, columns, UNITS[group], numbers))
    return result
