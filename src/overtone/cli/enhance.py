"""``overtone enhance``: restore the high frequencies that recordings have lost.

Parse, plan, run the batch, print one line a file. Everything heavy is imported inside the
functions, so that ``--help`` stays instant.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from overtone.cli.options import (
    PIPE,
    ClusterOption,
    Device,
    DeviceOption,
    FidelityOption,
    JobsOption,
    ModelOption,
    ShardOption,
    StrengthOption,
    UsageError,
    parse_cutoff,
    parse_lufs,
    parse_rate,
    parse_selection,
    usage,
)
from overtone.cli.printer import Printer, as_dict
from overtone.errors import InvalidInputError, MissingExtraError, OvertoneError
from overtone.stores import names_store

if TYPE_CHECKING:
    from overtone.inference.jobs import Outcome

# As in overtone.inference.enhancer, which is too heavy to import for them.
PICTURE_S = 60.0  # a spectrogram of more would show less, and an hour would not fit in memory
PICTURE, PAGE = ".png", ".html"  # in place of an output's extension


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
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="Audio files, folders (searched through) or glob patterns.",
            show_default=False,
        ),
    ] = None,
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
    suffix: Annotated[
        str | None,
        typer.Option(
            "--suffix",
            metavar="TEXT",
            help="What outputs' names end in. Default: .enhanced beside the input, nothing in a"
            " folder of their own.",
            show_default=False,
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
    select: Annotated[
        list[Any] | None,
        typer.Option(
            "--select",
            metavar="START-END",
            parser=parse_selection,
            help="Enhance only this part, such as 1:30-2:00, and keep the rest bit for bit; may be"
            " given again.",
            show_default=False,
        ),
    ] = None,
    fidelity: FidelityOption = None,
    strength_db: StrengthOption = 0.0,
    target_lufs: Annotated[
        Any,
        typer.Option(
            "--target-lufs",
            metavar="none|LUFS",
            parser=parse_lufs,
            help="Bring the output to a loudness, such as -16; peaks stay below -1 dBTP. Default:"
            " none.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = Device.AUTO,
    jobs: JobsOption = None,
    cluster: ClusterOption = None,
    shard: ShardOption = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="FILE",
            help="Take the files from a list, .jsonl or .parquet, with columns source and, if not"
            " -o, output.",
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            metavar="FILE",
            help="Write a row a file, as .jsonl or .parquet; with --resume, into those of before.",
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Go on until Ctrl-C: enhance what comes into the folders, once it has stopped"
            " growing.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be written; no file is opened.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Leave out files whose output exists already."),
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            min=1,
            metavar="SECONDS",
            help="Give up on a file after so long. Default: never.",
            show_default=False,
        ),
    ] = None,
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
    html: Annotated[
        bool,
        typer.Option(
            "--html", help="Write a page to hear and see both, into NAME.enhanced.html, to send."
        ),
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
    from overtone.cli.watch import arrivals
    from overtone.files import refuse_existing
    from overtone.inference.checks import check_loudness, check_suffix, checked_times
    from overtone.inference.jobs import Outcome, enhance_files
    from overtone.manifest import read_manifest
    from overtone.manifest import results as write_results

    if plot and find_spec("matplotlib") is None:
        raise MissingExtraError("--plot", "plot")
    if (manifest is None) == (not files):
        raise typer.BadParameter("name either files or, with --manifest, a list of them")
    source, target = _ends(files or [], output)
    with usage():
        checked_times(select or ())
        check_loudness(target_lufs, select or ())
        check_suffix(suffix)
    if (plot or html) and output is not None and names_store(output):
        raise UsageError(f"--{'plot' if plot else 'html'} needs an output on this machine")
    if watch and (manifest or PIPE in (*(files or []), output) or dry_run or shard):
        raise UsageError("--watch takes folders, and no --manifest, --shard or --dry-run")
    if plot and not isinstance(target, str | None):
        raise UsageError("--plot needs an output with a name, not -")
    if html and not (isinstance(source, list) and isinstance(target, str | None)):
        raise UsageError("--html needs an input and an output with names, not -")
    if results is not None:
        refuse_existing(results, force or resume, inputs=[manifest, *(files or [])])
    printer = Printer(as_json=as_json, quiet=quiet, to_stderr=not isinstance(target, str | None))
    errors = 0

    def tell(outcome: Outcome) -> None:
        nonlocal errors
        done = _draw(outcome, overwrite=force) if plot else outcome
        done = _write_page(done, overwrite=force) if html else done
        errors += done.error is not None
        printer.outcome(done)
        write(as_dict(done))

    def run(source: Any, target: str | BinaryIO | None) -> None:
        enhance_files(
            source,
            target,
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
            select=select or (),
            target_lufs=target_lufs,
            beside=[PICTURE] * plot + [PAGE] * html,
            suffix=suffix,
            dry_run=dry_run,
            resume=resume or (watch and not force),
            shard=shard,
            jobs=jobs,
            cluster=cluster,
            isolated=True,
            timeout_s=timeout,
            progress=printer.advance,
            on_outcome=tell,
        )

    kept = write_results(None if dry_run else results, overwrite=force, resume=resume)
    with _ended_by_signal(), kept as write:
        if watch:
            try:
                for names, folder in arrivals(files or [], output, suffix):
                    try:
                        with printer.progress():
                            run(names, folder)
                    except InvalidInputError as error:  # such as two files for one name
                        printer.outcome(Outcome(Path(names[0]), error=str(error)))
                        errors += 1
            except KeyboardInterrupt:
                pass  # the way to end it
        else:
            with printer.progress():
                run(read_manifest(manifest) if manifest else source, target)
    raise typer.Exit(1 if errors else 0)


def _ends(
    files: list[str], output: str | None
) -> tuple[list[str] | BinaryIO, str | BinaryIO | None]:
    """Put standard input and output in the place of ``-``."""
    reads = PIPE in files
    writes = output == PIPE or (reads and output is None)
    if (reads or writes) and len(files) > 1:
        raise UsageError("- stands for one file, so it must be the only one")
    if writes and sys.stdout.isatty():
        raise InvalidInputError("audio is not written to a terminal: pipe it, or name it with -o")
    return sys.stdin.buffer if reads else files, sys.stdout.buffer if writes else output


def _draw(outcome: Outcome, *, overwrite: bool) -> Outcome:
    """Write the picture of an enhanced file; return a failure instead if that fails."""
    import numpy as np

    from overtone.audio.reader import AudioReader
    from overtone.audio.sources import describe_os_error
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
        picture = Path(report.destination).with_suffix(PICTURE)
        cutoff_hz = report.cutoff.cutoff_hz if report.changed else None
        plot_spectrograms(signals, picture, cutoff_hz=cutoff_hz, overwrite=overwrite)
    except OvertoneError as error:
        return replace(outcome, error=f"{report.destination}: no picture ({error})")
    except OSError as error:
        return replace(
            outcome, error=f"{report.destination}: no picture ({describe_os_error(error)})"
        )
    return outcome


def _write_page(outcome: Outcome, *, overwrite: bool) -> Outcome:
    """Write the page that compares a file before and after; return a failure if that fails."""
    from overtone.serve.listening import write_listening_page

    report = outcome.report
    if report is None or not report.destination:
        return outcome
    source, destination = Path(report.source), Path(report.destination)
    try:
        write_listening_page(
            destination.with_suffix(PAGE),
            source,
            destination,
            facts=str(replace(report, source="", destination="")),
            cutoff_hz=report.cutoff.cutoff_hz if report.changed else None,
            overwrite=overwrite,
        )
    except OvertoneError as error:
        return replace(outcome, error=f"{destination}: no page ({error})")
    return outcome


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C does, so that no temporary file stays behind."""
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
