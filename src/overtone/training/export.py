"""Export of a checkpoint to the one self-describing ONNX file that the runtime reads.

The graph takes a chunk of STFT frames, the cutoff and the state, and gives the residual frames
and the new state: ``spectrum [channels, frames, bins, 2]``, ``cutoff_hz [channels]``,
``context``, ``delay`` in; ``residual``, ``new_context``, ``new_delay`` out. Everything else the
runtime must know travels as JSON under the metadata key ``overtone``.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from overtone import __version__
from overtone.errors import ConfigError, InvalidInputError
from overtone.inference.model import METADATA_KEY, ModelInfo
from overtone.models.extender import SpectralExtender
from overtone.training.checkpoint import load_model
from overtone.training.config import TrainingConfig
from overtone.training.deploy import DeployedExtender, quantise

# Torch and onnxruntime sum in different orders; beyond this the graph is wrong.
TOLERANCE = 1e-4
# With 8-bit products the residual may be off by this part of its RMS; trained models come to
# about 0.01, and no metric tells them apart.
ROUNDING_TOLERANCE = 0.1
# Weights of at least this many numbers are stored as float16.
LARGE_WEIGHT = 4096


def random_inputs(model: SpectralExtender, channels: int, frames: int, seed: int) -> list[Tensor]:
    """A random chunk with a random state, in the order of the graph's inputs."""
    c = model.config
    generator = torch.Generator().manual_seed(seed)
    context, delay = model.initial_state(channels)
    return [
        torch.randn(channels, frames, c.bins, 2, generator=generator) * 0.1,
        torch.linspace(2000.0, 9000.0, channels),
        torch.randn(context.shape, generator=generator),
        torch.randn(delay.shape, generator=generator) * 0.1,
    ]


def describe(
    model: SpectralExtender, config: TrainingConfig, step: int, seconds: float
) -> ModelInfo:
    """What the model file says of itself."""
    c = config.model
    return ModelInfo(
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
    model, config, progress = load_model(checkpoint)
    for parameter in model.parameters():
        if parameter.numel() >= LARGE_WEIGHT:
            parameter.data = parameter.data.half().float()
    info = describe(model, config, progress["step"], progress["seconds"])
    part = output.with_name(output.name + ".part")
    try:
        proto = _graph(model, info)
        onnx.save(proto, str(part))
        worst = disagreement(model, part)
        if not worst <= TOLERANCE:
            raise ConfigError(
                f"{checkpoint}: the exported graph is off by {worst:.1e}; not written"
            )
        _shrink(proto)
        onnx.save(proto, str(part))
        worst = disagreement(model, part, relative=True)
        if not worst <= ROUNDING_TOLERANCE:
            raise ConfigError(
                f"{checkpoint}: with 8-bit weights the graph is off by {worst:.0%}; not written"
            )
        part.replace(output)
    except OSError as error:
        raise InvalidInputError(f"{output}: cannot write it: {error.strerror}") from error
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


def _graph(model: SpectralExtender, info: ModelInfo) -> onnx.ModelProto:
    # The exporter reports at length on what it need not do.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = _trace(model)
    proto: onnx.ModelProto = program.model_proto
    for entry in (
        onnx.StringStringEntryProto(key=METADATA_KEY, value=info.model_dump_json()),
        onnx.StringStringEntryProto(key="license", value=info.license),
    ):
        proto.metadata_props.append(entry)
    for node in [*proto.graph.node, *(n for f in proto.functions for n in f.node)]:
        # Stack traces name the folders of the machine that exported.
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*proto.graph.value_info, *proto.graph.initializer]:
        del value.metadata_props[:]
    return proto


def _shrink(proto: onnx.ModelProto) -> None:
    """Round the weights, and multiply by them, in 8 bits; store other large ones as float16."""
    if quantise(proto.graph):
        proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    _halve_weights(proto.graph)


def _trace(model: SpectralExtender) -> torch.onnx.ONNXProgram:
    channels, frames = torch.export.Dim("channels"), torch.export.Dim("frames")
    # Distinct random tensors: equal example inputs give a graph that mixes them up.
    program = torch.onnx.export(
        DeployedExtender(model),
        tuple(random_inputs(model, channels=2, frames=5, seed=0)),
        dynamo=True,
        input_names=["spectrum", "cutoff_hz", "context", "delay"],
        output_names=["residual", "new_context", "new_delay"],
        dynamic_shapes=(
            {0: channels, 1: frames},
            {0: channels},
            {1: channels},
            {0: channels},
        ),
        verbose=False,
    )
    if program is None:
        raise ConfigError("torch.onnx.export gave no program")
    return program


def _halve_weights(graph: onnx.GraphProto) -> None:
    """Store large weights as float16; the runtime widens them once, when it loads the file."""
    for index, weight in enumerate(graph.initializer):
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < LARGE_WEIGHT:
            continue
        half = onnx.numpy_helper.to_array(weight).astype(np.float16)
        narrow = onnx.numpy_helper.from_array(half, f"{weight.name}_float16")
        widen = onnx.helper.make_node(
            "Cast", [narrow.name], [weight.name], to=onnx.TensorProto.FLOAT
        )
        graph.initializer[index].CopyFrom(narrow)
        graph.node.insert(0, widen)


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
