"""The lineage's networks as model files: samples in, samples out.

The graph takes ``low [channels, samples]``, interpolated recordings, and gives
``high [channels, samples]``; ``samples`` is any multiple of the network's ``multiple_samples``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from overtone import __version__
from overtone.degrade.spline import DECIMATION_PASSBAND
from overtone.errors import ConfigError
from overtone.inference.info import WaveformInfo
from overtone.training.graphs import halve_weights, trace
from overtone.training.recipe import PatchRecipe

# Torch and onnxruntime sum in different orders; where any sample is off by more than this part of
# the RMS of what the network adds, the graph is wrong.
TOLERANCE = 1e-3
# The lineage's patches, for checkpoints that do not say.
PATCH_SAMPLES = 8192


def describe(model: nn.Module, recipe: PatchRecipe, progress: dict[str, Any]) -> WaveformInfo:
    """What the model file says of itself.

    Raises:
        ConfigError: the checkpoint does not say at which level its network was trained, or its
            patches are of a length that a recording cannot be cut into.
    """
    c = recipe.model
    nyquist_hz = c.sample_rate / 2 / c.scale
    if not progress.get("level_rms", 0) > 0:
        raise ConfigError("the checkpoint gives no level_rms above 0: train it again")
    patch_samples = progress.get("patch_samples", PATCH_SAMPLES)
    if patch_samples % (32 * c.scale):
        raise ConfigError(
            f"trained on patches of {patch_samples} samples, but recordings can only be cut into"
            f" multiples of {32 * c.scale}: prepare such (--dimension 8192), and train again"
        )
    return WaveformInfo(
        name=recipe.name,
        description=recipe.description,
        sample_rate=c.sample_rate,
        scale=c.scale,
        patch_samples=patch_samples,
        multiple_samples=c.multiple_samples,
        min_cutoff_hz=DECIMATION_PASSBAND * nyquist_hz,
        max_cutoff_hz=nyquist_hz,
        level_rms=progress["level_rms"],
        parameters=sum(p.numel() for p in model.parameters()),
        license="Apache-2.0",
        training_data=recipe.training_data,
        training=f"{progress['step']} steps of {recipe.optimiser.batch_size} patches,"
        f" {progress['seconds'] / 60:.0f} minutes",
        config_sha256=recipe.sha256(),
        overtone_version=__version__,
    )


def waveform_graph(model: nn.Module, info: WaveformInfo) -> onnx.ModelProto:
    """The graph of a network ``[batch, samples] -> [batch, samples]``, large weights in float16."""
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
    """Noise at the level of training, of several lengths and channel counts."""
    generator = torch.Generator().manual_seed(0)
    shortest = info.multiple_samples
    patch = -(-info.patch_samples // shortest) * shortest
    for channels, samples in [(1, shortest), (1, patch), (2, 5 * shortest), (3, patch)]:
        yield info.level_rms * torch.randn(channels, samples, generator=generator)


def disagreement(model: nn.Module, info: WaveformInfo, path: Path) -> float:
    """Largest difference between torch and ONNX, as a part of the RMS of what is added."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for low in random_patches(info):
        with torch.no_grad():
            wanted = model(low).numpy()
        (found,) = session.run(None, {"low": low.numpy()})
        added = np.sqrt(np.mean(np.square(wanted - low.numpy())))
        worst = float(np.maximum(worst, np.abs(found - wanted).max() / added))  # NaN stays NaN
    return worst
