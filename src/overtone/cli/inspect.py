"""``overtone inspect``: what audio files claim and what they hold."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overtone.cli.options import (
    PIPE,
    ClusterOption,
    JobsOption,
    ShardOption,
    UsageError,
    in_options,
)
from overtone.cli.printer import bar
from overtone.errors import InvalidInputError, MissingExtraError, OvertoneError

if TYPE_CHECKING:
    from overtone.inspection import Inspected, Inspection
    from overtone.report import Table

PICTURE_S = 60.0


def inspect(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="Audio files, folders (searched through) or glob patterns; - is standard input.",
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a file, as each is known.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FOLDER", help="Draw a spectrogram of each file there."),
    ] = None,
    jobs: JobsOption = None,
    cluster: ClusterOption = None,
    shard: ShardOption = None,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Overwrite pictures that exist.")
    ] = False,
) -> None:
    """Tell what audio files claim and what they hold.

    Prints the rate, length and format that each claims, where its band really ends, how sure that
    is, and what most likely ended it: an MP3 that was saved as FLAC, a resampler, a low-pass.
    Of files longer than 32 s it reads eight times 4 s. Bad files make the exit code 1.

    \b
    overtone inspect album/ -j 4
    overtone inspect corpus/ -j 4 --csv > corpus.csv
    """
    from overtone.inspection import inspect_files

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other: choose one")
    if plot is not None and PIPE in files:
        raise UsageError("--plot needs files with names, not -")
    if plot is not None and find_spec("matplotlib") is None:
        raise MissingExtraError("--plot", "plot")
    if plot is not None and plot.exists() and not plot.is_dir():
        raise InvalidInputError(f"--plot {plot}: is a file; give a folder for the pictures")
    errors = 0

    def tell(result: Inspected) -> None:
        nonlocal errors
        error = result.error or (plot and _draw(result, plot, overwrite=force)) or None
        if error is not None:
            errors += 1
            print(f"overtone: {in_options(error)}", file=sys.stderr)
        if result.defect is not None:
            print(result.defect, file=sys.stderr)
        if as_json:
            found = result.inspection.to_dict() if result.inspection else {"file": str(result.path)}
            print(json.dumps(found | ({"error": in_options(error)} if error else {})), flush=True)

    if PIPE in files and len(files) > 1:
        raise UsageError("- stands for one file, so it must be the only one")
    with bar("inspecting") as advance:
        given = sys.stdin.buffer if PIPE in files else files
        results = inspect_files(
            given,
            jobs=jobs,
            cluster=cluster,
            shard=shard,
            isolated=True,
            progress=advance,
            on_result=tell,
        )
    found = [result.inspection for result in results if result.inspection is not None]
    if as_csv:
        print(_table(found, exact=True).render("csv"), end="")
    elif found and not as_json:
        _table(found, exact=False).print()
    raise typer.Exit(1 if errors else 0)


def _table(found: list[Inspection], *, exact: bool) -> Table:
    """Return a table, of every number for programs, or of what a line holds for people."""
    from overtone.report import Column, Table

    if exact:
        rows = [one.to_dict() for one in found]
        for row in rows:
            row["lines_hz"] = " ".join(f"{hertz:.0f}" for hertz in row["lines_hz"])
            row["stretches"] = json.dumps(row["stretches"])
        keys = list(rows[0]) if rows else ["file"]
        return Table([Column(key, key) for key in keys], rows)
    columns = [
        Column("file", "file", of=lambda one: str(one.path)),
        Column("claims", "claims", of=_claim),
        Column("length", "s", 1, of=lambda one: one.duration_s),
        Column("band", "band to, kHz", of=_band),
        Column("sure", "sure", of=lambda one: f"{min(one.cutoff.confidence, 0.99):.0%}"),
        Column("edge", "codec edge, kHz", 1, of=lambda one: _kilohertz(one.codec_edge_hz)),
        Column("lines", "lines, kHz", of=_lines),
        Column("clipped", "clipped", of=lambda one: one.clipped_samples or None),
        Column("cause", "likely cause", of=lambda one: one.cause),
    ]
    return Table.of(found, columns)


def _claim(one: Inspection) -> str:
    sides = {1: "mono", 2: "stereo"}.get(one.info.channels, f"{one.info.channels} channels")
    return f"{one.info.sample_rate / 1000:g} kHz {one.bits} {sides}"


def _band(one: Inspection) -> str:
    from overtone.dsp.stretches import describe

    if one.level_dbfs is None and one.cutoff.cutoff_hz is None:
        return "silent"
    if len(one.stretches) > 1:
        return describe(one.stretches)
    if one.cutoff.cutoff_hz is None:
        return "unsure"
    full = " (full)" if one.cutoff.verdict == "full band" else ""
    return f"{one.cutoff.cutoff_hz / 1000:.3g}{full}"


def _lines(one: Inspection) -> str:
    return ", ".join(f"{hertz / 1000:.3g}" for hertz in one.lines_hz[:4])


def _kilohertz(hertz: float | None) -> float | None:
    return None if hertz is None else hertz / 1000


def _draw(result: Inspected, folder: Path, *, overwrite: bool) -> str:
    """Draw a file's first minute; return what went wrong, if something did."""
    from overtone.audio.reader import AudioReader
    from overtone.report import plot_spectrograms

    one = result.inspection
    if one is None:
        return ""
    picture = folder / f"{_flat(result.path)}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with AudioReader(result.path) as reader:
            rate = reader.info.sample_rate
            samples = next(reader.blocks(round(PICTURE_S * rate)))
        mark_hz = one.cutoff.cutoff_hz if one.cutoff.verdict == "band-limited" else None
        title = f"{result.path.name}: {one.cause or one.cutoff.verdict}"
        plot_spectrograms([(title, samples, rate)], picture, cutoff_hz=mark_hz, overwrite=overwrite)
    except (OvertoneError, OSError) as error:
        return f"{result.path}: no picture ({error})"
    return ""


def _flat(path: Path) -> str:
    """Return a name for one folder that keeps files of many apart."""
    return "_".join(part for part in path.parts if part not in ("/", "..", "."))
