"""``overtone benchmark pictures``: input, output and reference of single clips, side by side."""

import re
from pathlib import Path
from typing import Annotated

import typer

from overtone.cli.options import DataRootOption, ForceOption, ModelOption, laboratory
from overtone.errors import InvalidInputError
from overtone.files import refuse_existing


def pictures(
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="A folder or TOML file of cases.")],
    clips: Annotated[list[str], typer.Argument(metavar="SET/CLIP", help="Which of its clips.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where the pictures go.")
    ],
    model: ModelOption = "auto",
    data_root: DataRootOption = Path("data"),
    force: ForceOption = False,
) -> None:
    """Draw the spectrograms of a system's input and output and of the reference.

    One PNG a clip, all on one scale, with the end of the input's band marked.

    \b
    overtone benchmark pictures suites/published.toml nuwave/multi_x2/0 -o docs/images/listening
    """
    with laboratory("overtone benchmark pictures"):
        from overtone.evaluation.quality import draw_clip
        from overtone.evaluation.suites import read_suite
    from overtone.evaluation.systems import find_system

    found = read_suite(suite, data_root)
    cases = {case.label: case for case in found.cases}
    for label in clips:
        if label not in cases:
            rest = f"for example {next(iter(cases))}" if cases else "; ".join(found.problems)
            raise InvalidInputError(f"{label}: no such clip in {suite}; {rest}")
    names = [re.sub(r"[^\w.-]+", "_", label, flags=re.ASCII).strip("_") for label in clips]
    paths = [output / f"{name}.png" for name in names]
    for path in paths:
        refuse_existing(path, force)
    system = find_system(model)
    output.mkdir(parents=True, exist_ok=True)
    for label, path in zip(clips, paths, strict=True):
        draw_clip(cases[label], system, path, overwrite=force)
        typer.echo(f"wrote {path}")
