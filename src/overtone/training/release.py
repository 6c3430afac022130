"""From a checkpoint to the one self-describing ONNX file that the runtime reads."""

from pathlib import Path

from overtone.errors import ConfigError, InvalidInputError
from overtone.families import FAMILIES
from overtone.files import atomic_write, refuse_existing
from overtone.inference.family import ModelInfo
from overtone.training.checkpoint import load_model


def export(checkpoint: Path, output: Path, *, overwrite: bool = False) -> ModelInfo:
    """Write ``output`` from a checkpoint folder, after checking that both agree.

    Raises:
        ConfigError: the checkpoint cannot be used, or the exported graph disagrees with it.
        InvalidInputError: ``output`` does not end in .onnx, exists and ``overwrite`` is off, or
            cannot be written.
    """
    _check_output(output, overwrite)
    network, recipe, progress = load_model(checkpoint)
    try:
        info = recipe.describe(progress, sum(p.numel() for p in network.parameters()))
        with atomic_write(output, overwrite=overwrite) as part:
            FAMILIES[recipe.network].load("write")(network, info, part)
    except ConfigError as error:
        raise ConfigError(f"{checkpoint}: {error}; not written") from error
    return info


def _check_output(output: Path, overwrite: bool) -> None:
    """Before the work: tracing takes a while."""
    if output.suffix != ".onnx":
        raise InvalidInputError(f"{output}: a model file's name ends in .onnx")
    if output.is_dir():
        raise InvalidInputError(f"{output}: a folder; give the name of a file")
    refuse_existing(output, overwrite)
    if not output.parent.is_dir():
        raise InvalidInputError(f"{output}: the folder {output.parent} does not exist; create it")
