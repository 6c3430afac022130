"""The residual of a spectral extender: frames, network, overlap-add."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from overtone.inference.model import SpectralModel

FloatArray = NDArray[np.float32]

# Frames handed to the network at once: enough to be efficient, few enough to stay small.
MAX_FRAMES = 256


class FrameResidual:
    """The residual of a signal at the model's rate, aligned with it and as long.

    ``gain`` brings the signal to the level that the network expects, and is taken out again.
    """

    def __init__(
        self,
        model: SpectralModel,
        channels: int,
        cutoff_hz: float,
        gain: float,
        fidelity: float = 0.0,
    ) -> None:
        info = model.info
        self._model, self._channels = model, channels
        self._cutoff_hz, self._fidelity = cutoff_hz, fidelity
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
        residual, self._state = self._model.run(
            spectrum, self._cutoff_hz, self._state, self._fidelity
        )
        pieces = np.fft.irfft(residual, n=window).astype(np.float32, copy=False)
        pieces = pieces.reshape(channels, count, folds, hop)
        pieces *= self._synthesis
        out = np.zeros((channels, count + folds - 1, hop), np.float32)
        out[:, : folds - 1] = self._tail.reshape(channels, folds - 1, hop)
        for fold in range(folds):
            out[:, fold : fold + count] += pieces[:, :, fold]
        self._tail = out[:, count:].reshape(channels, -1)
        return out[:, :count].reshape(channels, -1)
