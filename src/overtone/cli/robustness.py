"""``overtone benchmark robustness``: one model on the same clips, degraded in every common way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overtone.cli.options import ModelOption

if TYPE_CHECKING:
    from overtone.degrade.conditions import Condition


def robustness(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Full-band recordings, searched through.")
    ],
    model: ModelOption = "auto",
    clips: Annotated[
        int, typer.Option("--clips", min=1, metavar="N", help="How many excerpts to take.")
    ] = 8,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.5, max=60, metavar="S", help="Their length.")
    ] = 3.0,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Chooses the excerpts and the noise.")
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="OUT", help="Folder for JSON, CSV, page and heat maps."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    markdown: Annotated[
        Path | None,
        typer.Option(
            "--markdown",
            metavar="FILE.md",
            help="Write a page, and its table and heat maps beside it.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite what exists.")] = False,
) -> None:
    """Measure a model on recordings degraded in every common way.

    The same clips go through low-pass filters, resamplers, MP3, Opus, AAC, GSM and mu-law, with
    noise, clipping and levels from -60 to 0 dBFS. Each is scored against the original, before and
    after the model. No output may be worse than its input; the table says which are.

    \b
    overtone benchmark robustness recordings/ -o robustness/
    """
    import sys

    from overtone.evaluation.robustness import run_matrix
    from overtone.evaluation.robustness_report import (
        outputs,
        page_outputs,
        summary,
        to_json,
        write_folder,
        write_page,
    )
    from overtone.files import refuse_existing

    wanted = [*(outputs(output) if output else []), *(page_outputs(markdown) if markdown else [])]
    for path in wanted:
        refuse_existing(path, force)  # before minutes of work
    result = run_matrix(
        model,
        folder,
        clips=clips,
        seconds=seconds,
        seed=seed,
        log=lambda line: print(f"overtone: {line}", file=sys.stderr),
        track=_with_progress,
    )
    if as_json:
        print(to_json(result), end="")
    else:
        summary(result).print()
    written = write_folder(result, output, overwrite=force) if output else []
    written += write_page(result, markdown, overwrite=force) if markdown else []
    for path in written:
        print(f"wrote {path}", file=sys.stderr)
    if result.choice.problems:
        raise typer.Exit(1)


def _with_progress(conditions: Sequence[Condition]) -> Iterator[Condition]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(
        conditions, "measuring", console=console, transient=True, disable=not console.is_terminal
    )
