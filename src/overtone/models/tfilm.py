"""The TFiLM U-Net (Birnbaum, Kuleshov, Enam, Koh, Ermon 2019, arXiv:1909.06628).

Temporal feature-wise linear modulation: the activations are max-pooled over blocks of time, a
recurrent network runs over the blocks, and its output at a block multiplies that block's
activations channel by channel. A convolution sees tens of milliseconds; the recurrence carries
what it found through the whole recording.
"""

from torch import Tensor, nn

from overtone.models.unet import ModulatedConfig, ModulatedUNet, max_pool, modulate


class TFiLMConfig(ModulatedConfig):
    """Shape of a :class:`TFiLMUNet`. ``bidirectional`` splits the channels between directions."""

    bidirectional: bool = False


class TFiLM(nn.Module):
    """The modulation layer: ``[batch, time, channels]`` to the same shape.

    ``time`` is a multiple of ``block_steps``.
    """

    def __init__(self, channels: int, block_steps: int, *, bidirectional: bool = False) -> None:
        super().__init__()
        if bidirectional and channels % 2:
            raise ValueError(f"channels must be even for two directions, not {channels}")
        self.block_steps = block_steps
        self.lstm = nn.LSTM(
            channels,
            channels // 2 if bidirectional else channels,
            batch_first=True,
            bidirectional=bidirectional,
        )
        # All gates open, so that factors begin near 1. From torch's own start they are near 0, and
        # the product of nine layers of them leaves the deep levels without signal or gradient.
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("bias"):
                nn.init.ones_(parameter)

    def factors(self, x: Tensor) -> Tensor:
        """Return the factor of each block, ``[batch, blocks, channels]``, within -1 to 1."""
        factors: Tensor = self.lstm(max_pool(x, self.block_steps))[0]
        return factors

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` times its factors."""
        return modulate(x, self.factors(x), self.block_steps)


class TFiLMUNet(ModulatedUNet):
    """``[batch, samples]`` to ``[batch, samples]``; see :class:`~overtone.models.unet.UNet`."""

    config: TFiLMConfig

    def __init__(self, config: TFiLMConfig | None = None) -> None:
        super().__init__(config or TFiLMConfig())

    def _modulation(self, channels: int, block_steps: int) -> nn.Module:
        return TFiLM(channels, block_steps, bidirectional=self.config.bidirectional)
