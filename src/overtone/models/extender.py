"""The spectral extender: a causal ConvNeXt over STFT frames that predicts the bins above a cutoff.

Each frame's kept bins (those below the cutoff, never the ones above it: a network that sees the
filter's leakage learns the filter) enter as log-magnitude and power-compressed complex value
beside the cutoff itself. A stack of ConvNeXt blocks (Liu et al. 2022; over time as in Vocos,
Siuzdak 2023) runs over the frames. Heads give log-magnitude and phase above the cutoff, as in
AP-BWE (Lu et al. 2024), and *coherence*: the factor by which each predicted bin has to shrink to
come closest to the recording in the mean square. ``fidelity`` goes from the prediction (0, as it
should sound) to the shrunk one (1, the least error of the waveform).

What leaves the network is a *residual* spectrum, ``w * (prediction - input)``, with ``w`` rising
from 0 to 1 across a narrow crossover that ends at the cutoff. Adding its inverse STFT to the
recording replaces what lies above the cutoff and leaves every sample's content below it alone.

The network is written as it runs: planes of real and imaginary parts and not pairs, which would
make inner loops of length 2, and one grouped convolution over time. Exporting traces it as it
stands, but for :meth:`SpectralExtender.fold`.

Everything is causal: the output frame ``t`` is the residual of the input frame
``t - lookahead_frames``. All memory is explicit (:meth:`SpectralExtender.initial_state`), so
that any split of a recording into chunks gives the same frames.
"""

import math
from typing import ClassVar, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from overtone.settings import Settings

# Smallest power that is told apart from silence, in units where white noise of standard
# deviation s has bins of mean power s^2. It equals the floor of the LSD metric.
POWER_FLOOR = 1e-11
# Frames whose kept band is weaker than this are digital silence and stay silent.
SILENCE_POWER = 1e-12
# The crossover runs over the last part of the kept band, and the network sees some of it. Every
# bin of it that is replaced costs the phase that the recording still had there.
CROSSOVER_START = 0.97
VISIBLE_END = 0.98


class FrameConfig(Settings):
    """The frames that a network works on, and how far it sees; what all such networks share."""

    sample_rate: int = Field(default=48000, gt=0)
    window_samples: int = Field(default=1536, gt=0)
    hop_samples: int = Field(default=384, gt=0)
    lookahead_frames: int = Field(default=3, ge=0)
    max_cutoff_hz: float = Field(default=14000.0, gt=0)

    @model_validator(mode="after")
    def _check_frames(self) -> Self:
        hops, rest = divmod(self.window_samples, self.hop_samples)
        # Squared Hann windows add up to a constant only then.
        if rest or hops < 3 or self.window_samples % 2:
            raise ValueError(
                f"window_samples must be even and at least three whole hops, not"
                f" {self.window_samples} with hop_samples {self.hop_samples}"
            )
        if self.max_cutoff_hz > self.sample_rate / 2:
            raise ValueError(
                f"max_cutoff_hz must be at most half of sample_rate {self.sample_rate}, not"
                f" {self.max_cutoff_hz:g}"
            )
        return self

    @property
    def bins(self) -> int:
        """Bins of a one-sided spectrum."""
        return self.window_samples // 2 + 1

    @property
    def visible_bins(self) -> int:
        """Bins that the network can ever see: those below ``max_cutoff_hz``."""
        return math.ceil(self.max_cutoff_hz * self.window_samples / self.sample_rate)

    @property
    def latency_samples(self) -> int:
        """Algorithmic latency, window included, in samples at ``sample_rate``."""
        return self.window_samples + self.lookahead_frames * self.hop_samples


class ExtenderConfig(FrameConfig):
    """Shape of a :class:`SpectralExtender`; stored in checkpoints and ONNX metadata."""

    channels: int = Field(default=320, gt=0)
    blocks: int = Field(default=8, gt=0)
    kernel: int = Field(default=7, gt=0)
    expansion: int = Field(default=3, gt=0)


