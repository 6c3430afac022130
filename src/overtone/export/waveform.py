"""The AudioUNet family as model files: samples in, samples out.

The graph takes ``low [channels, samples]``, interpolated recordings, and gives
``high [channels, samples]``; ``samples`` is any multiple of the network's ``multiple_samples``.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from overtone.errors import ConfigError
from overtone.export.graph import halve_weights, round_weights, trace
from overtone.inference.waveform import WaveformInfo

# Torch and onnxruntime sum in different orders; where the RMS of their difference is more than this
# part of that of what the network adds, the graph is wrong. Music's adds so little to noise that
# the rounding of single samples is 1e-3 of that.
TOLERANCE = 3e-4


def write(model: nn.Module, info: WaveformInfo, path: Path) -> None:
    """Write the model file, after checking that it agrees with ``model``.

    The weights of ``model`` are rounded to those that a file can hold.

    Raises:
        ConfigError: the graph disagrees with the model.
    """
    round_weights(model)
    onnx.save(graph(model, info), str(path))
    worst = disagreement(model, info, path)
    if not worst <= TOLERANCE:
        raise ConfigError(f"the exported graph is off by {worst:.1e} of what it adds")


def graph(model: nn.Module, info: WaveformInfo) -> onnx.ModelProto:
    """Return the graph of a network of samples, its large weights in float16."""
    example = torch.randn(2, 3 * info.multiple_samples)
    pieces = torch.export.Dim("pieces", min=1, max=1 << 20)
    proto = trace(
        model,
        [example],
        inputs=["low"],
        outputs=["high"],
        dynamic_shapes=[{0: torch.export.Dim("channels"), 1: info.multiple_samples * pieces}],
        info=info,
    )
    halve_weights(proto.graph)
    return proto


def random_patches(info: WaveformInfo) -> Iterator[Tensor]:
    """Yield noise at the level of training, of several lengths and channel counts."""
    generator = torch.Generator().manual_seed(0)
    shortest = info.multiple_samples
    patch = -(-info.patch_samples // shortest) * shortest
    for channels, samples in [(1, shortest), (1, patch), (2, 5 * shortest), (3, patch)]:
        yield info.level_rms * torch.randn(channels, samples, generator=generator)


def disagreement(model: nn.Module, info: WaveformInfo, path: Path) -> float:
    """Return the RMS of what torch and ONNX differ by, relative to that of what is added."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for low in random_patches(info):
        with torch.no_grad():
            wanted = model(low).numpy()
        (found,) = session.run(None, {"low": low.numpy()})
        off, added = (np.sqrt(np.mean(x**2)) for x in (found - wanted, wanted - low.numpy()))
        worst = float(np.maximum(worst, off / added))  # NaN stays NaN
    return worst
