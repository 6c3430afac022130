"""Ratios of signal to error in time: SNR, SI-SDR, and the SNR of Kuleshov's protocol."""

import math

import numpy as np
from numpy.typing import ArrayLike

from overtone.metrics.signals import Channel, Floats, as_float64, channel_mean, mean, sample_blocks

KULESHOV_PATCH_SAMPLES = 8192
KULESHOV_STRIDE_SAMPLES = 4096
# An error this far below the signal is as_float64 rounding, not a difference between recordings.
_ROUNDING = 1e-28


def snr_db(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Return the signal-to-noise ratio in dB over the whole signal.

    ``10 log10(sum y^2 / sum (y - x)^2)`` for reference y and estimate x.
    """
    return channel_mean(_snr, reference, estimate)


def si_sdr_db(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Return the scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019).

    The estimate is compared with the reference scaled to fit it best; means are not removed.
    """
    return channel_mean(_si_sdr, reference, estimate)


def kuleshov_snr_db(
    reference: ArrayLike,
    estimate: ArrayLike,
    *,
    patch_samples: int = KULESHOV_PATCH_SAMPLES,
    stride_samples: int = KULESHOV_STRIDE_SAMPLES,
) -> float:
    """Return the SNR in dB as AudioUNet and TFiLM compute it: the mean over patches.

    1e-6 is added inside the mean square of the error, which caps quiet patches. What is left
    after the last whole patch is dropped; a signal shorter than a patch is one patch. Patches
    whose reference is silent are left out.
    """

    def snr(y: Channel, x: Channel) -> float:
        starts = range(0, max(y.size - patch_samples, 0) + 1, stride_samples)
        patches = (slice(start, start + patch_samples) for start in starts)
        return mean(
            _kuleshov_patch_snr(as_float64(y[patch]), as_float64(x[patch])) for patch in patches
        )

    return channel_mean(snr, reference, estimate)


def _ratio_db(signal: float, noise: float) -> float:
    if signal <= 0 or noise <= _ROUNDING * signal:
        return math.nan
    return 10 * math.log10(signal / noise)


def _snr(y: Channel, x: Channel) -> float:
    signal = noise = 0.0
    for block_y, block_x in sample_blocks(y, x):
        error = block_y - block_x
        signal += float(block_y @ block_y)
        noise += float(error @ error)
    return _ratio_db(signal, noise)


def _si_sdr(y: Channel, x: Channel) -> float:
    energy = product = 0.0
    for block_y, block_x in sample_blocks(y, x):
        energy += float(block_y @ block_y)
        product += float(block_y @ block_x)
    if energy == 0:
        return math.nan
    scale, distortion = product / energy, 0.0
    for block_y, block_x in sample_blocks(y, x):
        error = scale * block_y - block_x
        distortion += float(error @ error)
    return _ratio_db(scale**2 * energy, distortion)


def _kuleshov_patch_snr(y: Floats, x: Floats) -> float:
    return _ratio_db(float(np.mean(y**2)), float(np.mean((y - x) ** 2)) + 1e-6)
