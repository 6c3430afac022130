"""The spectral extender's model file: frames and states in, residual frames and new states out.

The graph takes a chunk of STFT frames, the cutoff and the state, and gives the residual frames and
the new state: ``spectrum [channels, frames, bins, 2]``, ``cutoff_hz [channels]``,
``fidelity [channels]``, ``context``, ``delay`` in; ``residual``, ``new_context``, ``new_delay``
out.
"""

from functools import partial

import torch
from torch import Tensor

from overtone.export import frames
from overtone.models.extender import SpectralExtender


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


SIGNATURE = frames.Signature(
    inputs=("spectrum", "cutoff_hz", "fidelity", "context", "delay"),
    outputs=("residual", "new_context", "new_delay"),
    dynamic_axes=(
        {0: "channels", 1: "frames"},
        {0: "channels"},
        {0: "channels"},
        {1: "channels"},
        {0: "channels"},
    ),
    random_inputs=random_inputs,
)
write = partial(frames.write, SIGNATURE)