class ExtenderState(NamedTuple):
    """What the network remembers between chunks.

    ``context``: ``[blocks, batch, kernel - 1, channels]``, past inputs of each convolution.
    ``delay``: ``[batch, lookahead_frames, bins, 2]``, input frames whose output is still due.
    """

    context: Tensor
    delay: Tensor


class Prediction(NamedTuple):
    """What the heads say of each frame's bins, ``[batch, frames, bins]``, and the new context.

    The phase is a unit phasor, ``real`` and ``imaginary``; ``coherence`` lies within 0 to 1.
    """

    log_magnitude: Tensor
    real: Tensor
    imaginary: Tensor
    coherence: Tensor
    context: Tensor


class ConvNeXtBlock(nn.Module):
    """Depthwise causal convolution over time, then a two-layer perceptron on every frame."""

    scale: nn.Parameter | None

    def __init__(self, channels: int, kernel: int, expansion: int, dilation: int = 1) -> None:
        super().__init__()
        # Of two dimensions, one of them empty: compiled and exported it is the faster kind.
        self.depthwise = nn.Conv2d(
            channels, channels, (kernel, 1), groups=channels, dilation=(dilation, 1)
        )
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, expansion * channels)
        self.contract = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))
        nn.init.normal_(self.depthwise.weight, std=1 / math.sqrt(kernel))
        nn.init.zeros_(self.depthwise.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``x [batch, frames, channels]``; ``past`` has ``(kernel - 1) * dilation`` frames."""
        padded = torch.cat([past, x], dim=1)
        y = self.depthwise(padded.transpose(1, 2).unsqueeze(-1)).squeeze(-1).transpose(1, 2)
        y = self.contract(F.gelu(self.expand(self.norm(y)), approximate="tanh"))
        if self.scale is not None:
            y = self.scale * y
        return x + y, padded[:, x.shape[1] :]

    @torch.no_grad()
    def fold(self) -> None:
        """Make ``scale`` part of the weights before it."""
        if self.scale is not None:
            self.contract.weight.mul_(self.scale[:, None])
            self.contract.bias.mul_(self.scale)
            self.scale = None


class SpectralExtender(nn.Module):
    """Predicts the spectrum above a cutoff from the spectrum below it. See the module's text."""

    output: ClassVar[str] = "residual"
    frequencies_hz: Tensor

    def __init__(self, config: ExtenderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ExtenderConfig()
        visible = config.visible_bins
        self.embed = nn.Linear(3 * visible, config.channels)
        self.embed_mask = nn.Linear(visible, config.channels, bias=False)
        self.embed_norm = nn.LayerNorm(config.channels)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.channels, config.kernel, config.expansion)
            for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.channels)
        self.log_magnitude = nn.Linear(config.channels, config.bins)
        self.real = nn.Linear(config.channels, config.bins)
        self.imaginary = nn.Linear(config.channels, config.bins)
        self.coherence = nn.Linear(config.channels, config.bins)
        self._initialise()
        frequencies = torch.arange(config.bins) * (config.sample_rate / config.window_samples)
        self.register_buffer("frequencies_hz", frequencies, persistent=False)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Start quiet: about the level of speech above 8 kHz.
        nn.init.constant_(self.log_magnitude.bias, -6.0)

    def fold(self) -> Self:
        """Make the blocks' scales part of their weights: the same function in fewer operations.

        For running only; a folded network has other parameters than its checkpoint.
        """
        for module in self.modules():
            if isinstance(module, ConvNeXtBlock):
                module.fold()
        return self

    def initial_state(self, batch: int = 1) -> ExtenderState:
        """Return the state before the first frame: silence."""
        c = self.config
        zeros = self.frequencies_hz.new_zeros
        return ExtenderState(
            zeros(c.blocks, batch, c.kernel - 1, c.channels),
            zeros(batch, c.lookahead_frames, c.bins, 2),
        )

    def crossover(self, cutoff_hz: Tensor, fidelity: Tensor | None = None) -> Tensor:
        """Weight of the prediction, ``[batch, bins]``: 0 below, 1 from the cutoff upward.

        With a ``fidelity`` of 1 it begins to rise at the cutoff only: what the recording has there
        is softened by its filter, but in phase.
        """
        width = 1 - CROSSOVER_START
        start = CROSSOVER_START if fidelity is None else CROSSOVER_START + width * fidelity[:, None]
        ramp = ((self.frequencies_hz / cutoff_hz[:, None] - start) / width).clamp(0, 1)
        return 0.5 - 0.5 * torch.cos(math.pi * ramp)

    def embedding(self, spectrum: Tensor, cutoff_hz: Tensor) -> Tensor:
        """Return what the blocks see of ``spectrum [batch, frames, bins, 2]``."""
        visible = self.config.visible_bins
        mask = (self.frequencies_hz[:visible] <= VISIBLE_END * cutoff_hz[:, None]).float()
        # Strided slices of the flat frames, because onnxruntime gathers single columns slowly.
        kept = spectrum.flatten(2)[..., : 2 * visible]
        re, im = kept[..., 0::2] * mask[:, None], kept[..., 1::2] * mask[:, None]
        # In units of 1e-6: graph optimisers take an addition of 1e-11 for one of zero.
        log_power = ((re * re + im * im) * 1e6 + POWER_FLOOR * 1e6).log()
        compression = (0.35 * (math.log(1e6) - log_power)).exp()
        log_power = log_power * (mask[:, None] / (3 * math.log(10)))
        features = torch.cat([log_power, re * compression, im * compression], dim=-1)
        embedded: Tensor = self.embed_norm(self.embed(features) + self.embed_mask(mask)[:, None])
        return embedded

    def predict(self, spectrum: Tensor, cutoff_hz: Tensor, context: Tensor) -> Prediction:
        """Return what the heads say of each frame; arguments as in :meth:`forward`."""
        x = self.embedding(spectrum, cutoff_hz)
        contexts = []
        for index, block in enumerate(self.blocks):
            x, past = block(x, context[index])
            contexts.append(past)
        x = self.norm(x)
        log_magnitude = self.log_magnitude(x).float().clamp(-13.0, 6.0)
        real, imaginary = self.real(x).float(), self.imaginary(x).float()
        unit = (real * real + imaginary * imaginary + 1e-6).rsqrt()
        coherence = self.coherence(x).float().sigmoid()
        return Prediction(
            log_magnitude, real * unit, imaginary * unit, coherence, torch.stack(contexts)
        )

    def forward(
        self,
        spectrum: Tensor,
        cutoff_hz: Tensor,
        fidelity: Tensor,
        context: Tensor,
        delay: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return one chunk of frames.

        Args:
            spectrum: ``[batch, frames, bins, 2]``, real and imaginary, in the units of
                :data:`POWER_FLOOR`; frames of ``window_samples`` under a periodic Hann window.
            cutoff_hz: ``[batch]``, Hz.
            fidelity: ``[batch]``, 0 to 1.
            context, delay: the :class:`ExtenderState`.

        Returns:
            The residual spectrum ``[batch, frames, bins, 2]`` to add to the input, which lags
            the input by ``lookahead_frames``, and the new state.
        """
        found = self.predict(spectrum, cutoff_hz, context)
        line = torch.cat([delay, spectrum], dim=1)
        delayed = line[:, : spectrum.shape[1]].flatten(2)
        re, im = delayed[..., 0::2], delayed[..., 1::2]
        weight = self.crossover(cutoff_hz, fidelity)[:, None]
        kept_power = ((re * re + im * im) * (1 - weight)).sum(-1, keepdim=True)
        active = (kept_power > SILENCE_POWER).to(re.dtype)
        magnitude = found.log_magnitude.exp() * active
        magnitude = magnitude * (1 - fidelity[:, None, None] * (1 - found.coherence))
        planes = magnitude * found.real - re, magnitude * found.imaginary - im
        residual = torch.stack([weight * plane for plane in planes], dim=2).transpose(2, 3)
        return residual, found.context, line[:, spectrum.shape[1] :]
