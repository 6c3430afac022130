"""The excitations in torch: the twin of :mod:`overtone.dsp.excitation`, for batches of crops.

Whole crops at once, without gradients: nothing here is learned.
"""

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from overtone.dsp.excitation import COPIES, ExcitationConstants, copy_sources, dispersion
from overtone.models.extender import CROSSOVER_START, VISIBLE_END
from overtone.models.source_filter import SourceFilterConfig
from overtone.models.stft import frames, overlap_add, power
from overtone.training.device import wide

# What new models are made with. Sharp pulses in plain breath are nearer to recordings in harmonics
# and LSD than both at power 2; squared copies, in grain and LSD than copies as they are; dispersed
# pulses, in crest and pulses above low cutoffs than undispersed ones; waves at power 1.5, in grain
# than waves as they are.
CONSTANTS = ExcitationConstants(
    crossover_start=CROSSOVER_START,
    pulse_power=4,
    noise_power=1,
    dispersion_ms=3.0,
    copy_power=2,
    wave_power=1.5,
)
# Keeps the running level above that of a recording's last bit.
LEVEL_FLOOR = 1e-9


@lru_cache(maxsize=8)
def _means(bins: int, width: int, device: torch.device) -> Tensor:
    at = torch.arange(bins, device=device)
    near = ((at[:, None] - at).abs() <= width // 2).float()
    return near / near.sum(0)


def local_mean(values: Tensor, width: int) -> Tensor:
    """Return the mean of ``[..., bins]`` over ``width`` bins around each, fewer at either end."""
    return values @ _means(values.shape[-1], width, values.device)


def trailing_mean(samples: Tensor, count: int) -> Tensor:
    """Return the mean of the last ``count`` samples of ``[batch, n]``, zeros before the first."""
    total = F.pad(wide(samples).cumsum(1), (count, 0))
    return ((total[:, count:] - total[:, :-count]) / count).float().to(samples.device)


def running_level(spectrum: Tensor, cutoff_hz: Tensor, config: SourceFilterConfig) -> Tensor:
    """Return the mean energy of visible bins over ``level_frames``, ``[batch, frames]``."""
    hz = _frequencies(config, spectrum.device)
    visible = (hz <= VISIBLE_END * cutoff_hz[:, None]).float()[:, None]
    energy = (power(spectrum) * visible).sum(-1)
    total = F.pad(wide(energy).cumsum(1), (1, 0))
    at = torch.arange(energy.shape[1], device=total.device)
    first = (at + 1 - config.level_frames).clamp(min=0)
    mean = (total[:, 1:] - total[:, first]) / (at + 1 - first)
    return mean.float().to(energy.device) + LEVEL_FLOOR


@torch.no_grad()
def excitations(
    spectrum: Tensor,
    cutoff_hz: Tensor,
    config: SourceFilterConfig,
    constants: ExcitationConstants,
) -> list[Tensor]:
    """Return each of ``config.excitations`` for ``spectrum [batch, frames, bins]``, of its shape.

    The noise is drawn anew by torch's generator.
    """
    c, window, hop = constants, config.window_samples, config.hop_samples
    hz = _frequencies(config, spectrum.device)
    edge_hz = c.crossover_start * cutoff_hz[:, None]

    def white(limit_hz: Tensor) -> Tensor:
        kept = spectrum * ((hz > c.lowest_hz) & (hz <= limit_hz)).float()[:, None]
        return kept * (local_mean(power(kept), c.whitening_bins) + c.whitening_floor).rsqrt()

    def raised(wave: Tensor) -> Tensor:
        spectra = frames(wave, window, hop)
        return spectra * power(spectra) ** ((c.wave_power - 1) / 2)

    def flat(spectra: Tensor) -> Tensor:
        mean = local_mean(power(spectra), c.whitening_bins)
        both = 0.5 * (mean + F.pad(mean, (0, 0, 1, 0))[:, :-1])
        return spectra * (both + c.flattening_floor).rsqrt()

    wave = overlap_add(white(edge_hz.clamp(max=c.highest_hz)), window, hop).abs()
    swell = trailing_mean(wave, c.fast_samples)
    swell = swell / (trailing_mean(wave, c.slow_samples) + c.swell_floor)
    noise = (torch.rand_like(wave) - 0.5) * math.sqrt(12)
    late = _dispersion(config, c).to(hz.device)
    found = {
        "pulses": flat(raised(wave * swell**c.pulse_power)) * late,
        "modulated_noise": flat(raised(noise * swell**c.noise_power)),
        # The power of noise is distributed exponentially.
        "noise": raised(noise) / math.sqrt(math.gamma(1 + c.wave_power)),
    }
    if any(name in COPIES for name in config.excitations):
        kept = white(edge_hz)
        if c.copy_power > 1:
            before = local_mean(power(kept), c.whitening_bins)
            kept = kept * power(kept) ** ((c.copy_power - 1) / 2)
            after = local_mean(power(kept), c.whitening_bins)
            floor = c.flattening_floor
            kept = kept * ((before + floor) / (after + floor)).sqrt()
        found |= {name: _moved(kept, edge_hz, config, c, name == "mirror") for name in COPIES}
    return [found[name] for name in config.excitations]


def _moved(
    kept: Tensor,
    edge_hz: Tensor,
    config: SourceFilterConfig,
    constants: ExcitationConstants,
    mirror: bool,
) -> Tensor:
    hz = np.fft.rfftfreq(config.window_samples, 1 / config.sample_rate)
    ends = np.searchsorted(hz, edge_hz[:, 0].cpu().numpy(), side="right")
    maps = [copy_sources(config.bins, int(end), constants, mirror=mirror) for end in ends]
    source, conjugate = (
        torch.from_numpy(np.stack(part)).to(kept.device) for part in zip(*maps, strict=True)
    )
    moved = kept.gather(2, source[:, None].expand(-1, kept.shape[1], -1))
    return torch.where(conjugate[:, None], moved.conj().resolve_conj(), moved)


@lru_cache(maxsize=8)
def _dispersion(config: SourceFilterConfig, constants: ExcitationConstants) -> Tensor:
    hz = np.fft.rfftfreq(config.window_samples, 1 / config.sample_rate)
    return torch.from_numpy(dispersion(hz, constants))


@lru_cache(maxsize=8)
def _frequencies(config: SourceFilterConfig, device: torch.device) -> Tensor:
    step_hz = config.sample_rate / config.window_samples
    return torch.arange(config.bins, device=device) * step_hz
