"""AudioUNet: the first network of its family (Kuleshov, Enam, Ermon 2017, arXiv:1708.00853).

Strided convolutions down, subpixel shuffling up, batch normalisation after each convolution.
"""

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from overtone.models.unet import LEAK, TimeConv, UNet, UNetConfig


class AudioUNetConfig(UNetConfig):
    """Shape of an :class:`AudioUNet`. The authors' own code has no batch normalisation."""

    stride: int = Field(default=4, ge=2)
    batch_norm: bool = True


class ChannelNorm(nn.BatchNorm1d):
    """Batch normalisation of ``[batch, time, channels]``."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over batch and time; same shape."""
        return super().forward(x.flatten(0, 1)).view_as(x)


class StridedDown(nn.Module):
    """Strided convolution, normalisation, leaky ReLU."""

    def __init__(self, convolve: TimeConv, norm: nn.Module, dropout: float = 0.0) -> None:
        super().__init__()
        self.convolve, self.norm, self.dropout = convolve, norm, dropout

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, time, channels_in]`` to ``[batch, time / stride, channels_out]``."""
        x = F.dropout(self.norm(self.convolve(x)), self.dropout, self.training)
        return F.leaky_relu(x, LEAK)


class AudioUNet(UNet):
    """``[batch, samples]`` to ``[batch, samples]``; see :class:`~overtone.models.unet.UNet`."""

    config: AudioUNetConfig

    def __init__(self, config: AudioUNetConfig | None = None) -> None:
        super().__init__(config or AudioUNetConfig())

    def _norm(self, channels: int) -> nn.Module:
        return ChannelNorm(channels) if self.config.batch_norm else nn.Identity()

    def _down(self, level: int, channels_in: int, channels_out: int) -> nn.Module:
        c = self.config
        kernel = c.kernels[min(level, c.levels - 1)]
        return StridedDown(
            TimeConv(channels_in, channels_out, kernel, stride=c.stride, dilation=c.dilation),
            self._norm(channels_out),
            c.dropout if level == c.levels else 0.0,
        )

    def _bottleneck(self) -> nn.Module:
        filters = self.config.filters[-1]
        return self._down(self.config.levels, filters, filters)

    def _after_shuffle(self, level: int) -> nn.Module:
        return self._norm(self.config.filters[level])
