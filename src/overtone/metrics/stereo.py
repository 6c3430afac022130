"""How wide a stereo recording sounds: the energy of its side relative to that of its mid."""

import math

import numpy as np
from numpy.typing import ArrayLike

from overtone.metrics.signals import Channel, checked_channels
from overtone.metrics.spectral import band_bins, power, spectrum_blocks

LIMIT_DB = 60.0
"""A side or a mid that is softer than the other by more than this is none."""


def side_mid_db(
    reference: ArrayLike, estimate: ArrayLike, sample_rate: int, cutoff_hz: float
) -> float:
    """Return by how many dB the ratio of side to mid above ``cutoff_hz`` differs; 0 is the best.

    Mid and side are half the sum and half the difference of left and right. Their energies over
    the whole recording come from the STFT of :func:`~overtone.metrics.lsd`, over the bins at or
    above ``cutoff_hz``. Ratios are kept within 60 dB of 0. ``nan`` unless there are two channels,
    where the reference has no side there (it is 60 dB or more below the mid), or where either
    recording has nothing at all there.
    """
    y, x = checked_channels(reference, estimate)
    band = band_bins(sample_rate, cutoff_hz, math.inf)
    if not is_stereo(y):
        return math.nan
    wanted, found = (_ratio_db(left, right, band) for left, right in (y, x))
    return abs(found - wanted) if wanted > -LIMIT_DB else math.nan


def is_stereo(samples: ArrayLike) -> bool:
    """Whether there are exactly two channels, ``[2, samples]``."""
    return np.ndim(samples) == 2 and len(np.asarray(samples)) == 2


def _ratio_db(left: Channel, right: Channel, band: slice) -> float:
    side = mid = 0.0
    for block_l, block_r in zip(spectrum_blocks(left), spectrum_blocks(right), strict=True):
        side += float(power(block_l[:, band] - block_r[:, band]).sum())
        mid += float(power(block_l[:, band] + block_r[:, band]).sum())
    if side == mid == 0:
        return math.nan
    limit = 10 ** (LIMIT_DB / 10)
    return 10 * math.log10(min(max(side, mid / limit), mid * limit) / mid) if mid else LIMIT_DB
