"""What ``overtone enhance`` says: a line or a JSON object a file, errors, and a progress bar."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from overtone.cli import terminal
from overtone.cli.options import in_options
from overtone.logs import printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from overtone.inference.jobs import Outcome


class Printer:
    """Reports on stdout, errors on stderr, and on a terminal a bar that garbles neither.

    ``to_stderr`` moves the reports to stderr, for when the audio itself goes to stdout.
    """

    def __init__(self, *, as_json: bool, quiet: bool, to_stderr: bool = False) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._reports = sys.stderr if to_stderr else sys.stdout
        self._bar: Bar | None = None

    def outcome(self, outcome: Outcome) -> None:
        """Print how one file went."""
        if outcome.error is not None:
            self._print(f"overtone: {in_options(outcome.error)}", sys.stderr)
        if outcome.defect is not None and terminal.verbose:
            self._print(outcome.defect, sys.stderr)
        if self._as_json:
            self._print(json.dumps(as_dict(outcome), default=str), self._reports)
        elif outcome.report is not None and not self._quiet:
            self._print(in_options(str(outcome.report)), self._reports)
        elif outcome.planned is not None and not self._quiet:
            self._print(printable(f"{outcome.source} -> {outcome.planned}"), self._reports)

    def advance(self, done: float, files: int) -> None:
        """Move the bar: so many of the files are done."""
        if self._bar is not None:
            self._bar(done, files)

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show a bar while the context lasts, if there is anyone to see."""
        if self._quiet:
            yield
            return
        with bar("enhancing") as self._bar:
            try:
                yield
            finally:
                self._bar = None

    def _print(self, text: str, stream: TextIO) -> None:
        if self._bar is not None and stream.isatty():
            self._bar.print(text)
        else:
            print(text, file=stream, flush=True)


class Bar:
    """A progress bar on standard error, over files; nothing where that is no terminal."""

    def __init__(self, verb: str, progress: Progress | None = None) -> None:
        self._verb, self._progress = verb, progress
        self._task = progress.add_task(verb, total=None) if progress else None

    def __call__(self, done: float, files: int) -> None:
        """Show that so many of the files are done."""
        if self._progress is not None and self._task is not None:
            name = self._verb if files == 1 else f"{self._verb} {files} files"
            self._progress.update(self._task, description=name, completed=done, total=files)

    def print(self, text: str) -> None:
        """Put a line above the bar, where it is on the same terminal."""
        if self._progress is None:
            print(text, flush=True)
        else:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bar(verb: str) -> Iterator[Bar]:
    """Show a bar while the context lasts, if there is anyone to see."""
    if terminal.verbose or not sys.stderr.isatty():  # a log and a bar would garble each other
        yield Bar(verb)
        return
    from rich.console import Console
    from rich.progress import Progress

    # The reports may go to a file while the bar is on the terminal: redirect neither.
    console = Console(stderr=True)
    with Progress(
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        speed_estimate_period=300,  # a step of a long file may take a while
    ) as progress:
        yield Bar(verb, progress)


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome in the form that ``--json`` prints."""
    report = {"source": str(outcome.source)} if outcome.report is None else outcome.report.to_dict()
    if outcome.existing is not None:
        report |= {"destination": str(outcome.existing), "action": "exists"}
    if outcome.planned is not None:
        report |= {"destination": str(outcome.planned), "action": "planned"}
    return report | ({} if outcome.error is None else {"error": in_options(outcome.error)})
