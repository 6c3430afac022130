"""The AFiLM U-Net (Rakotonirina 2021, arXiv:2108.11637): self-attention in place of the LSTM.

The max-pooled blocks get sinusoidal positions and pass a small Transformer encoder (Vaswani et
al. 2017); its output multiplies the blocks, as in TFiLM.
"""

import math
from typing import Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from overtone.models.unet import ModulatedConfig, ModulatedUNet, max_pool, modulate


class AFiLMConfig(ModulatedConfig):
    """Shape of an :class:`AFiLMUNet`; the encoder's defaults are the paper's."""

    attention_layers: int = Field(default=4, gt=0)
    heads: int = Field(default=8, gt=0)
    feedforward: int = Field(default=2048, gt=0)
    attention_dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        wrong = [filters for filters in self.filters if filters % self.heads]
        if wrong:
            raise ValueError(f"filters must be multiples of heads {self.heads}, not {wrong[0]}")
        return self


def positions(steps: int, channels: int) -> Tensor:
    """Return position codes ``[steps, channels]``: sines in even channels, cosines in odd."""
    pairs = torch.arange(channels) // 2 * 2
    angles = torch.arange(steps)[:, None] * torch.exp(pairs * (-math.log(10000.0) / channels))
    return torch.where(torch.arange(channels) % 2 == 0, angles.sin(), angles.cos())


class AFiLM(nn.Module):
    """The modulation layer: ``[batch, time, channels]`` to the same shape.

    ``time`` is a multiple of ``block_steps``.
    """

    def __init__(
        self,
        channels: int,
        block_steps: int,
        *,
        layers: int = 4,
        heads: int = 8,
        feedforward: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.block_steps, self.channels = block_steps, channels
        self.dropout = nn.Dropout(dropout)
        # One by one: nn.TransformerEncoder would start all layers from the same weights.
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                channels, heads, feedforward, dropout, layer_norm_eps=1e-6, batch_first=True
            )
            for _ in range(layers)
        )

    def factors(self, x: Tensor) -> Tensor:
        """Return what each block is multiplied by, ``[batch, blocks, channels]``."""
        blocks = max_pool(x, self.block_steps) * math.sqrt(self.channels)
        blocks = blocks + positions(blocks.shape[1], self.channels).to(blocks)
        blocks = cast(Tensor, self.dropout(blocks))
        for layer in self.layers:
            blocks = cast(Tensor, layer(blocks))
        return blocks

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` times its factors."""
        return modulate(x, self.factors(x), self.block_steps)


class AFiLMUNet(ModulatedUNet):
    """``[batch, samples]`` to ``[batch, samples]``; see :class:`~overtone.models.unet.UNet`."""

    config: AFiLMConfig

    def __init__(self, config: AFiLMConfig | None = None) -> None:
        super().__init__(config or AFiLMConfig())

    def _modulation(self, channels: int, block_steps: int) -> nn.Module:
        c = self.config
        return AFiLM(
            channels,
            block_steps,
            layers=c.attention_layers,
            heads=c.heads,
            feedforward=c.feedforward,
            dropout=c.attention_dropout,
        )
