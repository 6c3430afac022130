"""Texture for a smooth prediction: its envelope on excitations that the recording itself makes.

A network that predicts bins by regression gives the mean of all that a high band could be: the
envelope is good, what is fine in it is fog. Here the prediction's magnitude, smoothed over a sixth
of an octave, shapes a fixed mixture of excitations (:mod:`overtone.dsp.excitation`) in its place.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.excitation import ExcitationConstants, Excitations
from overtone.dsp.stft import FrameDelay
from overtone.inference.bands import crossover
from overtone.inference.stereo import StereoImage

FloatArray = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

OCTAVES, LEAST_BINS = 1 / 6, 5  # that the prediction's magnitude is smoothed over
# Where the crossover gives a prediction less weight, it is not told from rounding.
LEAST_WEIGHT = 0.1


class Texture:
    """Gives predicted frames the texture of the recording, and leaves their envelope."""

    def __init__(
        self,
        shares: Mapping[str, float],
        constants: ExcitationConstants,
        *,
        sample_rate: int,
        window_samples: int,
        hop_samples: int,
        lookahead_frames: int,
        channels: int,
        cutoff_hz: float,
        seed: int = 0,
    ) -> None:
        hz = np.fft.rfftfreq(window_samples, 1 / sample_rate)
        weight = crossover(hz, cutoff_hz).astype(np.float32)
        self._first = int(np.argmax(weight >= LEAST_WEIGHT)) if weight.any() else hz.size
        self._weight = weight[self._first :]
        at = np.arange(self._first, hz.size)
        half = np.maximum(LEAST_BINS, at * (2 ** (OCTAVES / 2) - 2 ** (-OCTAVES / 2))) // 2
        # Of the sums over bins: the mean around each bin reaches from the one to the other.
        self._low = np.maximum(at - half, self._first).astype(int) - self._first
        self._high = np.minimum(at + half + 1, hz.size).astype(int) - self._first
        self._amplitudes = np.sqrt(np.array(list(shares.values()), np.float32))
        self._noises = [n for n, name in enumerate(shares) if "noise" in name]
        self._excitations = Excitations(
            constants,
            tuple(shares),
            sample_rate=sample_rate,
            window_samples=window_samples,
            hop_samples=hop_samples,
            channels=channels,
            cutoff_hz=cutoff_hz,
            seed=seed,
            first_bin=self._first,
        )
        late = lookahead_frames - (window_samples // hop_samples - 1)
        shape = len(shares), channels, 0, hz.size - self._first
        self._late = FrameDelay(late, shape, 2, np.complex64)
        self._image = None
        if channels == 2:
            self._image = StereoImage(sample_rate, window_samples, hop_samples, cutoff_hz)

    def push(self, spectrum: Spectrum, observed: Spectrum, residual: Spectrum) -> Spectrum:
        """Return the residual that has texture, in place of ``residual``.

        All are ``[channels, frames, bins]``; ``spectrum`` is what came in, the others are of
        ``lookahead_frames`` ago.
        """
        excitation = self._late.push(self._excitations.push(spectrum))
        if self._image is not None:
            self._image.share(observed, [excitation[n] for n in self._noises])
        above = observed[..., self._first :]
        # Not of power: a few loud bins would raise all that is soft around them.
        magnitude = np.abs(above + residual[..., self._first :] / self._weight)
        total = np.zeros((*magnitude.shape[:-1], magnitude.shape[-1] + 1))
        np.cumsum(magnitude, axis=-1, dtype=np.float64, out=total[..., 1:])
        mean = (total[..., self._high] - total[..., self._low]) / (self._high - self._low)
        envelope = np.maximum(0, mean).astype(np.float32)
        textured = np.tensordot(self._amplitudes, excitation, 1)
        made = residual.copy()
        made[..., self._first :] = self._weight * (textured * envelope - above)
        return made
