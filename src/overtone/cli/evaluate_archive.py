"""``overtone evaluate --archive``: systems compared on an archive of patches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from overtone.cli.options import laboratory

if TYPE_CHECKING:
    from overtone.report import Table


def evaluate_archive(archive: Path, models: Sequence[str], *, readable: bool) -> Table:
    """Return the table; ``readable`` puts a mean and its interval into one cell."""
    if not models:
        raise typer.BadParameter(
            "--archive compares methods: name at least one with --model, such as runs/NAME/best,"
            " a name that 'overtone models' lists, or soxr"
        )
    with laboratory("evaluating an archive"):
        from overtone.evaluation.archive_tables import archive_table
        from overtone.evaluation.archives import evaluate_archive as run
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("scoring", total=None)
        scores = run(
            archive,
            models,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    return archive_table(scores, readable=readable)
