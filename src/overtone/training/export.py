"""Export of a checkpoint to the one self-describing ONNX file that the runtime reads.

The spectral extender's graph takes a chunk of STFT frames, the cutoff and the state, and gives the
residual frames and the new state: ``spectrum [channels, frames, bins, 2]``,
``cutoff_hz [channels]``, ``context``, ``delay`` in; ``residual``, ``new_context``, ``new_delay``
out. The lineage's is that of :mod:`overtone.training.export_waveform`. Everything else the runtime
must know travels as JSON under the metadata key ``overtone``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from overtone import __version__
from overtone.errors import ConfigError, InvalidInputError
from overtone.inference.info import ModelInfo, SpectralInfo
from overtone.models.extender import SpectralExtender
from overtone.training import export_waveform
from overtone.training.checkpoint import load_model
from overtone.training.deploy import DeployedExtender, quantise
from overtone.training.graphs import halve_weights, round_weights, trace
from overtone.training.recipe import PatchRecipe, Recipe, SpectralRecipe

# Torch and onnxruntime sum in different orders; beyond this the graph is wrong.
TOLERANCE = 1e-4
# With 8-bit products the residual may be off by this part of its RMS; trained models come to
# about 0.01, and no metric tells them apart.
ROUNDING_TOLERANCE = 0.1


def random_inputs(model: SpectralExtender, channels: int, frames: int, seed: int) -> list[Tensor]:
    """A random chunk with a random state, in the order of the graph's inputs."""
    c = model.config
    generator = torch.Generator().manual_seed(seed)
    context, delay = model.initial_state(channels)
    return [
        torch.randn(channels, frames, c.bins, 2, generator=generator) * 0.1,
        torch.linspace(2000.0, 9000.0, channels),
        torch.rand(channels, generator=generator),
        torch.randn(context.shape, generator=generator),
        torch.randn(delay.shape, generator=generator) * 0.1,
    ]


def describe(
    model: SpectralExtender, config: SpectralRecipe, step: int, seconds: float
) -> SpectralInfo:
    """What the model file says of itself."""
    c = config.model
    return SpectralInfo(
        name=config.name,
        description=config.description,
        sample_rate=c.sample_rate,
        window_samples=c.window_samples,
        hop_samples=c.hop_samples,
        lookahead_frames=c.lookahead_frames,
        context_shape=(c.blocks, c.kernel - 1, c.channels),
        min_cutoff_hz=config.degrade.min_cutoff_hz,
        max_cutoff_hz=config.degrade.max_cutoff_hz,
        level_rms=config.degrade.level_rms,
        has_fidelity=True,
        parameters=sum(p.numel() for p in model.parameters()),
        license="Apache-2.0",
        training_data=tuple(f"{corpus.name}: {corpus.licence}" for corpus in config.corpora),
        training=f"{step} steps of {config.optimiser.batch_size} crops, {seconds / 60:.0f} minutes",
        config_sha256=config.sha256(),
        overtone_version=__version__,
    )


def export(checkpoint: Path, output: Path, *, overwrite: bool = False) -> ModelInfo:
    """Write ``output`` from a checkpoint folder, after checking that both agree.

    Raises:
        ConfigError: the checkpoint cannot be used, or the exported graph disagrees with it.
        InvalidInputError: ``output`` does not end in .onnx, exists and ``overwrite`` is off, or
            cannot be written.
    """
    _check_output(output, overwrite)
    model, recipe, progress = load_model(checkpoint)
    round_weights(model)
    part = output.with_name(output.name + ".part")
    try:
        info = _write(model, recipe, progress, part)
        part.replace(output)
    except OSError as error:
        raise InvalidInputError(f"{output}: cannot write it: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"{checkpoint}: {error}; not written") from error
    finally:
        part.unlink(missing_ok=True)
    return info


def _write(model: nn.Module, recipe: Recipe, progress: dict[str, Any], part: Path) -> ModelInfo:
    match recipe:
        case SpectralRecipe():
            return _write_spectral(cast(SpectralExtender, model), recipe, progress, part)
        case PatchRecipe():
            return _write_waveform(model, recipe, progress, part)
    raise TypeError(f"no export of a {type(recipe).__name__}")


def _write_spectral(
    model: SpectralExtender, config: SpectralRecipe, progress: dict[str, Any], part: Path
) -> SpectralInfo:
    info = describe(model, config, progress["step"], progress["seconds"])
    proto = _graph(model, info)
    onnx.save(proto, str(part))
    worst = disagreement(model, part)
    if not worst <= TOLERANCE:
        raise ConfigError(f"the exported graph is off by {worst:.1e}")
    _shrink(proto)
    onnx.save(proto, str(part))
    worst = disagreement(model, part, relative=True)
    if not worst <= ROUNDING_TOLERANCE:
        raise ConfigError(f"with 8-bit weights the graph is off by {worst:.0%}")
    return info


def _write_waveform(
    model: nn.Module, recipe: PatchRecipe, progress: dict[str, Any], part: Path
) -> ModelInfo:
    info = export_waveform.describe(model, recipe, progress)
    onnx.save(export_waveform.waveform_graph(model, info), str(part))
    worst = export_waveform.disagreement(model, info, part)
    if not worst <= export_waveform.TOLERANCE:
        raise ConfigError(f"the exported graph is off by {worst:.1e} of what it adds")
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


def _graph(model: SpectralExtender, info: SpectralInfo) -> onnx.ModelProto:
    channels, frames = torch.export.Dim("channels"), torch.export.Dim("frames")
    return trace(
        DeployedExtender(model),
        random_inputs(model, channels=2, frames=5, seed=0),
        inputs=["spectrum", "cutoff_hz", "fidelity", "context", "delay"],
        outputs=["residual", "new_context", "new_delay"],
        dynamic_shapes=[
            {0: channels, 1: frames},
            {0: channels},
            {0: channels},
            {1: channels},
            {0: channels},
        ],
        info=info,
    )


def _shrink(proto: onnx.ModelProto) -> None:
    """Round the weights, and multiply by them, in 8 bits; store other large ones as float16."""
    if quantise(proto.graph):
        proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    halve_weights(proto.graph)


def disagreement(model: SpectralExtender, path: Path, *, relative: bool = False) -> float:
    """Largest difference between torch and ONNX over random chunks with random states.

    With ``relative``, that of any output's RMS, as a part of the output's own.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    worst = 0.0
    for seed, (channels, frames) in enumerate([(1, 1), (1, 7), (2, 3), (3, 16)]):
        inputs = random_inputs(model, channels, frames, seed)
        with torch.no_grad():
            wanted = model(*inputs)
        found = session.run(None, dict(zip(names, (x.numpy() for x in inputs), strict=True)))
        for a, b in zip(wanted, found, strict=True):
            if not b.size:
                continue  # the state of a network without lookahead
            error = np.abs(a.numpy() - b)
            if relative:
                size = np.sqrt(np.square(error).mean() / a.square().mean().item())
            else:
                size = error.max()
            worst = float(np.maximum(worst, size))  # NaN stays NaN
    return worst
