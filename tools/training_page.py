"""The runs of docs/results/training.md: keeps their logs, and makes the tables of what is kept.

    python tools/training_page.py keep runs/tfilm-speech-x4 --as kathleen_x4
    python tools/training_page.py page --into docs/results/training.md

``keep`` writes docs/runs/NAME.jsonl: a line with the recipe, the pace and where the run was made,
then every validation and some of the losses of the run's ``log.jsonl``. ``page`` makes the tables
from all kept logs, and puts them between the page's two marks; without ``--into`` it prints them.
docs/runs/verdicts.toml holds a line in words for each run, and their order in the tables.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from overtone.cli.options import in_options
from overtone.errors import InvalidInputError, OvertoneError
from overtone.evaluation.runs import FIGURES, Run, kept, read_run
from overtone.files import write_text
from overtone.report import Cell, Column, Table
from overtone.report.pages import made_by, renewed
from overtone.report.provenance import provenance
from overtone.settings import read_toml

BEGIN = "<!-- made by tools/training_page.py; what stands before the end mark is replaced -->"
END = "<!-- end of what tools/training_page.py made -->"
COMMAND = "python tools/training_page.py page --into docs/results/training.md"
RUNS = Path("docs/runs")
VERDICTS = "verdicts.toml"
# A folder of short runs inside that of the runs: each differs in one thing from the first of them.
ABLATIONS = "ablations"
UNTOLD = ("name", "description")
# A corpus with less weight is in a recipe for its validation alone.
DRAWN = 1e-6


# The page ---------------------------------------------------------------------------------------


def read_folder(folder: Path) -> tuple[list[Run], dict[str, str]]:
    """The kept runs in the order of their verdicts, and these; runs without one come last."""
    path = folder / VERDICTS
    verdicts = read_toml(path) if path.exists() else {}
    runs = {log.stem: read_run(log) for log in sorted(folder.glob("*.jsonl"))}
    if not runs:
        raise InvalidInputError(f"{folder}: no kept run; keep one with `training_page.py keep`")
    for name, verdict in verdicts.items():
        if name not in runs:
            raise InvalidInputError(f"{path}: {name}: no {name}.jsonl beside it; keep that run")
        if not isinstance(verdict, str) or "\n" in verdict.strip():
            raise InvalidInputError(f'{path}: {name}: give one line of words: {name} = "..."')
    order = [*verdicts, *(name for name in runs if name not in verdicts)]
    return [runs[name] for name in order], verdicts


def made_part(folder: Path) -> str:
    """What stands between the marks, made of the logs and verdicts in ``folder``."""
    runs, verdicts = read_folder(folder)
    facts = {name: provenance()[name] for name in ("date", "overtone")}
    parts = [made_by(COMMAND, facts)]
    titles = {True: "AudioUNet family", False: "Spectral extenders"}
    for on_patches, title in titles.items():
        group = [run for run in runs if run.on_patches is on_patches]
        if group:
            parts += [f"### {title}\n", summary(group, verdicts)]
    if (folder / ABLATIONS).is_dir():
        runs, _ = read_folder(folder / ABLATIONS)
        said = [f"{len(runs)} runs, a row each: [{ABLATIONS}.csv]({ABLATIONS}.csv)."]
        said += ["", *(f"- {line}" for line in ablation_settings(runs[0]))]
        parts += ["### Ablations\n", "\n".join(said) + "\n"]
    return "\n".join(parts)


def ablations(runs: Sequence[Run], verdicts: Mapping[str, str]) -> Table:
    """A row a run: what differs from the first one, what a step cost, how its end was judged."""
    first = runs[0]
    rows: list[dict[str, Cell]] = []
    for run in runs:
        last = run.validations[-1]
        found = run.found(last)
        rows.append(
            {
                "run": run.name,
                "change": differences(first.header.recipe, run.header.recipe) or "-",
                "pace": run.header.step_cpu_seconds or run.header.step_seconds,
                "mean": cell(found.values(), first.figures),
                **{label: row["lsd"] for label, row in found.items()},
                "verdict": verdicts.get(run.name, "").strip(),
            }
        )
    labels = list(first.found(first.validations[-1]))
    names = ("run", "change", "pace", "mean", *labels, "verdict")
    return Table([Column(name, name) for name in names], rows)


def ablation_settings(first: Run) -> list[str]:
    """What the columns are, and the run that the others differ from."""
    return [
        "change: what differs from the first; pace: CPU-seconds a step",
        f"mean: {_meaning(first.figures)}, over clips and cutoffs; then the LSD at each cutoff",
        f"{first.name}: {first.records[-1].step} steps, "
        + "; ".join(
            f"{part} " + ", ".join(f"{k} {_said(v)}" for k, v in first.header.recipe[part].items())
            for part in ("model", "optimiser")
        ),
    ]


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The settings of ``other`` that ``one`` has not, or has otherwise."""
    before, after = (dict(_settings(recipe)) for recipe in (one, other))
    return ", ".join(
        f"{name} {_said(value)}" for name, value in after.items() if before.get(name) != value
    )


