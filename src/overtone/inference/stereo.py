"""The width of a stereo prediction: as wide above the cutoff as the recording is just below it.

The network predicts each channel by itself. That keeps their balance, and an empty channel empty,
but not what they have in common: the phases of two predictions differ where those of two
recordings of one voice do not. So energy is moved between the mid and the side of the prediction,
half the sum and half the difference of left and right, until they share it as the mid and the side
of the recording do just below the cutoff; together they keep it. (The levels and the coherence of
a band of two channels are what parametric stereo transmits, Breebaart et al. 2005; here they are
taken from the band that is there.)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.excitation import power_of

Spectrum = NDArray[np.complex64]

# The part of the band that shows the width: of the cutoff's frequency, from where to where. It
# ends where filters begin.
BAND = (0.8, 0.95)
# Energies are averaged over this time, falling off exponentially: about a note.
MEMORY_S = 0.3
# Two voices that have nothing in common seem to, over so short a time: the side's share q of the
# energy is known to so many times q (1 - q).
CHANCE = 0.3
# The part of the band, of the cutoff's frequency, that shows what two channels have in common, and
# the time over which that is averaged, falling off exponentially: about a note.
IMAGE_BAND = (0.5, 0.95)
IMAGE_MEMORY_S = 0.3


class StereoWidth:
    """Fits the network's residual of two channels, frame by frame, from the past alone.

    Channels that are the same stay so, and channels that have nothing in common are left alone, as
    far as a short time can tell: what sounds in one only hardly reaches the other.
    """

    def __init__(
        self, sample_rate: int, window_samples: int, hop_samples: int, cutoff_hz: float
    ) -> None:
        frequencies_hz = np.fft.rfftfreq(window_samples, 1 / sample_rate)
        edges_hz = [*(cutoff_hz * np.array(BAND)), cutoff_hz]
        low, high, above = (int(edge) for edge in np.searchsorted(frequencies_hz, edges_hz))
        self._below, self._above = slice(low, high), slice(above, None)
        self._kept = math.exp(-hop_samples / sample_rate / MEMORY_S)
        self._energies = np.zeros(4)

    def fit(self, observed: Spectrum, residual: Spectrum) -> None:
        """Change ``residual [2, frames, bins]``, which is to be added, in place.

        ``observed`` has the frames that it was predicted from, of the same shape.
        """
        # The residual takes away what is above the cutoff, such as mirror images: with that added
        # again, what remains is the prediction.
        left, right = observed[:, :, self._above] + residual[:, :, self._above]
        below = observed[:, :, self._below]
        energies = np.stack(
            [
                _energy(below[0] + below[1]),
                _energy(below[0] - below[1]),
                _energy(left + right),
                _energy(left - right),
            ],
            axis=1,
        )
        gains = self._gains(energies)
        # Nothing leaks into a channel that has just fallen silent.
        gains[(_energy(left) == 0) | (_energy(right) == 0)] = 1
        mid, side = (0.5 * (gains.T - 1)[:, :, None] * [left + right, left - right]).astype(
            np.complex64
        )
        residual[0, :, self._above] += mid + side
        residual[1, :, self._above] += mid - side

    def _gains(self, energies: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factors ``[frames, 2]`` of mid and side, from ``[frames, 4]``: theirs below, and above.

        Where mid or side has nothing to scale, or nothing sounds below, there is nothing to fit.
        """
        gains = np.ones((len(energies), 2))
        for frame, now in enumerate(energies):
            self._energies = self._kept * self._energies + (1 - self._kept) * now
            below, above = self._energies[:2], self._energies[2:]
            if below.any() and above.all():
                shown, found = below[1] / below.sum(), above[1] / above.sum()
                chance = CHANCE * shown * (1 - shown)
                side = min(max(found, shown - chance), shown + chance)
                gains[frame] = np.sqrt(np.array([1 - side, side]) * above.sum() / above)
        return gains


def _energy(bins: Spectrum) -> NDArray[np.float64]:
    return np.asarray(np.sum(bins.real**2 + bins.imag**2, axis=-1, dtype=np.float64))


class StereoImage:
    """What left and right have in common just below the cutoff, for the noise above it.

    Both channels share their noise as far as their kept bands are alike: a voice panned to one
    side stays one voice above the cutoff, and a wide room stays wide.
    """

    def __init__(
        self, sample_rate: int, window_samples: int, hop_samples: int, cutoff_hz: float
    ) -> None:
        hz = np.fft.rfftfreq(window_samples, 1 / sample_rate)
        low, high = np.searchsorted(hz, [part * cutoff_hz for part in IMAGE_BAND])
        self._band = slice(int(low), int(high))
        self._kept = math.exp(-hop_samples / sample_rate / IMAGE_MEMORY_S)
        self._moments = np.zeros(3)

    def share(self, observed: Spectrum, noises: list[Spectrum]) -> None:
        """Change ``noises`` in place; all, and ``observed``, are ``[2, frames, bins]``."""
        left, right = observed[:, :, self._band]
        cross = np.sum(left.real * right.real + left.imag * right.imag, axis=-1)
        moments = np.stack([cross, power_of(left).sum(-1), power_of(right).sum(-1)], axis=1)
        alike = np.zeros(len(moments), np.float32)
        for frame, now in enumerate(moments):
            self._moments = self._kept * self._moments + (1 - self._kept) * now
            cross, a, b = self._moments
            if a > 0 and b > 0:
                alike[frame] = min(1.0, max(-1.0, cross / math.sqrt(a * b)))
        own = np.sqrt(1 - alike**2)
        for noise in noises:
            noise[1] *= own[:, None]
            noise[1] += alike[:, None] * noise[0]
