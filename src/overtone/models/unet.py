"""What the AudioUNet family shares: a one-dimensional U-Net that adds detail to its input.

AudioUNet (Kuleshov et al. 2017), the TFiLM U-Net (Birnbaum et al. 2019) and AFiLM (Rakotonirina
2021) differ in how they go down and in what follows each convolution. All take a recording that
was already interpolated to the full rate, halve (or quarter) its length level by level, come back
by subpixel shuffling, concatenate each level's way down, and add the last convolution to the input.

Inside, tensors are ``[batch, time, channels]``: recurrence, attention, shuffling and stacking then
need no transposition, and the convolutions run in the layout that CPUs prefer.
"""

import math
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from overtone.settings import Settings

LEAK = 0.2


class UNetConfig(Settings):
    """Shape of such a network; the defaults are the papers' widths.

    ``scale`` and ``sample_rate`` say what the network is trained for: its input holds nothing
    above ``sample_rate / 2 / scale``. ``stride`` is the factor each level shortens time by, and
    ``dilation`` that of every convolution but the last. ``gain`` multiplies the input and divides
    what is added to it: about one over the RMS of recordings, or else the first steps of an
    optimiser like Adam make biases that drown the signal of the deep levels. ``skip_dropout`` is
    the share of training examples in which each level, the outermost first, does without its skip
    connection. What lies below it is heard then, and learns; without it the outer levels leave the
    deep ones nothing to do.
    """

    sample_rate: int = Field(default=16000, gt=0)
    scale: Literal[2, 4, 8] = 4
    filters: tuple[int, ...] = (128, 256, 512, 512)
    kernels: tuple[int, ...] = (65, 33, 17, 9)
    last_kernel: int = Field(default=9, gt=0)
    stride: int = Field(default=2, ge=2)
    dilation: int = Field(default=1, ge=1)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    gain: float = Field(default=1.0, gt=0)
    skip_dropout: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.filters or len(self.filters) != len(self.kernels):
            raise ValueError(
                f"filters and kernels need one value a level, not {len(self.filters)} and"
                f" {len(self.kernels)}"
            )
        if min(self.filters) < 1:
            raise ValueError(f"filters must be at least 1, not {min(self.filters)}")
        if self.skip_dropout and len(self.skip_dropout) != self.levels:
            raise ValueError(
                f"skip_dropout needs one value a level, {self.levels} in all, or none;"
                f" not {len(self.skip_dropout)}"
            )
        even = [k for k in (*self.kernels, self.last_kernel) if k < 1 or k % 2 == 0]
        if even:
            raise ValueError(f"kernels must be odd, or time would shift; not {even[0]}")
        return self

    @property
    def levels(self) -> int:
        """Levels on the way down, the bottleneck not counted."""
        return len(self.filters)

    @property
    def multiple_samples(self) -> int:
        """Lengths that need no padding are multiples of this, in samples."""
        return int(self.stride ** (self.levels + 1))


class TimeConv(nn.Module):
    """Convolution over time of ``[batch, time, channels]``; the length is divided by ``stride``."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, kernel))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        nn.init.orthogonal_(self.weight)
        self.stride, self.dilation = stride, dilation
        self.padding = dilation * (kernel - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, time, channels_in]`` to ``[batch, time / stride, channels_out]``."""
        # One row of a picture: two-dimensional convolutions take channels last without a copy.
        picture = x.transpose(1, 2).unsqueeze(2)
        weight = self.weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        y = F.conv2d(
            picture,
            weight,
            self.bias,
            stride=(1, self.stride),
            padding=(0, self.padding),
            dilation=(1, self.dilation),
        )
        return y.squeeze(2).transpose(1, 2)