def _settings(recipe: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Every setting of a recipe but what it is called; of its corpora those that are drawn."""
    for table, values in recipe.items():
        if isinstance(values, dict):
            yield from values.items()
        elif table == "corpora":
            yield table, [c["name"] for c in values if c["weight"] > DRAWN]
        elif table not in UNTOLD:
            yield table, values


def summary(runs: Sequence[Run], verdicts: Mapping[str, str]) -> str:
    """A row a run: what it cost, what it was given, its best and its last validation, a verdict."""
    names = [name for name in FIGURES if any(name in run.figures for run in runs)]
    rows: list[dict[str, Cell]] = []
    for run in runs:
        last = run.validations[-1]
        rows.append(
            {
                "run": run.name,
                "network": run.network,
                "steps": run.records[-1].step,
                "minutes": run.records[-1].step * run.header.step_seconds / 60,
                "pace": run.header.step_seconds,
                "cpu_pace": run.header.step_cpu_seconds,
                "given": cell(run.given(last).values(), names),
                "best": cell(run.found(run.best).values(), names),
                "best_step": run.best.step,
                "last": cell(run.found(last).values(), names),
                "verdict": verdicts.get(run.name, "").strip(),
            }
        )
    costs = [Column("pace", "s a step")]
    if any(row["cpu_pace"] is not None for row in rows):
        costs.append(Column("cpu_pace", "CPU-s a step"))
    columns = [
        *(Column(name, name, 0) for name in ("run", "network", "steps", "minutes")),
        *costs,
        Column("given", "spline" if runs[0].on_patches else "input"),
        Column("best", "best"),
        Column("best_step", "at step"),
        Column("last", "last"),
        Column("verdict", "verdict"),
    ]
    over = "validation patches" if runs[0].on_patches else "clips and cutoffs"
    settings = [
        f"{_meaning(names)}; means over {over}",
        "s a step: wall time, the median; minutes: of all steps at that pace, so without"
        " validations and halts",
    ]
    text = Table(columns, rows, settings=settings).render("markdown")
    return text.replace("---:|\n", "---|\n", 1)  # words start at the left


def cell(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> str:
    """The mean of each figure over the rows, ``-`` for those that are not in them."""
    rows = list(rows)
    texts = []
    for name in names:
        values = [row[name] for row in rows if name in row]
        column = Column(name, "", FIGURES[name][1])
        texts.append(column.text(statistics.fmean(values)) if values else "-")
    return " / ".join(texts)


def _said(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(_said, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _meaning(names: Iterable[str]) -> str:
    return " / ".join(FIGURES[name][0] for name in names)


# The commands -----------------------------------------------------------------------------------


def keep(options: argparse.Namespace) -> None:
    """Copy and thin a run's log."""
    name = options.name or options.run.resolve().name
    if not re.fullmatch(r"[\w-]+", name, re.ASCII):
        raise InvalidInputError(f"--as {name}: use letters, digits, - and _ only")
    if not options.runs.is_dir():
        raise InvalidInputError(f"{options.runs}: no such folder; name it with --runs")
    path = options.runs / f"{name}.jsonl"
    write_text(kept(options.run), path, overwrite=options.force)
    print(f"wrote {path}")


def page(options: argparse.Namespace) -> None:
    """Renew the page, or print its made part."""
    made = made_part(options.runs)
    if options.into is None:
        print(made, end="")
    else:
        write_text(renewed(options.into, BEGIN, END, made), options.into, overwrite=True)
        if (options.runs / ABLATIONS).is_dir():
            table = ablations(*read_folder(options.runs / ABLATIONS)).render("csv")
            write_text(table, options.into.with_name(f"{ABLATIONS}.csv"), overwrite=True)


def main() -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=RUNS, help="the folder of kept logs")
    words = parser.add_subparsers(required=True)
    keeping = words.add_parser("keep", help="keep the log of a run")
    keeping.add_argument("run", type=Path, metavar="RUN", help="a folder that train wrote")
    keeping.add_argument("--as", dest="name", metavar="NAME", help="default: RUN's name")
    keeping.add_argument("--force", action="store_true", help="replace a kept log")
    keeping.set_defaults(do=keep)
    making = words.add_parser("page", help="make the tables")
    making.add_argument("--into", type=Path, metavar="PAGE.md", help="renew them there")
    making.set_defaults(do=page)
    options = parser.parse_args()
    options.do(options)


if __name__ == "__main__":
    try:
        main()
    except OvertoneError as error:
        sys.exit(f"training_page: {in_options(str(error))}")
