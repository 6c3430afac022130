"""The width of a stereo prediction: no wider above the cutoff than the recording is below it.

The network predicts each channel by itself. That keeps their balance, and an empty channel empty,
but not what they have in common: the phases of two predictions differ where those of two
recordings of one voice do not, so the top comes out too wide. Here its side, half the difference
of left and right, is made softer until its energy relative to the mid is that just below the
cutoff. It is never made louder: tops are as a rule narrower than what lies below them, and lossy
codecs see to it. (The levels and the coherence of a band of two channels are what parametric
stereo transmits, Breebaart et al. 2005; here they are taken from the band that is there.)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from overtone.inference.info import SpectralInfo

Spectrum = NDArray[np.complex64]

# The part of the band that shows the width: of the cutoff's frequency, from where to where. It
# ends where filters begin.
BAND = (0.8, 0.95)
# Energies are averaged over this time, falling off exponentially: about a note.
MEMORY_S = 0.3


class StereoWidth:
    """Narrows the network's residual of two channels, frame by frame, from the past alone.

    Channels that are the same stay so, and channels that have nothing in common are left alone:
    what sounds in one only does not reach the other.
    """

    def __init__(self, info: SpectralInfo, cutoff_hz: float) -> None:
        frequencies_hz = np.fft.rfftfreq(info.window_samples, 1 / info.sample_rate)
        low, high, top = np.searchsorted(frequencies_hz, [*(cutoff_hz * np.array(BAND)), cutoff_hz])
        self._below, self._above = slice(int(low), int(high)), slice(int(top), info.bins)
        self._kept = math.exp(-info.hop_samples / info.sample_rate / MEMORY_S)
        self._energies = np.zeros(4)
        # The network's frames come late by its lookahead.
        self._late = np.zeros((2, info.lookahead_frames, info.bins), np.complex64)

    def narrow(self, spectrum: Spectrum, residual: Spectrum) -> None:
        """Change ``residual [2, frames, bins]``, which is to be added, in place.

        ``spectrum`` has the frames that the network got for it, of the same shape.
        """
        late = np.concatenate([self._late, spectrum], axis=1)
        count = spectrum.shape[1]
        self._late = late[:, count:].copy()
        observed = late[:, :count]
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
        # Nothing leaks into a channel that has just fallen silent.
        both = (_energy(left) > 0) & (_energy(right) > 0)
        excess = np.where(both, 1 - self._gains(energies), 0.0)
        change = (0.5 * excess[:, None] * (left - right)).astype(np.complex64)
        residual[0, :, self._above] -= change
        residual[1, :, self._above] += change

    def _gains(self, energies: NDArray[np.float64]) -> NDArray[np.float64]:
        """The side's factor in each frame, from ``[frames, 4]``: mid and side below, and above."""
        gains = np.ones(len(energies))
        for frame, now in enumerate(energies):
            self._energies = self._kept * self._energies + (1 - self._kept) * now
            mid_below, side_below, mid, side = self._energies
            # Products, so that equal energies give exactly 1.
            wanted, found = side_below * mid, mid_below * side
            if wanted < found:
                gains[frame] = math.sqrt(wanted / found)
        return gains


def _energy(bins: Spectrum) -> NDArray[np.float64]:
    return np.asarray(np.sum(bins.real**2 + bins.imag**2, axis=-1, dtype=np.float64))
