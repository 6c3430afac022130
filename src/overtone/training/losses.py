"""Losses of the spectral extender, each on the band between an item's cutoff and its bandwidth.

The signal loss re-analyses the resynthesised waveform, because a prediction whose neighbouring
frames disagree in phase loses energy when they overlap: only the waveform shows it. It is the
log-spectral distance itself, at several resolutions, weighted by frequency.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor

from overtone.models.extender import CROSSOVER_START, POWER_FLOOR

# Window of the loss on band power, in samples.
BAND_WINDOW = 2048


class LossConfig(BaseModel):
    """Weights of the losses."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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

    @field_validator("windows")
    @classmethod
    def _check_windows(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        for window in windows:
            if window <= 0 or window % 4:
                raise ValueError(f"a window must be a positive multiple of 4, not {window}")
        return windows


class PatchLossConfig(BaseModel):
    """Weights of the losses of the lineage's networks; the default is the papers' alone.

    ``mse``: the mean square of the error, full scale 1. ``snr``: the mean over patches of the
    logarithm of that, which gives a quiet patch the weight of a loud one, as the metric does.
    ``log_spectrum``: the lineage's log-spectral distance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mse: float = Field(default=1.0, ge=0)
    snr: float = Field(default=0.0, ge=0)
    log_spectrum: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _check_any(self) -> Self:
        if not (self.mse or self.snr or self.log_spectrum):
            raise ValueError("at least one weight must be above 0")
        return self


def patch_losses(estimate: Tensor, target: Tensor, weights: PatchLossConfig) -> dict[str, Tensor]:
    """The terms with a weight, of ``[batch, samples]``, and their weighted sum ``total``."""
    power = (estimate - target).square().mean(dim=1)
    terms = {}
    if weights.mse:
        terms["mse"] = power.mean()
    if weights.snr:
        # The floor is the one inside the lineage's SNR.
        terms["snr"] = torch.log10(power + 1e-6).mean()
    if weights.log_spectrum:
        terms["log_spectrum"] = _log_spectral_distance(estimate, target)
    total = sum((getattr(weights, name) * term for name, term in terms.items()), torch.zeros(()))
    return {"total": total, **terms}


def _log_spectral_distance(estimate: Tensor, target: Tensor) -> Tensor:
    """As :func:`overtone.metrics.lineage_lsd`, but for its upper limit."""

    def log_power(signal: Tensor) -> Tensor:
        spectrum = torch.stft(signal, 2048, 512, window=_window(2048), return_complex=True)
        return torch.log(spectrum.abs().square() + 1e-8)

    squares = (log_power(estimate) - log_power(target)).square().mean(dim=-1)
    # The root's slope is infinite at zero.
    return (squares + 1e-6).sqrt().mean()


@lru_cache(maxsize=16)
def _window(length: int) -> Tensor:
    return torch.hann_window(length)


class _Analysis(torch.autograd.Function):
    """Spectra of a signal's frames. Torch's own gradient takes complex transforms, twice the work.

    ``[batch, samples]`` to ``[batch, frames, bins]``; the window is a whole number of hops.
    """

    @staticmethod
    def forward(ctx: Any, signal: Tensor, taper: Tensor, hop: int) -> Tensor:
        ctx.save_for_backward(taper)
        ctx.hop, ctx.samples = hop, signal.shape[-1]
        spectra: Tensor = torch.fft.rfft(signal.unfold(-1, taper.numel(), hop) * taper)
        return spectra

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (taper,) = ctx.saved_tensors
        # The inverse counts every bin but the first and the last twice.
        pull = gradients[0] * _edges(taper.numel(), 1.0, 0.5)
        pieces = torch.fft.irfft(pull, n=taper.numel(), norm="forward") * taper
        return _fold(pieces, ctx.hop, ctx.samples), None, None


class _Synthesis(torch.autograd.Function):
    """Overlap-add of the frames' inverse transforms; the shapes of :class:`_Analysis` reversed."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, taper: Tensor, hop: int) -> Tensor:
        ctx.save_for_backward(taper)
        ctx.hop = hop
        pieces = torch.fft.irfft(spectrum, n=taper.numel()) * taper
        return _fold(pieces, hop, (spectrum.shape[1] - 1) * hop + taper.numel())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (taper,) = ctx.saved_tensors
        window = taper.numel()
        pushed = torch.fft.rfft(gradients[0].unfold(-1, window, ctx.hop) * taper)
        return pushed * _edges(window, 1 / window, 2 / window), None, None


class _Power(torch.autograd.Function):
    """Squared magnitude; torch's own gradient goes through two complex tensors of zeros."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor) -> Tensor:
        ctx.save_for_backward(spectrum)
        squared: Tensor = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
        return squared

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (spectrum,) = ctx.saved_tensors
        # A product with a real tensor would make it complex first: eight times as slow.
        pull = torch.view_as_real(spectrum) * (2 * gradients[0]).unsqueeze(-1)
        return torch.view_as_complex(pull)


@lru_cache(maxsize=16)
def _edges(window: int, edge: float, inner: float) -> Tensor:
    weight = torch.full((window // 2 + 1,), inner)
    weight[0] = weight[-1] = edge
    return weight


def _fold(pieces: Tensor, hop: int, samples: int) -> Tensor:
    """Add ``pieces [batch, frames, window]`` where they belong in ``[batch, samples]``."""
    batch, count, window = pieces.shape
    folds = window // hop
    out = pieces.new_zeros(batch, samples)
    hops = out[:, : (count + folds - 1) * hop].view(batch, count + folds - 1, hop)
    for fold in range(folds):
        hops[:, fold : fold + count] += pieces[:, :, fold * hop : (fold + 1) * hop]
    return out


def frames(signal: Tensor, window: int, hop: int) -> Tensor:
    """Normalised one-sided spectra ``[batch, frames, bins]`` (complex) of ``[batch, samples]``.

    White noise of standard deviation s has bins of mean power s^2, whatever the window, which
    must be even and a whole number of hops.
    """
    taper = _window(window)
    taper = taper / taper.square().sum().sqrt()
    spectra: Tensor = _Analysis.apply(signal, taper, hop)  # type: ignore[no-untyped-call]
    return spectra


def overlap_add(spectrum: Tensor, window: int, hop: int) -> Tensor:
    """Inverse of :func:`frames`: Hann synthesis window, ``[batch, samples]``."""
    taper = _window(window)
    # Squared Hann windows add up to 3/8 of the window over the hop: 1.5 at a quarter.
    scale = taper.square().sum().sqrt() * (hop * 8 / 3) / window
    signal: Tensor = _Synthesis.apply(spectrum, taper * scale, hop)  # type: ignore[no-untyped-call]
    return signal


def power(spectrum: Tensor) -> Tensor:
    """Squared magnitude of a complex tensor."""
    squared: Tensor = _Power.apply(spectrum)  # type: ignore[no-untyped-call]
    return squared


def weighted(values: Tensor, weight: Tensor) -> Tensor:
    """Sums ``[batch, frames]`` of ``values [batch, frames, n]`` by ``weight [batch, n]``."""
    return (values * weight[:, None]).sum(-1)


def band_weight(
    bins: int, sample_rate: int, cutoff_hz: Tensor, bandwidth_hz: Tensor, pivot_hz: float
) -> Tensor:
    """Weights ``[batch, bins]`` over each item's predicted band, adding up to 1."""
    f = torch.linspace(0, sample_rate / 2, bins)[None]
    inside = (f >= CROSSOVER_START * cutoff_hz[:, None]) & (f <= bandwidth_hz[:, None])
    weight = inside / (1 + f / pivot_hz)
    return weight / weight.sum(-1, keepdim=True).clamp_min(1e-9)


def fidelity_distance(
    prediction: Tensor, coherence: Tensor, target: Tensor, weight: Tensor
) -> Tensor:
    """Error energy of the shrunk prediction over each item's predicted band, relative to its own.

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
    """log10 of power, floored where the LSD metric floors it."""
    return (power(spectrum) + POWER_FLOOR).log() / math.log(10)


def signal_distance(
    estimate: Tensor,
    reference: Tensor,
    sample_rate: int,
    cutoff_hz: Tensor,
    bandwidth_hz: Tensor,
    config: LossConfig,
) -> Tensor:
    """Mean log-spectral distance above the cutoff over several resolutions; a scalar."""
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
def _bands(bins: int, sample_rate: int) -> Tensor:
    """Membership ``[bins, bands]`` of bands a sixth of an octave wide, but at least 200 Hz."""
    hz = torch.linspace(0, sample_rate / 2, bins)
    edges = [500.0]
    while edges[-1] < sample_rate / 2:
        edges.append(edges[-1] + max(200.0, edges[-1] * (2 ** (1 / 6) - 1)))
    index = torch.bucketize(hz, torch.tensor(edges))
    return torch.nn.functional.one_hot(index).float()


def band_power_distance(
    estimate: Tensor,
    reference: Tensor,
    sample_rate: int,
    cutoff_hz: Tensor,
    bandwidth_hz: Tensor,
    config: LossConfig,
    window: int = BAND_WINDOW,
) -> Tensor:
    """Mean absolute difference of log10 power, band by band above the cutoff; a scalar."""
    bins = window // 2 + 1
    bands = _bands(bins, sample_rate)
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
    """Raw-prediction losses: L1 of log10 power, and squared error of the compressed spectrum.

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
