"""``overtone evaluate``: score estimates against their references, or methods on an archive.

Pair the files, score each pair, print one table with the settings behind its numbers.
:mod:`overtone.cli.evaluate_archive` does the same for archives of patches.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overtone.cli.evaluate_archive import evaluate_archive
from overtone.cli.options import ForceOption, PerceptualOption, cutoff_option, rate_option, track

if TYPE_CHECKING:
    from overtone.evaluation.pairs import Pair


class Format(StrEnum):
    """How the table is written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


def evaluate(
    reference: Annotated[
        str | None,
        typer.Argument(metavar="REFERENCE", help="The real recording: file, folder, pattern."),
    ] = None,
    estimate: Annotated[
        str | None,
        typer.Argument(metavar="ESTIMATE", help="What to score: file, folder or pattern."),
    ] = None,
    cutoff: Annotated[
        float | None,
        cutoff_option("Also score above and below this frequency (LSD-HF, LSD-LF, texture)."),
    ] = None,
    rate: Annotated[
        int | None,
        rate_option("Resample both to this rate first. Default: they must have one rate."),
    ] = None,
    perceptual: PerceptualOption = False,
    archive: Annotated[
        Path | None,
        typer.Option(
            "--archive",
            metavar="X.h5",
            help="Score methods on an archive that 'overtone prepare' made, in place of files.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="With --archive, may be repeated: a shipped model, an .onnx file, a folder that"
            " 'overtone train' wrote, spline, soxr or copy-up.",
            show_default=False,
        ),
    ] = None,
    table_format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Default: what the name after -o says, else a table.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to this file.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Score recordings against their references: SNR, SI-SDR, LSD and more.

    Two files are one pair. Files in two folders pair by name: NAME.flac or
    NAME.enhanced.wav goes with NAME.wav. Two quoted patterns pair by what
    their wildcards match: 'ref/*.wav' goes with 'out/*-hi.wav'. Files left
    without a partner are named, and the exit code is 1.

    Lengths that differ by up to 0.1 s are trimmed to the shorter, and the
    table says so; more is an error.

    With --archive, methods are compared with the cubic spline on the patches
    of an archive, each mean with a bootstrap 95 % interval over recordings:

    \b
    overtone evaluate --archive val.h5 -m runs/tfilm/best -m soxr -o table.md
    """
    from overtone.files import refuse_existing, write_text

    chosen = table_format or _format_of(output)
    problems: list[str] = []
    if archive is None:
        from overtone.evaluation.pairs import score_pairs

        pairs = _named_pairs(reference, estimate, models, problems)
        if output is not None:
            refuse_existing(output, force, inputs=[path for _, *pair in pairs for path in pair])
        table = score_pairs(
            track(pairs, "scoring"), problems, rate=rate, cutoff_hz=cutoff, perceptual=perceptual
        )
    else:
        _refuse_beside_archive(reference or estimate, cutoff, rate, perceptual)
        if output is not None:
            refuse_existing(output, force, inputs=[archive])
        readable = chosen in (Format.TABLE, Format.MARKDOWN)
        table = evaluate_archive(archive, models or [], readable=readable)
    for problem in problems:
        print(f"overtone: {problem}", file=sys.stderr)
    if table is not None:
        if output is not None:
            write_text(table.render(chosen.value), output, overwrite=force)
        elif chosen is Format.TABLE:
            table.print()
        else:
            print(table.render(chosen.value), end="")
    if problems:
        raise typer.Exit(1)


def _named_pairs(
    reference: str | None, estimate: str | None, models: list[str] | None, problems: list[str]
) -> list[Pair]:
    if models:
        raise typer.BadParameter(
            "goes with --archive; files are scored as they are", param_hint="-m"
        )
    if reference is None or estimate is None:
        raise typer.BadParameter("give REFERENCE and ESTIMATE, or --archive with --model")
    from overtone.evaluation.pairs import pair_files

    pairs, unpaired = pair_files(reference, estimate)
    problems += unpaired
    return pairs


def _refuse_beside_archive(
    file: str | None, cutoff: float | None, rate: int | None, perceptual: bool
) -> None:
    given = {"files": file, "--cutoff": cutoff, "--rate": rate, "--perceptual": perceptual}
    unfit = [name for name, value in given.items() if value]
    if unfit:
        raise typer.BadParameter(f"--archive does not go with {', '.join(unfit)}")


def _format_of(output: Path | None) -> Format:
    suffixes = {".md": Format.MARKDOWN, ".csv": Format.CSV, ".json": Format.JSON}
    return suffixes.get(output.suffix.lower() if output else "", Format.TABLE)
