"""``overtone enhance``: restore the high frequencies that recordings have lost.

Parse, plan, run the batch, print one line a file. Everything heavy is imported inside the
functions, so that ``--help`` stays instant.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overtone.cli.options import (
    Device,
    DeviceOption,
    FidelityOption,
    ModelOption,
    StrengthOption,
    parse_cutoff,
    parse_rate,
)
from overtone.cli.printer import Printer
from overtone.errors import InvalidInputError, MissingExtraError, OvertoneError

if TYPE_CHECKING:
    from overtone.inference.jobs import Outcome, Settings

# As in overtone.inference.enhancer, which is too heavy to import for them.
PICTURE_S = 60.0  # a spectrogram of more would show less, and an hour would not fit in memory
PIPE = "-"


class Bits(StrEnum):
    """Sample formats of lossless outputs."""

    INT16 = "16"
    INT24 = "24"
    INT32 = "32"
    FLOAT32 = "32f"


SUBTYPES = {
    Bits.INT16: "PCM_16",
    Bits.INT24: "PCM_24",
    Bits.INT32: "PCM_32",
    Bits.FLOAT32: "FLOAT",
}


def enhance(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE", help="Audio files, folders (searched through) or glob patterns."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="File to write, or folder for many. Default: call.wav becomes call.enhanced.wav "
            "beside it; what cannot be written in its own format (m4a ...) NAME.enhanced.flac.",
        ),
    ] = None,
    model: ModelOption = "auto",
    rate: Annotated[
        int | None,
        typer.Option(
            "-r",
            "--rate",
            metavar="HZ",
            parser=parse_rate,
            help="Sample rate of the output, such as 44.1k. Default: the file's own from 44.1 kHz "
            "up, else 48 kHz (44.1 kHz for 22.05 and 11.025 kHz).",
            show_default=False,
        ),
    ] = None,
    cutoff: Annotated[
        Any,
        typer.Option(
            "--cutoff",
            metavar="auto|guess|HZ",
            parser=parse_cutoff,
            help="Where the recording's real band ends. Default: found in the recording; guess "
            "also acts where that is not sure.",
            show_default=False,
        ),
    ] = None,
    fidelity: FidelityOption = None,
    strength_db: StrengthOption = 0.0,
    device: DeviceOption = Device.AUTO,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=1, metavar="N", help="Files done at the same time.")
    ] = 1,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Overwrite outputs that exist (inputs never).")
    ] = False,
    bits: Annotated[
        Bits | None,
        typer.Option(
            "--bits",
            help="Sample format of the output. Default: that of the input.",
            show_default=False,
        ),
    ] = None,
    tags: Annotated[
        bool,
        typer.Option(
            "--tags/--no-tags",
            help="Carry over tags, cover art, cue points and the like.",
            show_default=False,
        ),
    ] = True,
    skip_unchanged: Annotated[
        bool,
        typer.Option(
            "--skip-unchanged", help="Write nothing where there is nothing to do, not a copy."
        ),
    ] = False,
    plot: Annotated[
        bool,
        typer.Option("--plot", help="Draw spectrograms before and after, into NAME.enhanced.png."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a file instead of text.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print errors only (and JSON, if asked for).")
    ] = False,
) -> None:
    """Restore the high frequencies that recordings have lost.

    Keeps what lies below the end of each recording's real band and predicts what lies above it.
    Prints a line a file. Bad files are named and skipped; the exit code is then 1.
    FILE and OUT may be - for standard input and standard output (WAV).

    \b
    overtone enhance call.wav
    overtone enhance recordings/ "tapes/*.mp3" -o enhanced/ -j 4
    overtone enhance old.mp3 -o new.flac --cutoff 5.5k --rate 44.1k --plot
    """
    from overtone.inference.jobs import Settings

    if plot and find_spec("matplotlib") is None:
        raise MissingExtraError("--plot", "plot")
    settings = Settings(
        model=model,
        device=device.value,
        fidelity=fidelity,
        strength_db=strength_db,
        output_rate=rate,
        cutoff_hz=cutoff,
        subtype=SUBTYPES[bits] if bits else None,
        overwrite=force,
        tags=tags,
        skip_unchanged=skip_unchanged,
    )
    if output is None and PIPE in files:
        output = PIPE
    if plot and output == PIPE:
        raise InvalidInputError("--plot needs an output with a name, not -")
    with _ended_by_signal(), _pipes(files, output) as (names, target, folder):
        printer = Printer(as_json=as_json, quiet=quiet, to_stderr=output == PIPE, hide=folder)
        failed = _enhance_all(names, target, settings, jobs, printer, plot=plot)
    raise typer.Exit(1 if failed else 0)


def _enhance_all(
    names: list[str],
    output: str | None,
    settings: Settings,
    jobs: int,
    printer: Printer,
    *,
    plot: bool,
) -> int:
    """Enhance all that the arguments mean and return how many files failed."""
    from overtone.inference.jobs import find_sources, make_tasks, part_existing, run

    sources, failures = find_sources(names, exclude=Path(output) if output else None)
    if not sources and not failures:
        raise InvalidInputError("nothing to do: the files found are *.enhanced.* already")
    tasks = make_tasks(sources, output, pictures=plot)
    if not settings.overwrite:
        tasks, existing = part_existing(tasks, pictures=plot)
        failures += existing
    for failure in failures:
        printer.outcome(failure)
    failed = len(failures)
    with (
        printer.progress(len(tasks)),
        closing(run(tasks, settings, jobs=jobs, progress=printer.advance)) as outcomes,
    ):
        for outcome in outcomes:
            done = _draw(outcome, overwrite=settings.overwrite) if plot else outcome
            printer.outcome(done)
            failed += done.error is not None
    return failed


def _draw(outcome: Outcome, *, overwrite: bool) -> Outcome:
    """Write the picture of an enhanced file; return a failure instead if that fails."""
    import numpy as np

    from overtone.audio.reader import AudioReader
    from overtone.inference.jobs import describe_os_error, picture_path
    from overtone.report import plot_spectrograms

    report = outcome.report
    if report is None or not report.destination:
        return outcome
    signals = []
    try:
        for title, name in (("before", report.source), ("after", report.destination)):
            with AudioReader(name) as reader:
                rate = reader.info.sample_rate
                silence = np.zeros((reader.info.channels, 0), np.float32)
                signals.append((title, next(reader.blocks(round(PICTURE_S * rate)), silence), rate))
        picture = picture_path(Path(report.destination))
        cutoff_hz = report.cutoff.cutoff_hz if report.changed else None
        plot_spectrograms(signals, picture, cutoff_hz=cutoff_hz, overwrite=overwrite)
    except OvertoneError as error:
        return replace(outcome, error=f"{report.destination}: no picture ({error})")
    except OSError as error:
        return replace(
            outcome, error=f"{report.destination}: no picture ({describe_os_error(error)})"
        )
    return outcome


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C does, so that no temporary file stays behind."""
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _pipes(files: list[str], output: str | None) -> Iterator[tuple[list[str], str | None, str]]:
    """Stand files in for ``-``: audio needs to seek, which a pipe cannot.

    Yields the names to read, the name to write, and the folder of the stand-ins ("" if none).
    """
    reads, writes = PIPE in files, output == PIPE
    if not reads and not writes:
        yield files, output, ""
        return
    if len(files) > 1:
        raise InvalidInputError("- stands for one file, so it must be the only one")
    if writes and sys.stdout.isatty():
        raise InvalidInputError("audio is not written to a terminal: pipe it, or name it with -o")
    with tempfile.TemporaryDirectory(prefix="overtone-") as folder:
        source, destination = Path(folder, "stdin.wav"), Path(folder, "stdout.wav")
        if reads:
            with source.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        yield [str(source)] if reads else files, str(destination) if writes else output, folder
        if writes and destination.exists():
            with destination.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
