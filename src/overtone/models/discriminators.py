"""Discriminators over log-magnitude spectrograms: does the high band sound as recordings do?

One small stack of two-dimensional convolutions for each STFT size, after the multi-resolution
discriminators of UnivNet (Jang et al. 2021) and AP-BWE (Lu et al. 2024), but blind outside the
band that was predicted: what is copied is real anyway, and above its corpus's bandwidth a
recording is silent for no reason that a network should learn. Outside that band the spectrogram is
multiplied by zero, so nothing there changes a score, and no gradient leads there.

Levels are relative to a level that is given (that of the degraded recording, which is the same for
the real and the fake high band), so that loud and quiet crops look alike while one that is too soft
for its recording can be told.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from overtone.models.extender import POWER_FLOOR
from overtone.models.stft import frames, power
from overtone.settings import Settings

# High bands of speech lie mostly within two decades of power around this, in log10 relative to the
# recording's level in units of white noise (see POWER_FLOOR).
USUAL_LEVEL = -3.2
LEVEL_SPREAD = 1.4
SLOPE = 0.2
# (frames, bins) that each layer steps over; a score stands for 2 by 16 of them.
STRIDES = ((1, 4), (1, 2), (2, 2), (1, 1))


class DiscriminatorConfig(Settings):
    """Shape of :class:`SpectrogramDiscriminators`."""

    # Windows of the spectrograms in samples at the model's rate; the hop is a quarter.
    windows: tuple[int, ...] = Field(default=(512, 1024, 2048), min_length=1)
    channels: int = Field(default=16, gt=0)

    @field_validator("windows")
    @classmethod
    def _check_windows(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        for window in windows:
            if window < 64 or window % 4:
                raise ValueError(f"a window must be a multiple of 4, at least 64, not {window}")
        return windows


class DiscriminatorOutput(NamedTuple):
    """What one discriminator makes of a batch.

    ``scores [batch, frames, bins]``: above 0 is real. ``features``: what each layer before gives,
    ``[batch, channels, frames, bins]``. ``inside [batch, bins]`` of the scores, and of each of
    ``features_inside``: 1 for a place whose centre lies in the band, 0 for one that does not count.
    """

    scores: Tensor
    inside: Tensor
    features: list[Tensor]
    features_inside: list[Tensor]


class SpectrogramDiscriminator(nn.Module):
    """One STFT size: four layers of convolutions and a score for each patch of time and band."""

    frequencies_hz: Tensor

    def __init__(self, window_samples: int, channels: int, sample_rate: int) -> None:
        super().__init__()
        self.window_samples, self.hop_samples = window_samples, window_samples // 4
        frequencies = torch.linspace(0, sample_rate / 2, window_samples // 2 + 1)
        self.register_buffer("frequencies_hz", frequencies, persistent=False)
        widths = [3, *[channels] * len(STRIDES)]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(width, channels, (3, 9), stride, padding=(1, 4)))
            for width, stride in zip(widths[:-1], STRIDES, strict=True)
        )
        self.score = weight_norm(nn.Conv2d(channels, 1, (3, 3), padding=(1, 1)))

    def inside(self, cutoff_hz: Tensor, bandwidth_hz: Tensor) -> Tensor:
        """Return which bins lie above the cutoff and below the bandwidth, ``[batch, bins]``."""
        f = self.frequencies_hz
        held = (f >= cutoff_hz[:, None]) & (f <= bandwidth_hz[:, None])
        return held.to(f.dtype)

    def spectrogram(self, signal: Tensor, level: Tensor) -> Tensor:
        """Return the scaled log10 of power over ``level``, ``[batch, frames, bins]``."""
        spectrum = frames(signal, self.window_samples, self.hop_samples)
        ratio = (power(spectrum) + POWER_FLOOR) / (level[:, None, None] + POWER_FLOOR)
        decades = ratio.log() / math.log(10)
        return (decades - USUAL_LEVEL) / LEVEL_SPREAD

    def forward(
        self, signal: Tensor, level: Tensor, cutoff_hz: Tensor, bandwidth_hz: Tensor
    ) -> DiscriminatorOutput:
        """As :class:`SpectrogramDiscriminators`, of which this is one."""
        return self.discriminate(
            self.spectrogram(signal, level), self.inside(cutoff_hz, bandwidth_hz)
        )

    def discriminate(self, spectrogram: Tensor, inside: Tensor) -> DiscriminatorOutput:
        """Score ``spectrogram [batch, frames, bins]`` where ``inside [batch, bins]`` is 1."""
        # Convolutions see no absolute place; the third channel tells it.
        place = inside * torch.linspace(-1, 1, inside.shape[1], device=inside.device)
        held = [spectrogram * inside[:, None], inside[:, None], place[:, None]]
        x = torch.stack([part.expand_as(spectrogram) for part in held], dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        features, features_inside = [], []
        for layer, (_, step) in zip(self.layers, STRIDES, strict=True):
            x = F.leaky_relu(layer(x), SLOPE)
            # A convolution of odd kernel is centred: its output j looks at input j * step.
            inside = inside[:, ::step]
            features.append(x)
            features_inside.append(inside)
        return DiscriminatorOutput(self.score(x).squeeze(1), inside, features, features_inside)


class SpectrogramDiscriminators(nn.Module):
    """A :class:`SpectrogramDiscriminator` for each of the configuration's windows."""

    def __init__(self, config: DiscriminatorConfig, sample_rate: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            SpectrogramDiscriminator(window, config.channels, sample_rate)
            for window in config.windows
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, signal: Tensor, level: Tensor, cutoff_hz: Tensor, bandwidth_hz: Tensor
    ) -> list[DiscriminatorOutput]:
        """Score the band of each item between its cutoff and its bandwidth.

        Args:
            signal: ``[batch, samples]``, at least as long as the longest window.
            level: ``[batch]``, mean square of the recording that the signal was made of.
            cutoff_hz, bandwidth_hz: ``[batch]``, Hz.
        """
        return [part(signal, level, cutoff_hz, bandwidth_hz) for part in self.parts]
