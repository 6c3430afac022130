"""The residual of a spectral extender: frames, network, overlap-add."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from overtone.audio.cutoff import Slope
from overtone.inference.info import SpectralInfo
from overtone.inference.width import StereoWidth

if TYPE_CHECKING:
    from overtone.inference.model import SpectralModel

FloatArray = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

# Frames handed to the network at once: enough to be efficient, few enough to stay small.
MAX_FRAMES = 256
# A slope's lifting sets in over the last part of the band below the cutoff, as the crossover does.
SLOPE_START = 0.97


class FrameResidual:
    """The residual of a signal at the model's rate, aligned with it and as long.

    ``gain`` brings the signal to the level that the network expects, and is taken out again.
    Channels are predicted each by itself; of exactly two, which are taken for left and right, the
    prediction is then made as wide as they are just below the cutoff.
    """

    def __init__(
        self,
        model: SpectralModel,
        channels: int,
        cutoff_hz: float,
        gain: float,
        *,
        slope: Slope = (),
        fidelity: float = 0.0,
    ) -> None:
        info = model.info
        self._model, self._channels = model, channels
        self._slope = SlopeLift(info, channels, cutoff_hz, slope)
        self._cutoff_hz = slope[-1][0] if slope else cutoff_hz
        self._width = StereoWidth(info, self._cutoff_hz) if channels == 2 else None
        self._fidelity = fidelity
        self._window_samples, self._hop = info.window_samples, info.hop_samples
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(info.window_samples) / info.window_samples)
        # White noise of standard deviation s has bins of mean power s^2, as in training.
        norm = np.sqrt(np.sum(hann**2))
        overlap = np.sum(hann.reshape(-1, info.hop_samples)[:, 0] ** 2)
        # A window is a few hops long; both are applied hop by hop, ``[folds, hop]``.
        hops = hann.reshape(-1, info.hop_samples).astype(np.float32)
        self._analysis = hops * np.float32(gain / norm)
        self._synthesis = hops * np.float32(norm / (overlap * gain))
        past = info.window_samples - info.hop_samples
        self._input = np.zeros((channels, past), np.float32)
        self._tail = np.zeros((channels, past), np.float32)
        self._state = model.initial_state(channels)
        # The first frames come out before time zero: the window's past and the lookahead.
        self._early = past + info.lookahead_frames * info.hop_samples
        self._taken = self._given = 0

    def push(self, block: FloatArray) -> FloatArray:
        """What of the residual is known after ``block [channels, n]``."""
        self._taken += block.shape[1]
        out = self._advance(block)
        early = min(self._early, out.shape[1])
        self._early -= early
        out = out[:, early:]
        self._given += out.shape[1]
        return out

    def flush(self) -> FloatArray:
        """The rest; the stream is over."""
        info = self._model.info
        wanted = self._taken - self._given
        zeros = info.latency_samples + info.hop_samples
        out = self._advance(np.zeros((self._channels, zeros), np.float32))
        return out[:, self._early :][:, :wanted]

    def _advance(self, block: FloatArray) -> FloatArray:
        held = np.concatenate([self._input, block], axis=1)
        count = max(0, (held.shape[1] - self._window_samples) // self._hop + 1)
        pieces = [
            self._frames(held, first, min(first + MAX_FRAMES, count))
            for first in range(0, count, MAX_FRAMES)
        ]
        self._input = held[:, count * self._hop :].copy()
        return np.concatenate([np.zeros((self._channels, 0), np.float32), *pieces], axis=1)

    def _frames(self, held: FloatArray, first: int, last: int) -> FloatArray:
        """Analyse, run and overlap-add frames ``first`` to ``last`` of ``held``."""
        window, hop, folds = self._window_samples, self._hop, len(self._analysis)
        channels, count = self._channels, last - first
        span = held[:, first * hop : (last - 1) * hop + window].reshape(channels, -1, hop)
        frames = np.empty((channels, count, folds, hop), np.float32)
        for fold in range(folds):
            np.multiply(span[:, fold : fold + count], self._analysis[fold], out=frames[:, :, fold])
        # numpy before 2 computes in double precision.
        double = np.fft.rfft(frames.reshape(channels, count, window))
        spectrum = double.astype(np.complex64, copy=False)
        lifted, added = self._slope(spectrum)
        residual, self._state = self._model.run(
            lifted, self._cutoff_hz, self._state, self._fidelity
        )
        if self._width is not None:
            self._width.fit(lifted, residual)
        residual += added
        pieces = np.fft.irfft(residual, n=window).astype(np.float32, copy=False)
        pieces = pieces.reshape(channels, count, folds, hop)
        pieces *= self._synthesis
        out = np.zeros((channels, count + folds - 1, hop), np.float32)
        out[:, : folds - 1] = self._tail.reshape(channels, folds - 1, hop)
        for fold in range(folds):
            out[:, fold : fold + count] += pieces[:, :, fold]
        self._tail = out[:, count:].reshape(channels, -1)
        return out[:, :count].reshape(channels, -1)


class SlopeLift:
    """Lifts a low-pass's slope, bin by bin of each frame, back to the level of the band below.

    What lies on the slope is the recording itself, softer: lifted, it comes closer than any
    prediction. The network then is told that the band ends where the slope's use ends.
    """

    def __init__(self, info: SpectralInfo, channels: int, cutoff_hz: float, slope: Slope) -> None:
        frequencies_hz = np.fft.rfftfreq(info.window_samples, 1 / info.sample_rate)
        hz, down_db = np.array([(SLOPE_START * cutoff_hz, 0.0), *slope]).T
        gain = 10 ** (np.interp(frequencies_hz, hz, down_db, right=0.0) / 20)
        bins = np.flatnonzero(gain > 1)
        self._bins = slice(bins[0], bins[-1] + 1) if bins.size else slice(0, 0)
        self._added = (gain[self._bins] - 1).astype(np.float32)
        # The network's frames come late by its lookahead.
        shape = (channels, info.lookahead_frames, self._added.size)
        self._late = np.zeros(shape, np.complex64)

    def __call__(self, spectrum: Spectrum) -> tuple[Spectrum, Spectrum]:
        """Frames ``[channels, frames, bins]`` lifted, and what that adds to the network's."""
        added = np.zeros_like(spectrum)
        if not self._added.size:
            return spectrum, added
        soft = spectrum[:, :, self._bins]
        late = np.concatenate([self._late, soft], axis=1)
        count = spectrum.shape[1]
        self._late = late[:, count:].copy()
        added[:, :, self._bins] = late[:, :count] * self._added
        lifted = spectrum.copy()
        lifted[:, :, self._bins] += soft * self._added
        return lifted, added
