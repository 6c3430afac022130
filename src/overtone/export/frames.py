"""Model files of networks of frames: traced, checked, rounded to 8 bits, checked again."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from overtone.errors import ConfigError
from overtone.export.graph import halve_weights, round_weights, trace
from overtone.export.quantise import quantise
from overtone.inference.family import ModelInfo

# Torch and onnxruntime sum in different orders; beyond this the graph is wrong.
TOLERANCE = 1e-4
# With 8-bit products an output may be off by this part of its RMS; trained models come to
# about 0.01, and no metric tells them apart.
ROUNDING_TOLERANCE = 0.1


class Signature(NamedTuple):
    """The graph's inputs and outputs, which axes vary, and random inputs to try it on.

    ``random_inputs(model, channels, frames, seed)`` gives distinct tensors in the inputs' order.
    """

    inputs: Sequence[str]
    outputs: Sequence[str]
    dynamic_axes: Sequence[dict[int, str]]
    random_inputs: Callable[[Any, int, int, int], list[Tensor]]


def write(signature: Signature, model: Any, info: ModelInfo, path: Path) -> None:
    """Write the model file, after checking that it agrees with ``model``.

    The weights of ``model`` are rounded to those that a file can hold.

    Raises:
        ConfigError: the graph disagrees with the model.
    """
    round_weights(model)
    proto = graph(signature, model, info)
    onnx.save(proto, str(path))
    worst = disagreement(signature, model, path)
    if not worst <= TOLERANCE:
        raise ConfigError(f"the exported graph is off by {worst:.1e}")
    shrink(proto)
    onnx.save(proto, str(path))
    worst = disagreement(signature, model, path, relative=True)
    if not worst <= ROUNDING_TOLERANCE:
        raise ConfigError(f"with 8-bit weights the graph is off by {worst:.0%}")


def graph(signature: Signature, model: Any, info: ModelInfo) -> onnx.ModelProto:
    """Return the graph with weights as they are."""
    names = {name for axes in signature.dynamic_axes for name in axes.values()}
    dims = {name: torch.export.Dim(name) for name in sorted(names)}
    return trace(
        copy.deepcopy(model).fold(),
        signature.random_inputs(model, 2, 5, 0),
        inputs=signature.inputs,
        outputs=signature.outputs,
        dynamic_shapes=[
            {axis: dims[name] for axis, name in axes.items()} for axes in signature.dynamic_axes
        ],
        info=info,
    )


def shrink(proto: onnx.ModelProto) -> None:
    """Round the weights, and multiply by them, in 8 bits; store other large ones as float16."""
    if quantise(proto.graph):
        proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    halve_weights(proto.graph)


def disagreement(signature: Signature, model: Any, path: Path, *, relative: bool = False) -> float:
    """Return the largest difference between torch and ONNX over random chunks with random states.

    With ``relative``, that of any output's RMS, as a part of the output's own.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    worst = 0.0
    for seed, (channels, frames) in enumerate([(1, 1), (1, 7), (2, 3), (3, 16)]):
        inputs = signature.random_inputs(model, channels, frames, seed)
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
