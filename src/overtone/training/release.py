"""From a checkpoint to the one self-describing ONNX file that the runtime reads."""

from __future__ import annotations

from pathlib import Path

from overtone.errors import ConfigError, InvalidInputError
from overtone.inference.info import ModelInfo
from overtone.training.checkpoint import load_model
from overtone.training.families import FAMILIES


def export(checkpoint: Path, output: Path, *, overwrite: bool = False) -> ModelInfo:
    """Write ``output`` from a checkpoint folder, after checking that both agree.

    Raises:
        ConfigError: the checkpoint cannot be used, or the exported graph disagrees with it.
        InvalidInputError: ``output`` does not end in .onnx, exists and ``overwrite`` is off, or
            cannot be written.
    """
    _check_output(output, overwrite)
    network, recipe, progress = load_model(checkpoint)
    part = output.with_name(output.name + ".part")
    try:
        info = recipe.describe(progress, sum(p.numel() for p in network.parameters()))
        FAMILIES[recipe.network].write(network, info, part)
        part.replace(output)
    except OSError as error:
        raise InvalidInputError(f"{output}: cannot write it: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"{checkpoint}: {error}; not written") from error
    finally:
        part.unlink(missing_ok=True)
    return info


def _check_output(output: Path, overwrite: bool) -> None:
    """Before the work: tracing takes a while."""
    if output.suffix != ".onnx":
        raise InvalidInputError(f"{output}: a model file's name ends in .onnx")
    if output.is_dir():
        raise InvalidInputError(f"{output}: a folder; give the name of a file")
    if output.exists() and not overwrite:
        raise InvalidInputError(f"{output}: exists already; add --force to replace it")
    if not output.parent.is_dir():
        raise InvalidInputError(f"{output}: the folder {output.parent} does not exist; create it")
