"""The source-filter extender: the recording makes the texture, a network predicts the envelope.

What is fine in a spectrum (harmonics, glottal pulses, grain) need not be predicted: the band that
is kept holds it. :mod:`overtone.dsp.excitation` turns that band into *excitations*, wide-band
signals with a flat spectrum: pulses at the pitch of the voice, noise that swells with them, steady
noise. This network is the filter of the source-filter model of speech coding: for every frame it
predicts how much power each band above the cutoff has (the *envelope*) and in which proportions
the excitations share it (the *mixture*). Phase and grain are natural by construction.

Frames come in relative to a running level, so that a passage at -40 dB gets the same high band,
40 dB softer. Everything is causal: what leaves for frame ``t`` was predicted from the frames up to
``t + lookahead_frames``. All memory is explicit (:meth:`SourceFilterExtender.initial_state`), so
that any split of a recording into chunks gives the same samples.
"""

from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from overtone.dsp.excitation import NAMES, WAVES
from overtone.models.extender import VISIBLE_END, ConvNeXtBlock, FrameConfig

# Smallest power of a bin that is told from silence, relative to the running level.
RELATIVE_POWER_FLOOR = 1e-11
# Amplitudes relative to the running level, natural logarithm: -96 to +26 dB.
MIN_GAIN, MAX_GAIN = -11.0, 3.0


class SourceFilterConfig(FrameConfig):
    """Shape of a :class:`SourceFilterExtender`; stored in checkpoints and ONNX metadata."""

    window_samples: int = Field(default=1024, gt=0)
    hop_samples: int = Field(default=256, gt=0)
    # Frames that the running level is the mean of.
    level_frames: int = Field(default=128, gt=0)
    # Bands grow by this ratio from the first, but are never narrower than the least width.
    first_band_hz: float = Field(default=600.0, gt=0)
    band_ratio: float = Field(default=1.035, gt=1)
    least_band_hz: float = Field(default=140.0, gt=0)
    excitations: tuple[str, ...] = WAVES
    channels: int = Field(default=256, gt=0)
    kernel: int = Field(default=7, gt=1)
    expansion: int = Field(default=3, gt=0)
    # One block each, by the dilation of its convolution over time.
    dilations: tuple[int, ...] = Field(default=(1, 1, 2, 2, 4, 4, 1, 1), min_length=1)

    @field_validator("excitations")
    @classmethod
    def _check_excitations(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in NAMES]
        if unknown or not names or len(set(names)) < len(names):
            raise ValueError(f"give some of {', '.join(NAMES)}, each once, not {list(names)}")
        return names

    @model_validator(mode="after")
    def _check_lookahead(self) -> Self:
        hops = self.window_samples // self.hop_samples
        if self.lookahead_frames < hops - 1:
            raise ValueError(
                f"lookahead_frames must be at least {hops - 1}, when the excitation of a frame is"
                f" complete, not {self.lookahead_frames}"
            )
        return self

    @property
    def past_frames(self) -> tuple[int, ...]:
        """Frames that each block remembers."""
        return tuple((self.kernel - 1) * dilation for dilation in self.dilations)

    @property
    def band_centres_hz(self) -> tuple[float, ...]:
        """Centres of the bands; the last lies at or beyond the Nyquist frequency."""
        centres = [self.first_band_hz]
        while centres[-1] < self.sample_rate / 2:
            step = max(self.least_band_hz, (self.band_ratio - 1) * centres[-1])
            centres.append(centres[-1] + step)
        return tuple(centres)


class SourceFilterState(NamedTuple):
    """What the network remembers between chunks.

    ``context``: ``[batch, past frames of all blocks, channels]``, one block after another.
    """

    context: Tensor


def band_interpolation(config: SourceFilterConfig) -> Tensor:
    """Return weights ``[bands, bins]`` that interpolate linearly between bands' centres."""
    hz = np.arange(config.bins) * (config.sample_rate / config.window_samples)
    centres = np.array(config.band_centres_hz)
    rows = [np.interp(hz, centres, unit) for unit in np.eye(len(centres))]
    return torch.from_numpy(np.stack(rows).astype(np.float32))


class SourceFilterExtender(nn.Module):
    """Predicts gains for excitations above a cutoff. See the module's text."""

    output: ClassVar[str] = "gains"
    frequencies_hz: Tensor

    def __init__(self, config: SourceFilterConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SourceFilterConfig()
        self.bands = len(config.band_centres_hz)
        self.embed = nn.Linear(config.visible_bins, config.channels)
        self.embed_mask = nn.Linear(config.visible_bins, config.channels, bias=False)
        self.embed_norm = nn.LayerNorm(config.channels)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.channels, config.kernel, config.expansion, dilation)
            for dilation in config.dilations
        )
        self.norm = nn.LayerNorm(config.channels)
        self.envelope = nn.Linear(config.channels, self.bands)
        self.mixture = nn.Linear(config.channels, len(config.excitations) * self.bands)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Start quiet: bins of speech above 8 kHz lie some 60 dB below the whole frame.
        nn.init.constant_(self.envelope.bias, -6.5)
        frequencies = torch.arange(config.visible_bins) * (
            config.sample_rate / config.window_samples
        )
        self.register_buffer("frequencies_hz", frequencies, persistent=False)

    def fold(self) -> Self:
        """Make the blocks' scales part of their weights, for running only."""
        for block in self.blocks:
            block.fold()  # type: ignore[operator]
        return self

    def initial_state(self, batch: int = 1) -> SourceFilterState:
        """Return the state before the first frame: silence."""
        c = self.config
        zeros = self.frequencies_hz.new_zeros
        return SourceFilterState(zeros(batch, sum(c.past_frames), c.channels))

    def forward(self, power: Tensor, cutoff_hz: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return one chunk of frames.

        Args:
            power: ``[batch, frames, visible_bins]``, squared magnitude of each bin relative to the
                frame's running level.
            cutoff_hz: ``[batch]``, Hz.
            context: the :class:`SourceFilterState`.

        Returns:
            ``[batch, frames, excitations, bands]``: natural logarithm of the amplitude of each
            excitation in each band, relative to the running level, which lags the input by
            ``lookahead_frames``; and the new context.
        """
        mask = (self.frequencies_hz <= VISIBLE_END * cutoff_hz[:, None]).to(power.dtype)
        # In units of 1e-6: graph optimisers take an addition of 1e-11 for one of zero.
        log_power = (power * 1e6 + RELATIVE_POWER_FLOOR * 1e6).log10() + 1.0
        features = log_power * (mask[:, None] / 3)
        x = self.embed_norm(self.embed(features) + self.embed_mask(mask)[:, None])
        after = []
        pasts = torch.split(context, list(self.config.past_frames), dim=1)
        for block, past in zip(self.blocks, pasts, strict=True):
            x, kept = block(x, past)
            after.append(kept)
        x = self.norm(x)
        envelope = self.envelope(x).float().unsqueeze(2)
        shape = (len(self.config.excitations), self.bands)
        mixture = self.mixture(x).float().unflatten(-1, shape).log_softmax(2)
        gains = (envelope + 0.5 * mixture).clamp(MIN_GAIN, MAX_GAIN)
        return gains, torch.cat(after, dim=1)
