"""What ``overtone enhance`` says: a line or a JSON object a file, errors, and a progress bar."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from overtone.cli.options import in_options

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from overtone.inference.enhancer import FileReport
    from overtone.inference.jobs import Outcome


class Printer:
    """Reports on stdout, errors on stderr, and on a terminal a bar that garbles neither.

    ``to_stderr`` moves the reports to stderr, for when the audio itself goes to stdout. ``hide``
    is a folder whose name is left out of all that is printed.
    """

    def __init__(
        self, *, as_json: bool, quiet: bool, to_stderr: bool = False, hide: str = ""
    ) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._reports = sys.stderr if to_stderr else sys.stdout
        self._hidden = f"{Path(hide)}/" if hide else ""
        self._bar: Progress | None = None
        self._bar_task: TaskID | None = None
        self._fractions: dict[Path, float] = {}

    def outcome(self, outcome: Outcome) -> None:
        """Print how one file went."""
        self.advance(outcome.source, 1.0)
        if outcome.error is not None:
            self._print(f"overtone: {in_options(outcome.error)}", sys.stderr)
        if outcome.defect is not None:
            self._print(outcome.defect, sys.stderr)
        if self._as_json:
            self._print(json.dumps(as_dict(outcome), default=str), self._reports)
        elif outcome.report is not None and not self._quiet:
            self._print(describe(outcome.report), self._reports)

    def advance(self, source: Path, fraction: float) -> None:
        """Move the bar: ``fraction`` (0 to 1) of ``source`` is done."""
        if self._bar is not None and self._bar_task is not None:
            self._fractions[source] = fraction
            self._bar.update(self._bar_task, completed=sum(self._fractions.values()))

    @contextmanager
    def progress(self, files: int) -> Iterator[None]:
        """Show a bar over this many files while the context lasts, if there is anyone to see."""
        if self._quiet or not files or not sys.stderr.isatty():
            yield
            return
        from rich.console import Console
        from rich.progress import Progress

        # The reports may go to a file while the bar is on the terminal: redirect neither.
        console = Console(stderr=True)
        with Progress(
            console=console, transient=True, redirect_stdout=False, redirect_stderr=False
        ) as self._bar:
            name = "enhancing" if files == 1 else f"enhancing {files} files"
            self._bar_task = self._bar.add_task(name, total=files)
            try:
                yield
            finally:
                self._bar = None

    def _print(self, text: str, stream: TextIO) -> None:
        text = text.replace(self._hidden, "") if self._hidden else text
        if self._bar is not None and stream.isatty():
            # On the bar's own terminal a line has to be put above it.
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=stream, flush=True)


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome in the form that ``--json`` prints."""
    error = {} if outcome.error is None else {"error": in_options(outcome.error)}
    if outcome.report is None:
        return {"source": str(outcome.source)} | error
    report = asdict(outcome.report) | {"realtime_factor": outcome.report.realtime_factor}
    del report["cutoff"]["transition"]  # dozens of numbers for no reader
    report["stretches"] = [stretch.to_dict() for stretch in outcome.report.stretches]
    return report | error


def describe(report: FileReport) -> str:
    """Return one line on an enhanced file: rates, cutoff, model, time, and anything unusual."""
    parts = [
        f"{_kilohertz(report.input_rate)} -> {_kilohertz(report.output_rate)} kHz",
        _describe_cutoff(report),
    ]
    if report.changed:
        parts.append(f"model {report.model}" + (f" ({report.warning})" if report.warning else ""))
    else:
        how = "" if report.action == "written" else f"{report.action}, "
        parts.append(f"{how}unchanged" + (f": {report.warning}" if report.warning else ""))
    parts.append(f"{report.seconds:.2f} s, {report.realtime_factor:.3g} times real time")
    if report.clipped_samples:
        plural = "" if report.clipped_samples == 1 else "s"
        parts.append(f"{report.clipped_samples} sample{plural} clipped")
    if report.left_behind:
        parts.append(f"left behind: {', '.join(report.left_behind)}")
    arrow = f" -> {report.destination}" if report.destination else ""
    return f"{report.source}{arrow}: {', '.join(parts)}"


def _describe_cutoff(report: FileReport) -> str:
    cutoff = report.cutoff
    if len(report.stretches) > 1:
        from overtone.dsp.stretches import describe as describe_stretches

        return describe_stretches(report.stretches)
    if cutoff.cutoff_hz is None:
        # A model has to start somewhere: at the end of what the rate can hold.
        taken = f", taken as {_kilohertz(report.input_rate / 2)} kHz" if report.changed else ""
        seen = f" ({cutoff.seen})" if report.changed and cutoff.seen else ""
        return f"cutoff unsure{seen}{taken}"
    if cutoff.guess_hz is not None and not report.cutoff_given:
        return f"cutoff {_kilohertz(round(cutoff.cutoff_hz, -1))} kHz (a guess: {cutoff.seen})"
    # Nothing that was found by analysis is certain.
    sure = "given" if report.cutoff_given else f"{min(cutoff.confidence, 0.99):.0%} sure"
    what = "full band to" if cutoff.verdict == "full band" else "cutoff"
    return f"{what} {_kilohertz(round(cutoff.cutoff_hz, -1))} kHz ({sure})"


def _kilohertz(hertz: float) -> str:
    return f"{hertz / 1000:g}"
