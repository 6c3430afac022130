"""``overtone evaluate``: score estimates against their references, or methods on an archive.

Pair the files, score each pair, print one table with the settings behind its numbers.
:mod:`overtone.cli.evaluate_archive` does the same for archives of patches.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from overtone.cli.evaluate_archive import evaluate_archive
from overtone.cli.options import parse_hertz, parse_rate
from overtone.cli.pairs import Pair, pair_files
from overtone.errors import InvalidInputError, OvertoneError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from overtone.report import Table

LENGTH_TOLERANCE_S = 0.1


class Format(StrEnum):
    """How the table is written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


class Scored(NamedTuple):
    """The scores of a pair, the rate they were taken at, and the samples trimmed to align ends."""

    name: str
    scores: dict[str, float]
    sample_rate: int
    trimmed_samples: int


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
        typer.Option(
            "--cutoff",
            metavar="HZ",
            parser=parse_hertz,
            help="Also score above and below this frequency (LSD-HF, LSD-LF, texture).",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            "-r",
            "--rate",
            metavar="HZ",
            parser=parse_rate,
            help="Resample both to this rate first. Default: they must have one rate.",
            show_default=False,
        ),
    ] = None,
    perceptual: Annotated[
        bool, typer.Option("-p", "--perceptual", help="Add ViSQOL, PESQ, STOI, DNSMOS (slow).")
    ] = False,
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
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Overwrite the file named by -o.")
    ] = False,
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

    if output is not None:
        refuse_existing(output, force)
    chosen = table_format or _format_of(output)
    problems: list[str] = []
    if archive is None:
        pairs = _named_pairs(reference, estimate, models, problems)
        table = score_pairs(pairs, rate, cutoff, perceptual, problems)
    else:
        _refuse_beside_archive(reference or estimate, cutoff, rate, perceptual)
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


def score_pairs(
    pairs: Sequence[Pair],
    rate: int | None,
    cutoff_hz: float | None,
    perceptual: bool,
    problems: list[str],
) -> Table | None:
    """Return the table of all pairs that can be scored; ``problems`` gets a line for the others."""
    from overtone.metrics import require_perceptual

    if perceptual:
        require_perceptual()
    scored = []
    for pair in _with_progress(pairs):
        try:
            scored.append(score(pair, rate, cutoff_hz, perceptual))
        except OvertoneError as error:
            problems.append(_named(pair, str(error)))
    return tabulate(scored, cutoff_hz=cutoff_hz, rate=rate) if scored else None


def score(pair: Pair, rate: int | None, cutoff_hz: float | None, perceptual: bool) -> Scored:
    """Read a pair, bring both to one rate and one length, and score it."""
    from overtone.audio.files import read_audio
    from overtone.metrics import evaluate_pair

    y, rate_y = read_audio(pair.reference)
    x, rate_x = read_audio(pair.estimate)
    if rate is not None:
        y, x, rate_y, rate_x = _resampled(y, rate_y, rate), _resampled(x, rate_x, rate), rate, rate
    if rate_y != rate_x:
        raise InvalidInputError(
            f"sampled at {rate_x} Hz, its reference at {rate_y} Hz: "
            f"bring both to one rate with --rate {max(rate_y, rate_x)}"
        )
    if len(y) != len(x):
        raise InvalidInputError(
            f"{len(x)} channels, its reference {len(y)}: give both the same number"
        )
    length, longer = sorted((y.shape[1], x.shape[1]))
    if longer - length > LENGTH_TOLERANCE_S * rate_y:
        raise InvalidInputError(
            f"lasts {x.shape[1] / rate_y:.3f} s, its reference {y.shape[1] / rate_y:.3f} s: "
            f"align and trim them to within {LENGTH_TOLERANCE_S} s"
        )
    scores = evaluate_pair(
        y[:, :length], x[:, :length], rate_y, cutoff_hz=cutoff_hz, perceptual=perceptual
    )
    return Scored(pair.name, scores, rate_y, longer - length)


def tabulate(scored: Sequence[Scored], *, cutoff_hz: float | None, rate: int | None) -> Table:
    """Return the table of scores: a row a file, their mean if there are several, the settings."""
    from overtone import __version__
    from overtone.metrics import describe, mean_scores, settings_lines
    from overtone.report import Cell, Column, Table

    means = mean_scores([file.scores for file in scored])
    columns = [Column("file", "file")]
    columns += [Column(name, describe(name).label, describe(name).decimals) for name in means]
    rates = sorted({file.sample_rate for file in scored})
    resampled = ", all resampled to it by soxr VHQ" if rate is not None else ""
    first = f"overtone {__version__}; sample rate {', '.join(map(str, rates))} Hz{resampled}"
    if cutoff_hz is not None:
        first += f"; cutoff {cutoff_hz:g} Hz"
    settings = [first + "; several channels: their mean", *settings_lines(means)]
    if trimmed := [file for file in scored if file.trimmed_samples]:
        most_s = max(file.trimmed_samples / file.sample_rate for file in trimmed)
        plural = "pair" if len(trimmed) == 1 else "pairs"
        settings.append(
            f"lengths differed in {len(trimmed)} {plural}, by {1000 * most_s:.3g} ms at most: "
            "ends trimmed to the shorter"
        )
    if any(value != value for file in scored for value in file.scores.values()):
        settings.append(
            "n/a: silent reference, estimate equal to it (no error to measure), no stereo side, no "
            "voice, or too little sound to judge; left out of the mean"
        )
    rows: list[dict[str, Cell]] = [{"file": file.name, **file.scores} for file in scored]
    summary: dict[str, Cell] | None = (
        {"file": f"mean of {len(scored)}", **means} if len(scored) > 1 else None
    )
    return Table(columns, rows, summary, settings)


def _resampled(samples: NDArray[np.float32], rate_in: int, rate_out: int) -> NDArray[np.float32]:
    import soxr

    if rate_in == rate_out:
        return samples
    resampled: NDArray[np.float32] = soxr.resample(samples.T, rate_in, rate_out, quality="VHQ").T
    return resampled


def _named(pair: Pair, message: str) -> str:
    names_file = str(pair.reference) in message or str(pair.estimate) in message
    return message if names_file else f"{pair.estimate}: {message}"


def _format_of(output: Path | None) -> Format:
    suffixes = {".md": Format.MARKDOWN, ".csv": Format.CSV, ".json": Format.JSON}
    return suffixes.get(output.suffix.lower() if output else "", Format.TABLE)


def _with_progress(pairs: Sequence[Pair]) -> Iterator[Pair]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(
        pairs, "scoring", console=console, transient=True, disable=not console.is_terminal
    )
