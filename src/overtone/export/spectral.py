"""The spectral extender's model file: frames and states in, residual frames and new states out.

The graph takes a chunk of STFT frames, the cutoff and the state, and gives the residual frames and
the new state: ``spectrum [channels, frames, bins, 2]``, ``cutoff_hz [channels]``,
``fidelity [channels]``, ``context``, ``delay`` in; ``residual``, ``new_context``, ``new_delay``
out.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from overtone.errors import ConfigError
from overtone.export.graph import halve_weights, round_weights, trace
from overtone.export.quantise import quantise
from overtone.inference.spectral import SpectralInfo
from overtone.models.extender import SpectralExtender

# Torch and onnxruntime sum in different orders; beyond this the graph is wrong.
TOLERANCE = 1e-4
# With 8-bit products the residual may be off by this part of its RMS; trained models come to
# about 0.01, and no metric tells them apart.
ROUNDING_TOLERANCE = 0.1


def write(model: SpectralExtender, info: SpectralInfo, path: Path) -> None:
    """Write the model file, after checking that it agrees with ``model``.

    The weights of ``model`` are rounded to those that a file can hold.

    Raises:
        ConfigError: the graph disagrees with the model.
    """
    round_weights(model)
    proto = graph(model, info)
    onnx.save(proto, str(path))
    worst = disagreement(model, path)
    if not worst <= TOLERANCE:
        raise ConfigError(f"the exported graph is off by {worst:.1e}")
    shrink(proto)
    onnx.save(proto, str(path))
    worst = disagreement(model, path, relative=True)
    if not worst <= ROUNDING_TOLERANCE:
        raise ConfigError(f"with 8-bit weights the graph is off by {worst:.0%}")


def graph(model: SpectralExtender, info: SpectralInfo) -> onnx.ModelProto:
    """Return the graph with weights as they are."""
    channels, frames = torch.export.Dim("channels"), torch.export.Dim("frames")
    return trace(
        copy.deepcopy(model).fold(),
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


def shrink(proto: onnx.ModelProto) -> None:
    """Round the weights, and multiply by them, in 8 bits; store other large ones as float16."""
    if quantise(proto.graph):
        proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    halve_weights(proto.graph)


def random_inputs(model: SpectralExtender, channels: int, frames: int, seed: int) -> list[Tensor]:
    """Return a random chunk with a random state, in the order of the graph's inputs."""
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


def disagreement(model: SpectralExtender, path: Path, *, relative: bool = False) -> float:
    """Return the largest difference between torch and ONNX over random chunks with random states.

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