def subpixel_shuffle(x: Tensor, factor: int) -> Tensor:
    """Map ``[batch, time, factor * channels]`` to ``[batch, factor * time, channels]``.

    The first ``channels`` values of a time step become its first new step, and so on (Shi et al.
    2016).
    """
    batch, time, channels = x.shape
    return x.reshape(batch, time * factor, channels // factor)


def max_pool(x: Tensor, factor: int) -> Tensor:
    """Return the maximum over each ``factor`` successive steps of ``[batch, time, channels]``."""
    batch, time, channels = x.shape
    return x.reshape(batch, time // factor, factor, channels).amax(dim=2)


class UNet(nn.Module):
    """The frame of these networks; subclasses name what they put at each place.

    ``_down(level, channels_in, channels_out)``, ``_bottleneck()`` and ``_after_shuffle(level)``
    build the blocks; levels count from the outermost, 0.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        filters, kernels = config.filters, config.kernels
        self.down = nn.ModuleList(
            self._down(level, (1, *filters)[level], filters[level])
            for level in range(config.levels)
        )
        self.bottleneck = self._bottleneck()
        self.up = nn.ModuleList()
        self.after_shuffle = nn.ModuleList()
        below = filters[-1]
        for level in reversed(range(config.levels)):
            self.up.append(
                TimeConv(
                    below, config.stride * filters[level], kernels[level], dilation=config.dilation
                )
            )
            self.after_shuffle.append(self._after_shuffle(level))
            below = 2 * filters[level]
        self.last = TimeConv(below, config.stride, config.last_kernel)
        # The papers': at the start the network returns its input.
        nn.init.normal_(self.last.weight, std=1e-3)

    def _down(self, level: int, channels_in: int, channels_out: int) -> nn.Module:
        raise NotImplementedError

    def _bottleneck(self) -> nn.Module:
        raise NotImplementedError

    def _after_shuffle(self, level: int) -> nn.Module:
        raise NotImplementedError

    def _thinned(self, skip: Tensor, level: int) -> Tensor:
        """Silence the skip connection of ``level`` in some of the examples that it trains on."""
        if not (self.training and self.config.skip_dropout):
            return skip
        kept = torch.rand(len(skip), 1, 1, device=skip.device) >= self.config.skip_dropout[level]
        return skip * kept

    def forward(self, low: Tensor) -> Tensor:
        """Restore recordings without their high band, ``[batch, samples]``; same shape out.

        Lengths that are no multiple of ``config.multiple_samples`` are padded with zeros at the
        end and cropped back.
        """
        samples = low.shape[1]
        padding = -samples % self.config.multiple_samples
        x = self.config.gain * F.pad(low, (0, padding)).unsqueeze(2)
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        x = self.bottleneck(x)
        for convolve, finish in zip(self.up, self.after_shuffle, strict=True):
            x = F.relu(F.dropout(convolve(x), self.config.dropout, self.training))
            x = finish(subpixel_shuffle(x, self.config.stride))
            x = torch.cat([x, self._thinned(skips.pop(), len(skips))], dim=2)
        detail = subpixel_shuffle(self.last(x), self.config.stride) / self.config.gain
        return low + detail.squeeze(2)[:, :samples]


class PooledDown(nn.Module):
    """Convolution, max pooling, leaky ReLU, modulation: a level of TFiLM and AFiLM going down."""

    def __init__(self, convolve: TimeConv, modulation: nn.Module, stride: int, dropout: float = 0):
        super().__init__()
        self.convolve, self.modulation = convolve, modulation
        self.stride, self.dropout = stride, dropout

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, time, channels_in]`` to ``[batch, time / stride, channels_out]``."""
        x = max_pool(self.convolve(x), self.stride)
        x = F.leaky_relu(F.dropout(x, self.dropout, self.training), LEAK)
        modulated: Tensor = self.modulation(x)
        return modulated


class ModulatedConfig(UNetConfig):
    """A U-Net whose activations are modulated block by block.

    ``block_samples`` is how much of the recording one block covers: at the level where time is
    shortened ``s`` times, a block is ``block_samples / s`` steps, so every level has the same
    number of blocks (32 in the papers' patches of 8192).
    """

    dilation: int = Field(default=2, ge=1)
    block_samples: int = Field(default=256, gt=0)

    @model_validator(mode="after")
    def _check_blocks(self) -> Self:
        if self.block_samples % self.stride ** (self.levels + 1):
            raise ValueError(
                f"block_samples must be a multiple of stride ** (levels + 1) ="
                f" {self.stride ** (self.levels + 1)}, not {self.block_samples}"
            )
        return self

    @property
    def multiple_samples(self) -> int:
        """Lengths that need no padding are multiples of this, in samples."""
        return math.lcm(super().multiple_samples, self.block_samples)

    def block_steps(self, level: int) -> int:
        """Return steps a block at ``level`` after pooling (the bottleneck is level ``levels``)."""
        return int(self.block_samples // self.stride ** (level + 1))


class ModulatedUNet(UNet):
    """The TFiLM paper's U-Net with a modulation layer after each convolution but the last."""

    config: ModulatedConfig

    def _modulation(self, channels: int, block_steps: int) -> nn.Module:
        raise NotImplementedError

    def _down(self, level: int, channels_in: int, channels_out: int) -> nn.Module:
        c = self.config
        kernel = c.kernels[min(level, c.levels - 1)]
        return PooledDown(
            TimeConv(channels_in, channels_out, kernel, dilation=c.dilation),
            self._modulation(channels_out, c.block_steps(level)),
            c.stride,
            c.dropout if level == c.levels else 0.0,
        )

    def _bottleneck(self) -> nn.Module:
        filters = self.config.filters[-1]
        return self._down(self.config.levels, filters, filters)

    def _after_shuffle(self, level: int) -> nn.Module:
        return self._modulation(self.config.filters[level], self.config.block_steps(level))


def modulate(x: Tensor, factors: Tensor, block_steps: int) -> Tensor:
    """Multiply each block of ``x [batch, time, channels]`` by its row of ``factors``.

    ``factors`` is ``[batch, blocks, channels]``; blocks of ``block_steps`` follow each other.
    """
    modulated: Tensor = x.unflatten(1, (-1, block_steps)) * factors.unsqueeze(2)
    return modulated.flatten(1, 2)
