"""Losses of all families, and their weights in recipes; those of discriminators are theirs.

Those of the extenders are on the band between an item's cutoff and its bandwidth.

The signal loss re-analyses the resynthesised waveform, because a prediction whose neighbouring
frames disagree in phase loses energy when they overlap: only the waveform shows it. It is the
log-spectral distance itself, at several resolutions, weighted by frequency.
"""

import math
from functools import lru_cache
from typing import NamedTuple, Protocol, Self

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from overtone.models.extender import CROSSOVER_START, POWER_FLOOR
from overtone.models.source_filter import SourceFilterConfig, band_interpolation
from overtone.models.stft import frames, power
from overtone.settings import Settings

# Window of the loss on band power, in samples.
BAND_WINDOW = 2048
# Errors of the envelope beyond so many dB count by size, smaller ones by square, as in the metric.
ENVELOPE_KNEE_DB = 20.0
# Frames so far below the loudest of a crop count a fifth: what metrics leave out.
PAUSE_DB = 38.0
PAUSE_WEIGHT = 0.2
# A teacher is heard on items where its error is at most so many times the network's own.
TEACHER_TRUST = 1.2


def check_windows(windows: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse windows that are not whole numbers of hops."""
    for window in windows:
        if window <= 0 or window % 4:
            raise ValueError(f"a window must be a positive multiple of 4, not {window}")
    return windows


class LossConfig(Settings):
    """Weights of the losses."""

    log_magnitude: float = Field(default=0.5, ge=0)
    compressed: float = Field(default=5.0, ge=0)
    signal: float = Field(default=1.0, ge=0)
    band_power: float = Field(default=0.0, ge=0)
    # What the coherence head learns from alone.
    fidelity: float = Field(default=0.1, ge=0)
    # Windows of the signal loss in samples at the model's rate; the hop is a quarter.
    windows: tuple[int, ...] = Field(default=(512, 2048, 6144), min_length=1)
    # Bins count by 1 / (1 + f / pivot): a loss that is uniform over 24 kHz would give the
    # band where speech lives a quarter of its weight.
    pivot_hz: float = Field(default=4000.0, gt=0)

    _windows = field_validator("windows")(check_windows)


class SourceFilterLossConfig(Settings):
    """Weights of the losses."""

    envelope: float = Field(default=0.5, ge=0)
    signal: float = Field(default=0.5, ge=0)
    # Of the power of bands in windows of 2048 samples, and of 512.
    band_power: float = Field(default=0.3, ge=0)
    short_band_power: float = Field(default=0.5, ge=0)
    # Windows of the signal loss in samples at the model's rate; the hop is a quarter.
    windows: tuple[int, ...] = Field(default=(256, 1024, 4096), min_length=1)
    pivot_hz: float = Field(default=4000.0, gt=0)
    # What part of the gradient of all but the envelope's loss reaches the envelope. Discriminators
    # ask for one sharp envelope among all that could be, which costs accuracy.
    waveform_envelope_share: float = Field(default=1.0, ge=0, le=1)
    # What part of the envelope's target is what the model ``faithful`` predicts, where that knows
    # better. A prediction has none of the chance that recordings have.
    teacher_share: float = Field(default=0.0, ge=0, le=1)
    # Before this step the envelope is all that is learned.
    waveform_start_step: int = Field(default=0, ge=0)

    _windows = field_validator("windows")(check_windows)


class BandLosses(Protocol):
    """What losses on the band above a cutoff need of a recipe's table."""

    @property
    def windows(self) -> tuple[int, ...]:
        """Of the signal loss."""

    @property
    def pivot_hz(self) -> float:
        """Where weights begin to fall."""


class PatchLossConfig(Settings):
    """Weights of the losses of the AudioUNet family; the default is the papers' alone.

    ``mse``: the mean square of the error, full scale 1. ``snr``: the mean over patches of the
    logarithm of that, which gives a quiet patch the weight of a loud one, as the metric does.
    ``log_spectrum``: Kuleshov's log-spectral distance.
    """

    mse: float = Field(default=1.0, ge=0)
    snr: float = Field(default=0.0, ge=0)
    log_spectrum: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _check_any(self) -> Self:
        if not (self.mse or self.snr or self.log_spectrum):
            raise ValueError("at least one weight must be above 0")
        return self


def patch_losses(estimate: Tensor, target: Tensor, weights: PatchLossConfig) -> dict[str, Tensor]:
    """Return the terms with a weight, of ``[batch, samples]``, and their weighted sum ``total``."""
    power = (estimate - target).square().mean(dim=1)
    terms = {}
    if weights.mse:
        terms["mse"] = power.mean()
    if weights.snr:
        # The floor is the one inside Kuleshov's SNR.
        terms["snr"] = torch.log10(power + 1e-6).mean()
    if weights.log_spectrum:
        terms["log_spectrum"] = _log_spectral_distance(estimate, target)
    total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
    return {"total": total, **terms}


def _log_spectral_distance(estimate: Tensor, target: Tensor) -> Tensor:
    """As :func:`overtone.metrics.kuleshov_lsd`, but for its upper limit."""

    def log_power(signal: Tensor) -> Tensor:
        centred = F.pad(signal[:, None], (1024, 1024), mode="reflect")[:, 0]
        # The squared window adds up to 768.
        return torch.log(768 * power(frames(centred, 2048, 512)) + 1e-8)

    squares = (log_power(estimate) - log_power(target)).square().mean(dim=1)
    # The root's slope is infinite at zero.
    return (squares + 1e-6).sqrt().mean()


def weighted(values: Tensor, weight: Tensor) -> Tensor:
    """Return sums ``[batch, frames]`` of ``values [batch, frames, n]`` by ``weight [batch, n]``."""
    return (values * weight[:, None]).sum(-1)


def band_weight(
    bins: int, sample_rate: int, cutoff_hz: Tensor, bandwidth_hz: Tensor, pivot_hz: float
) -> Tensor:
    """Return weights ``[batch, bins]`` over each item's predicted band, adding up to 1."""
    f = torch.linspace(0, sample_rate / 2, bins, device=cutoff_hz.device)[None]
    inside = (f >= CROSSOVER_START * cutoff_hz[:, None]) & (f <= bandwidth_hz[:, None])
    weight = inside / (1 + f / pivot_hz)
    return weight / weight.sum(-1, keepdim=True).clamp_min(1e-9)


def fidelity_distance(
    prediction: Tensor, coherence: Tensor, target: Tensor, weight: Tensor
) -> Tensor:
    """Return the error of the shrunk prediction, relative to the energy of the predicted band.

    ``prediction`` and ``target`` are complex ``[batch, frames, bins]``; of ``weight [batch, bins]``
    only counts where it is above 0. The prediction itself learns nothing from this.
    """
    inside = (weight > 0).to(weight.dtype)
    with torch.no_grad():
        energy = weighted(power(target), inside).sum(1)
        own = power(prediction) * inside[:, None]
        shared = target.real * prediction.real + target.imag * prediction.imag
        shared *= 2 * inside[:, None]
    # |target - coherence * prediction|^2, written out.
    error = energy + (coherence * (coherence * own - shared)).sum(dim=(1, 2))
    floor = POWER_FLOOR * inside.sum(dim=1) * target.shape[1]
    return (error / (energy + floor)).mean()


def log_power(spectrum: Tensor) -> Tensor:
    """Return log10 of power, floored where the LSD metric floors it."""
    return (power(spectrum) + POWER_FLOOR).log() / math.log(10)


def signal_distance(
    estimate: Tensor,
    reference: Tensor,
    sample_rate: int,
    cutoff_hz: Tensor,
    bandwidth_hz: Tensor,
    config: BandLosses,
) -> Tensor:
    """Return the mean log-spectral distance above the cutoff over several resolutions; a scalar."""
    total = estimate.new_zeros(())
    for window in config.windows:
        with torch.no_grad():
            wanted = log_power(frames(reference, window, window // 4))
        found = log_power(frames(estimate, window, window // 4))
        bins = window // 2 + 1
        weight = band_weight(bins, sample_rate, cutoff_hz, bandwidth_hz, config.pivot_hz)
        squared = weighted((found - wanted).square(), weight)
        total = total + (squared + 1e-4).sqrt().mean()
    return total / len(config.windows)


@lru_cache(maxsize=4)
def _bands(bins: int, sample_rate: int, device: torch.device) -> Tensor:
    """Return which bins ``[bins, bands]`` belong to bands of a sixth of an octave, or 200 Hz."""
    hz = torch.linspace(0, sample_rate / 2, bins)
    edges = [500.0]
    while edges[-1] < sample_rate / 2:
        edges.append(edges[-1] + max(200.0, edges[-1] * (2 ** (1 / 6) - 1)))
    index = torch.bucketize(hz, torch.tensor(edges))
    return torch.nn.functional.one_hot(index).float().to(device)


def band_power_distance(
    estimate: Tensor,
    reference: Tensor,
    sample_rate: int,
    cutoff_hz: Tensor,
    bandwidth_hz: Tensor,
    config: BandLosses,
    window: int = BAND_WINDOW,
) -> Tensor:
    """Return the mean absolute difference of log10 power by bands above the cutoff; a scalar."""
    bins = window // 2 + 1
    bands = _bands(bins, sample_rate, estimate.device)
    weight = band_weight(bins, sample_rate, cutoff_hz, bandwidth_hz, config.pivot_hz)
    inside = (weight > 0).to(weight.dtype)

    def levels(signal: Tensor) -> Tensor:
        held = (power(frames(signal, window, window // 2)) * inside[:, None]) @ bands
        return (held / (inside @ bands)[:, None].clamp_min(1) + POWER_FLOOR).log() / math.log(10)

    with torch.no_grad():
        wanted = levels(reference)
    distance = (levels(estimate) - wanted).abs() * (weight @ bands)[:, None]
    return distance.sum(-1).mean()


def spectral_distances(
    log_magnitude: Tensor, phase: Tensor, target: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the L1 of log10 power, and the squared error of the compressed spectrum.

    ``log_magnitude [batch, frames, bins]`` (natural), ``phase [..., 2]``, ``target`` complex,
    ``weight [batch, bins]``.
    """
    target_log = (power(target) + POWER_FLOOR).log()
    distance = (log_magnitude * 2 - target_log).abs()
    estimate = (0.3 * log_magnitude).exp().unsqueeze(-1) * phase
    compressed = torch.view_as_real(target) * (-0.35 * target_log).exp().unsqueeze(-1)
    error = (estimate - compressed).square().flatten(2)
    return (
        weighted(distance, weight).mean() / math.log(10),
        weighted(error, weight.repeat_interleave(2, dim=1)).mean(),
    )


class Teaching(NamedTuple):
    """A teacher's estimate of a target, of its shape, and the part of the error that goes to it."""

    estimate: Tensor
    share: float


class Extension(NamedTuple):
    """Gains ``[batch, frames, excitations, bands]`` of crops, and what they are relative to."""

    gains: Tensor
    level: Tensor


def envelope_distance(
    found: Extension,
    target: Tensor,
    cutoff_hz: Tensor,
    bandwidth_hz: Tensor,
    config: SourceFilterConfig,
    teaching: Teaching | None = None,
) -> Tensor:
    """Return the mean error of the power of bands above the cutoff, in units of 10 dB; a scalar.

    ``target`` is complex, ``[batch, frames, bins]``. The excitations have unit power and nothing in
    common, so that the power of their sum is known without a waveform. ``teaching`` counts for the
    items that the teacher knows better than the network does so far.
    """
    bands = band_interpolation(config).to(target.device)
    hz = torch.arange(config.bins, device=target.device) * (
        config.sample_rate / config.window_samples
    )
    inside = (hz >= CROSSOVER_START * cutoff_hz[:, None]) & (hz <= bandwidth_hz[:, None])
    weight = bands * inside[:, None].float()
    held = weight.sum(-1)

    def levels(spectrum: Tensor) -> Tensor:
        sums = torch.einsum("btf,bkf->btk", power(spectrum), weight)
        return sums / held.clamp_min(1e-6)[:, None]

    wanted = levels(target)
    width = bands.sum(-1)
    usable = ((held > 0.5 * width.clamp_min(1)) & (width > 0)).float()[:, None]
    predicted = torch.logsumexp(2 * found.gains, 2).clamp(-24, 8) + found.level.log()[..., None]
    floor = torch.tensor(math.log(POWER_FLOOR), device=target.device)
    predicted = torch.logaddexp(predicted, floor)
    energy = (wanted * usable).sum(-1)
    active = energy > energy.amax(1, keepdim=True) * 10 ** (-PAUSE_DB / 10)
    counted = usable * torch.where(active, 1.0, PAUSE_WEIGHT)[..., None]

    def costs(found: Tensor, wanted: Tensor) -> Tensor:
        decibels = 10 / math.log(10)
        knee = ENVELOPE_KNEE_DB / decibels
        cost = decibels * F.smooth_l1_loss(found, wanted, beta=knee, reduction="none")
        return (cost * counted).sum((1, 2)) / counted.sum((1, 2)).clamp_min(1)

    wanted = (wanted + POWER_FLOOR).log()
    items = costs(predicted, wanted)
    if teaching:
        taught = (levels(teaching.estimate) + POWER_FLOOR).log()
        share = teaching.share * (costs(taught, wanted) <= TEACHER_TRUST * items.detach())
        items = (1 - share) * items + share * costs(predicted, taught)
    return items.mean() / 10
