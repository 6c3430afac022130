"""``overtone benchmark robustness``: one model on the same clips, degraded in every common way."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from overtone.cli.options import (
    ClusterOption,
    ForceOption,
    JobsOption,
    JsonOption,
    MarkdownOption,
    ModelOption,
    track,
)


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
    as_json: JsonOption = False,
    markdown: MarkdownOption = None,
    jobs: JobsOption = None,
    cluster: ClusterOption = None,
    force: ForceOption = False,
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
        track=partial(track, doing="measuring"),
        jobs=jobs,
        cluster=cluster,
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
