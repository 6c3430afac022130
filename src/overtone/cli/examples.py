"""``overtone examples``: recordings beside what is left of them and what a model makes of that."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from overtone.cli.options import ForceOption, laboratory, rate_option
from overtone.errors import OvertoneError

# Weights that the TFiLM reimplementation published, as pickles, and what was trained as they were.
PUBLISHED_WEIGHTS = {"vctk_speaker1_pretrained.pth": "tfilm-speech-x4"}


def examples(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="LIST", help="A .txt list of recordings; or files, folders."),
    ],
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="A shipped model, an .onnx file, a folder that 'overtone train' wrote, soxr or"
            " copy-up.",
        ),
    ],
    in_dir: Annotated[
        Path, typer.Option("--in-dir", metavar="FOLDER", help="Where the listed files lie.")
    ] = Path(),
    scale: Annotated[
        int, typer.Option(min=2, help="How many times the low rate is below the full one.")
    ] = 4,
    rate: Annotated[
        int | None, rate_option("The full rate. Default: each recording's own.")
    ] = None,
    checkpoints_root: Annotated[Path, typer.Option("--checkpoints-root", hidden=True)] = Path(),
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where everything goes.")
    ] = Path("examples-out"),
    force: ForceOption = False,
) -> None:
    """Write NAME_gt, NAME_low_res, NAME_base and NAME_super WAVs, and their spectrograms.

    Each recording is brought down by the protocol of Kuleshov et al. (cropped to a multiple
    of the scale, Chebyshev low-pass, every scale-th sample), up again by the
    cubic spline (base), and by the model (super). NAME.png and NAME.pdf show
    all four. What is missing or does not fit is named, the rest is done, and
    the exit code is 1.

    \b
    overtone examples val-files.txt --in-dir wav48/p225 -m tfilm-speech-x4 --rate 16k
    """
    with laboratory("overtone examples"):
        from overtone.evaluation.examples import find_recordings, write_example
        from overtone.evaluation.systems import find_bare_system
    from overtone.report import require_matplotlib

    require_matplotlib()
    model = _published(model) or (str(checkpoints_root / model) if checkpoints_root.name else model)
    recordings, problems = find_recordings(inputs, output, in_dir=in_dir, overwrite=force)
    system = find_bare_system(model)
    if rate is not None:
        system.require(rate, scale)  # what does not fit is then said once
    for problem in problems:
        print(f"overtone: {problem}", file=sys.stderr)
    failed = bool(problems)
    for recording in recordings:
        try:
            print(write_example(recording, system, scale=scale, rate=rate, overwrite=force))
        except OvertoneError as error:
            failed = True
            named = str(error)
            if str(recording.source) not in named:
                named = f"{recording.source}: {named}"
            print(f"overtone: {' '.join(named.split())}", file=sys.stderr)
    if failed or not recordings:
        raise typer.Exit(1)


def _published(model: str) -> str | None:
    """Return the shipped model that stands in for published weights, and say so."""
    own = PUBLISHED_WEIGHTS.get(Path(model).name)
    if own:
        print(
            f"overtone: {model}: pickled weights, which overtone does not read; {own} takes their"
            " place (4 to 16 kHz, many voices)",
            file=sys.stderr,
        )
    return own
