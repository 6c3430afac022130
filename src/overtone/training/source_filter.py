"""The source-filter extender as a family: its recipe, and its task of the training loop.

Training has two parts. First the envelope alone is regressed, which needs no waveform and is quick:
the power of every band of every frame. From ``loss.waveform_start_step`` on, excitations and gains
become a waveform that is compared and, mostly, scored by discriminators: they teach the mixture.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor

from overtone.data.crops import Batch
from overtone.dsp.level import active_rms
from overtone.errors import ConfigError, ModelError
from overtone.inference.family import Model
from overtone.inference.model import load_model
from overtone.inference.source_filter import SourceFilterInfo
from overtone.models.extender import CROSSOVER_START, VISIBLE_END
from overtone.models.source_filter import (
    SourceFilterConfig,
    SourceFilterExtender,
    band_interpolation,
)
from overtone.models.stft import frames, overlap_add, power
from overtone.training.adversarial import Adversary, DiscriminatorBatch
from overtone.training.device import autocast, to_device
from overtone.training.excitation import CONSTANTS, excitations, running_level
from overtone.training.losses import (
    Extension,
    SourceFilterLossConfig,
    Teaching,
    band_power_distance,
    envelope_distance,
    signal_distance,
)
from overtone.training.spectral import SpectralRecipe, SpectralTask
from overtone.training.validate import extend

# Windows of the loss on band power: the long one is the default.
SHORT_BAND_WINDOW = 512
# A checkpoint is eligible by its envelope where its grain is natural to so many dB; beyond, each dB
# weighs as this many of the envelope.
GRAIN_TOLERANCE_DB = 0.3
GRAIN_WEIGHT = 5.0
# Crops below this RMS are not made louder for a teacher.
SILENCE_RMS = 1e-6
LEAST_SHARE = 1e-12


class SourceFilterRecipe(SpectralRecipe):
    """The source-filter extender, on crops of whole corpora that are degraded at random."""

    network: Literal["source-filter"]  # type: ignore[assignment]
    # The shipped model that takes over as fidelity rises; without it there is no fidelity.
    faithful: str = ""
    model: SourceFilterConfig = SourceFilterConfig()  # type: ignore[assignment]
    loss: SourceFilterLossConfig = SourceFilterLossConfig()  # type: ignore[assignment]

    @model_validator(mode="after")
    def _check_teacher(self) -> Self:
        if self.loss.teacher_share and not self.faithful:
            raise ValueError("loss.teacher_share needs faithful, the name of a shipped model")
        return self

    def describe(self, progress: dict[str, Any], parameters: int) -> SourceFilterInfo:  # type: ignore[override]
        """Return what the model file says of itself, exported after ``progress``."""
        c = self.model
        return SourceFilterInfo(
            **self._about_frames(progress, parameters),
            has_fidelity=bool(self.faithful),
            faithful=self.faithful,
            visible_bins=c.visible_bins,
            visible_end=VISIBLE_END,
            level_frames=c.level_frames,
            band_centres_hz=c.band_centres_hz,
            excitations=c.excitations,
            excitation=CONSTANTS,
        )


class SourceFilterTask(SpectralTask):
    """Crops of the corpora, degraded at random; held-out clips low-passed at fixed cutoffs."""

    recipe: SourceFilterRecipe
    model: SourceFilterExtender  # type: ignore[assignment]
    teacher: Model | None = None

    def __init__(self, recipe: SourceFilterRecipe, *args: Any, **settings: Any) -> None:
        if recipe.loss.teacher_share:
            try:
                self.teacher = load_model(recipe.faithful, device="cpu", threads=1)
            except ModelError as error:
                raise ConfigError(f"faithful: {error}") from error
        super().__init__(recipe, *args, **settings)

    def entry(self) -> Callable[..., Any]:
        """Return the whole network."""
        return self.model.forward

    def score(self, rows: list[dict[str, float]]) -> float:
        """Return the mean envelope distance, negative, less for texture that is not natural.

        Clips too short to measure count nothing: -inf where there are no others.
        """
        rows = [row for row in rows if "envelope_db" in row]
        if not rows:
            return -math.inf
        worst = 0.0
        for row in rows:
            grain = abs(row.get("grain_db", 0.0) - row.get("reference_grain_db", 0.0))
            off = max(0.0, grain - GRAIN_TOLERANCE_DB)
            worst += row["envelope_db"] + GRAIN_WEIGHT * off
        return -worst / len(rows)

    def losses(
        self, batch: Batch, step: int, adversary: Adversary | None
    ) -> tuple[dict[str, Tensor], DiscriminatorBatch]:
        """Return all loss terms, and what discriminators are to tell apart."""
        c, weights = self.recipe.model, self.recipe.loss
        clean, low, cutoff, bandwidth = to_device(
            self.device, batch.clean, batch.low, batch.cutoff_hz, batch.bandwidth_hz
        )
        level = low.square().mean(1)
        spectrum = frames(low, c.window_samples, c.hop_samples)
        target = frames(clean, c.window_samples, c.hop_samples)
        found = self._extend(spectrum, cutoff)
        teaching = self._teaching(self.teacher, batch) if self.teacher else None
        envelope = envelope_distance(found, target, cutoff, bandwidth, c, teaching)
        if step < weights.waveform_start_step:
            nothing = DiscriminatorBatch(clean, low, level, cutoff, bandwidth)
            return {"total": envelope, "envelope": envelope}, nothing
        scaled = found._replace(gains=scaled_envelope(found.gains, weights.waveform_envelope_share))
        estimate = low + residual(scaled, spectrum, cutoff, c)
        # The first and last frames overlap with nothing; the signal is compared between them.
        inner = slice(c.window_samples, low.shape[-1] - c.window_samples)
        fake, real = estimate[:, inner], clean[:, inner]
        band = c.sample_rate, cutoff, bandwidth, weights
        terms = {
            "envelope": envelope,
            "signal": signal_distance(fake, real, *band),
            "band_power": band_power_distance(fake, real, *band),
            "short_band_power": band_power_distance(fake, real, *band, window=SHORT_BAND_WINDOW),
        }
        total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
        seen = slice(self.recipe.adversarial and self.recipe.adversarial.items)
        pair = DiscriminatorBatch(*(x[seen] for x in (real, fake, level, cutoff, bandwidth)))
        if adversary:
            adversarial = adversary.generator_loss(pair)
            own, weight = adversary.config, adversary.weight(step)
            total = total + weight * own.hinge_weight * adversarial["adversarial"]
            total = total + weight * own.features_weight * adversarial["features"]
            terms |= adversarial
        return {"total": total, **terms}, pair._replace(fake=pair.fake.detach())

    def _teaching(self, teacher: Model, batch: Batch) -> Teaching:
        c, made = self.recipe.model, []
        for low, cutoff_hz in zip(batch.low, batch.cutoff_hz, strict=True):
            gain = teacher.info.level_rms / max(active_rms(low, c.sample_rate), SILENCE_RMS)
            made.append(extend(teacher, low * np.float32(gain), float(cutoff_hz)) / gain)
        (samples,) = to_device(self.device, np.stack(made).astype(np.float32))
        estimate = frames(samples, c.window_samples, c.hop_samples)
        return Teaching(estimate, self.recipe.loss.teacher_share)

    def _extend(self, spectrum: Tensor, cutoff_hz: Tensor) -> Extension:
        c = self.recipe.model
        relative, level = network_input(spectrum, cutoff_hz, c)
        (context,) = self.model.initial_state(len(spectrum))
        with autocast(self.device, self.recipe.optimiser.bfloat16):
            gains, _ = self.predict(relative, cutoff_hz, context)
        return Extension(gains[:, c.lookahead_frames :], level)


def network_input(
    spectrum: Tensor, cutoff_hz: Tensor, config: SourceFilterConfig
) -> tuple[Tensor, Tensor]:
    """Return what the network sees of whole crops ``[batch, frames, bins]``, and their level.

    The first has ``lookahead_frames`` of silence more at the end, so that gains of all frames
    leave; the running level is ``[batch, frames]``.
    """
    level = running_level(spectrum, cutoff_hz, config)
    relative = power(spectrum[..., : config.visible_bins]) / level[..., None]
    return F.pad(relative, (0, 0, 0, config.lookahead_frames)), level


def scaled_envelope(gains: Tensor, share: float) -> Tensor:
    """Return the same gains, whose gradient reaches the power of their sum by ``share`` only."""
    envelope = 0.5 * torch.logsumexp(2 * gains, 2, keepdim=True)
    return gains - (1 - share) * (envelope - envelope.detach())


def residual(
    found: Extension, spectrum: Tensor, cutoff_hz: Tensor, config: SourceFilterConfig
) -> Tensor:
    """Return what has to be added to the crops that ``spectrum`` is of, ``[batch, samples]``."""
    bands = band_interpolation(config).to(spectrum.device)
    envelope = 0.5 * torch.logsumexp(2 * found.gains, 2)
    shares = (2 * (found.gains - envelope.unsqueeze(2))).exp() @ bands
    # The root's slope is infinite at zero.
    parts = shares.clamp_min(LEAST_SHARE).sqrt()
    sources = excitations(spectrum, cutoff_hz, config, CONSTANTS)
    predicted = sum(parts[:, :, n] * source for n, source in enumerate(sources))
    predicted = predicted * ((envelope @ bands).exp() * found.level.sqrt()[..., None])
    hz = torch.arange(config.bins, device=spectrum.device) * (
        config.sample_rate / config.window_samples
    )
    ramp = ((hz / cutoff_hz[:, None] - CROSSOVER_START) / (1 - CROSSOVER_START)).clamp(0, 1)
    weight = (0.5 - 0.5 * torch.cos(math.pi * ramp))[:, None]
    return overlap_add(weight * (predicted - spectrum), config.window_samples, config.hop_samples)
