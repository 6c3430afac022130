"""The source-filter extender's model file: power of kept bins in, gains of excitations out.

``power [channels, frames, visible bins]``, ``cutoff_hz [channels]`` and ``context`` in; ``gains
[channels, frames, excitations, bands]`` and ``new_context`` out. Excitations, levels and the
crossover stay outside; their constants travel in the metadata.
"""

from functools import partial

import torch
from torch import Tensor

from overtone.export import frames
from overtone.models.source_filter import SourceFilterExtender


def random_inputs(
    model: SourceFilterExtender, channels: int, count: int, seed: int
) -> list[Tensor]:
    """Return a random chunk with a random state, in the order of the graph's inputs."""
    c = model.config
    generator = torch.Generator().manual_seed(seed)
    (context,) = model.initial_state(channels)
    power = torch.rand(channels, count, c.visible_bins, generator=generator)
    return [
        10 ** (-8 * power),
        torch.linspace(2000.0, 9000.0, channels),
        torch.randn(context.shape, generator=generator),
    ]


SIGNATURE = frames.Signature(
    inputs=("power", "cutoff_hz", "context"),
    outputs=("gains", "new_context"),
    dynamic_axes=({0: "channels", 1: "frames"}, {0: "channels"}, {0: "channels"}),
    random_inputs=random_inputs,
)
write = partial(frames.write, SIGNATURE)
