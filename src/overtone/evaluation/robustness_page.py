"""What the robustness matrix says: tables, verdict, files, and the page with its heat maps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from overtone.degrade.conditions import UNITS
from overtone.errors import MissingExtraError
from overtone.evaluation.robustness import (
    LSD_TOLERANCE,
    SCORES,
    SNR_TOLERANCE_DB,
    CellScore,
    Run,
    breaks_lsd,
    breaks_snr,
)
from overtone.files import refuse_existing, write_text
from overtone.metrics import METRICS, settings_lines
from overtone.report import Column, Table
from overtone.report.heatmap import Grid, draw_heatmap
from overtone.report.provenance import machine, provenance
from overtone.report.tables import Cell as TableCell

PICTURE_SUFFIX = ".svg"
WORST_CELLS = 8
RULE = (
    f"no cell may be worse than the unprocessed input by more than {LSD_TOLERANCE:g} in LSD, nor"
    f" by more than {SNR_TOLERANCE_DB:g} dB in SNR"
)
# Where the colours of the heat maps end.
COLOUR_LIMITS = {"lsd": 4.0, "lsd_hf": 5.0, "snr_db": 6.0}


# Tables -----------------------------------------------------------------------------------------


def verdict(run: Run) -> str:
    """Say in a sentence whether the rule holds."""
    cells = len(run.scores)
    if not run.broken:
        return f"All {cells} cells keep the rule: {RULE}."
    by_lsd = sum(breaks_lsd(score.change("lsd")) for score in run.broken)
    by_snr = sum(breaks_snr(score.change("snr_db")) for score in run.broken)
    return (
        f"{len(run.broken)} of {cells} cells break the rule ({by_lsd} by LSD, {by_snr} by SNR):"
        f" {RULE}."
    )


def settings(run: Run) -> list[str]:
    """The lines that make the numbers comparable."""
    clips = run.choice.clips
    rates = ", ".join(sorted({f"{clip.sample_rate / 1000:g}" for clip in clips}))
    return [
        f"model {run.model}, SHA-256 {run.model_sha256[:16]}; cutoff found, not given; one thread",
        f"{len(clips)} clips of {run.seconds:g} s, mono, {rates} kHz, seed {run.seed}; means over"
        " clips; input: the damaged clip, resampled by soxr VHQ where its rate is lower",
        "filters are applied with zero phase; noise, clipping and level come before a Chebyshev I"
        " low-pass (order 8, 0.05 dB)",
        "the reference is the clip; for noise and clipping the clip with the same noise or"
        " clipping; for levels the known gain is taken out before scoring",
        "LSD-HF starts at the filter's cutoff, or where a codec's output falls 10 dB under the"
        " original",
        *settings_lines(SCORES),
    ]


def full_table(run: Run, scores: Sequence[CellScore] | None = None) -> Table:
    """One row a cell (default: all)."""
    rows: list[dict[str, TableCell]] = []
    for score in run.scores if scores is None else scores:
        row: dict[str, TableCell] = {
            "cell": score.cell.name,
            "edge_hz": score.edge_hz,
            "told_hz": score.found_hz,
            "extended": f"{score.extended}/{score.clips}",
        }
        for name in SCORES:
            row |= {
                f"{name}_input": score.given[name],
                f"{name}_output": score.made[name],
                f"{name}_change": score.change(name),
            }
        row["lsd_worst"], row["snr_db_worst"] = score.worst["lsd"], score.worst["snr_db"]
        row["rule"] = "broken" if score.breaks else ""
        rows.append(row)
    columns = [
        Column("cell", "cell"),
        Column("edge_hz", "ends at Hz", 0),
        Column("told_hz", "model told Hz", 0),
        Column("extended", "extended"),
    ]
    for name in SCORES:
        metric = METRICS[name]
        columns += [
            Column(f"{name}_input", f"{metric.name} input", 2),
            Column(f"{name}_output", "output", 2),
            Column(f"{name}_change", "change", 2),
        ]
    columns += [
        Column("lsd_worst", "worst clip, LSD", 2),
        Column("snr_db_worst", "worst clip, SNR", 2),
        Column("rule", "rule"),
    ]
    return Table(columns, rows, settings=settings(run))


def summary_table(run: Run) -> Table:
    """One row a kind of damage: the mean change of each score, and its worst cell."""
    rows: list[dict[str, TableCell]] = []
    for (_, name), group in groupby(run.scores, key=_kind):
        scores = list(group)
        row: dict[str, TableCell] = {"damage": name, "cells": len(scores)}
        row["extended"] = 100 * sum(s.extended for s in scores) / sum(s.clips for s in scores)
        for key in SCORES:
            changes = [score.change(key) for score in scores]
            row[key] = math.fsum(changes) / len(changes)
            row[f"{key}_worst"] = min(changes) if METRICS[key].higher_is_better else max(changes)
        row["broken"] = sum(score.breaks for score in scores) or None
        rows.append(row)
    columns = [Column("damage", "damage"), Column("cells", "cells")]
    columns += [Column("extended", "extended %", 0)]
    for key in SCORES:
        columns += [
            Column(key, f"{METRICS[key].label} change", 2),
            Column(f"{key}_worst", "worst cell", 2),
        ]
    columns.append(Column("broken", "break the rule"))
    return Table(columns, rows, settings=settings(run))


def worst(run: Run, name: str) -> list[CellScore]:
    """The cells that a score speaks worst of, the worst first."""
    sign = 1 if METRICS[name].higher_is_better else -1
    ranked = [score for score in run.scores if math.isfinite(score.change(name))]
    return sorted(ranked, key=lambda score: sign * score.change(name))[:WORST_CELLS]


def _kind(score: CellScore) -> tuple[str, str]:
    return score.cell.group, score.cell.row


# Files ------------------------------------------------------------------------------------------


def to_json(run: Run) -> str:
    """Everything but the day: the same numbers give the same bytes."""
    content = {
        "model": {"name": run.model, "sha256": run.model_sha256},
        "settings": settings(run),
        "versions": machine(),
        "clips": [
            {
                "name": clip.name,
                "start_s": round(clip.start_s, 6),
                "sample_rate": clip.sample_rate,
                "sha256": clip.sha256,
            }
            for clip in run.choice.clips
        ],
        "verdict": verdict(run),
        "missing": run.missing,
        "cells": json.loads(full_table(run).render("json"))["rows"],
    }
    return json.dumps(content, indent=1) + "\n"


def outputs(folder: Path) -> list[Path]:
    """The files that :func:`write_folder` may write."""
    page = folder / "robustness.md"
    return [folder / "robustness.csv", folder / "robustness.json", *page_outputs(page)]


def write_folder(run: Run, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write cells as CSV and JSON, and the page with its pictures; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    table, data, page_path, *_ = outputs(folder)
    write_text(full_table(run).render("csv"), table, overwrite=overwrite)
    write_text(to_json(run), data, overwrite=overwrite)
    return [table, data, *write_page(run, page_path, overwrite=overwrite)]


def page_outputs(path: Path) -> list[Path]:
    """The page and the pictures beside it."""
    return [path, *(_picture(path, name) for name in SCORES)]


def write_page(run: Run, path: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the page, and a heat map beside it for every score if matplotlib is there."""
    for output in page_outputs(path):
        refuse_existing(output, overwrite)
    pictures = {}
    for name in SCORES:
        try:
            draw(run, name, _picture(path, name), overwrite=overwrite)
        except MissingExtraError:
            break  # the tables say the same
        pictures[name] = _picture(path, name)
    write_text(page(run, pictures, path.name), path, overwrite=overwrite)
    return [path, *pictures.values()]


