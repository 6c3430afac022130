"""``overtone export``: a checkpoint becomes the one file that the runtime reads."""

from pathlib import Path
from typing import Annotated

import typer

from overtone.cli.options import ForceOption, laboratory


def export(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A folder that `overtone train` wrote.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.onnx", help="The model file to write.")
    ],
    force: ForceOption = False,
) -> None:
    """Turn a training checkpoint into a self-describing ONNX model.

    The exported graph is compared with the checkpoint on random input before it is kept.

    \b
    overtone export runs/speech/last -o speech.onnx
    overtone enhance call.wav -m speech.onnx
    """
    with laboratory("overtone export"):
        from overtone.training.release import export as export_checkpoint
    info = export_checkpoint(checkpoint, output, overwrite=force)
    size_mb = output.stat().st_size / 1e6
    typer.echo(f"{output}: {info.name}, {info.parameters / 1e6:.1f} M parameters, {size_mb:.1f} MB")