def _picture(page_path: Path, name: str) -> Path:
    return page_path.with_name(f"{page_path.stem}_{name.removesuffix('_db')}{PICTURE_SUFFIX}")


def draw(run: Run, name: str, path: Path, *, overwrite: bool = False) -> None:
    """Draw the changes of one score as heat maps, a panel for each group of cells."""
    metric = METRICS[name]
    marks: dict[str, Callable[[float], bool]] = {"lsd": breaks_lsd, "snr_db": breaks_snr}
    draw_heatmap(
        grids(run.scores, name),
        path,
        label=f"{metric.name} of the output minus that of the input{', dB' * (name == 'snr_db')}",
        limit=COLOUR_LIMITS[name],
        higher_is_better=bool(metric.higher_is_better),
        marked=marks.get(name, lambda _: False),
        overwrite=overwrite,
    )


def grids(scores: Sequence[CellScore], name: str) -> list[Grid]:
    """The changes of one score, a grid for each group of cells."""
    result = []
    for group, members in groupby(scores, key=lambda score: score.cell.group):
        cells = list(members)
        rows = list(dict.fromkeys(score.cell.row for score in cells))
        columns = sorted({score.cell.column for score in cells}, key=float)
        values = {(score.cell.row, score.cell.column): score.change(name) for score in cells}
        numbers = [[values.get((row, column), math.nan) for column in columns] for row in rows]
        result.append(Grid(group, rows, columns, UNITS[group], numbers))
    return result


# The page ---------------------------------------------------------------------------------------


def page(run: Run, pictures: dict[str, Path], file_name: str) -> str:
    """The Markdown page in ``file_name``; ``pictures`` by score, in the page's own folder."""
    clips = run.choice.clips
    excerpts = ", ".join(f"`{clip.name}` from {clip.start_s:.2f} s" for clip in clips)
    parts = [
        "# Robustness\n",
        "Made by `overtone benchmark robustness FOLDER"
        f" --model {run.model} --clips {len(clips)} --seconds {run.seconds:g} --seed {run.seed}"
        f" --markdown docs/{file_name}`, where FOLDER holds full-band recordings. The same clips"
        " lose their top in every common way; each cell compares what the model makes of them"
        " with what it was given.\n",
        "".join(f"- {name}: {value}\n" for name, value in provenance().items()),
        f"Clips: {excerpts}.\n",
        f"## Verdict\n\n{verdict(run)}\n",
    ]
    if run.broken:
        parts.append(_bare(full_table(run, run.broken)))
    parts += [f"{line}\n" for line in run.missing]
    parts += ["## By kind of damage\n", summary_table(run).render("markdown")]
    for name, picture in pictures.items():
        framed = "" if name == "lsd_hf" else "; framed cells break the rule"
        caption = f"Change of {METRICS[name].name}: blue is better than the input{framed}"
        parts.append(f"![{caption}]({picture.name})\n\n{caption}.\n")
    parts.append("## Worst cells\n")
    for name in ("lsd", "snr_db"):
        parts += [f"By {METRICS[name].name}:\n", _bare(full_table(run, worst(run, name)))]
    parts += ["## All cells\n", _bare(full_table(run))]
    return "\n".join(parts)


def _bare(table: Table) -> str:
    """A table without its settings, which the page says once."""
    return Table(table.columns, table.rows).render("markdown")
