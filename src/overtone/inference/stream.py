"""A recording as a stream of blocks: an offline file is a long stream, and there is one path.

:class:`ResidualStream` runs the model at its own rate: frames, network, overlap-add.
:class:`EnhanceStream` puts the residual onto a recording of any rate. The recording itself never
passes through an STFT, so what lies below the cutoff stays as it was:

- output at the recording's own rate: its samples plus the resampled residual;
- output at another rate: the resampled recording plus the residual. A resampler rolls off below
  the lower Nyquist frequency, and would lose the last tenth of a low-rate file's band. So
  zeros are put between the samples first, which leaves that band whole and mirrors it above; the
  mirror images lie above the cutoff, where the residual replaces everything. Rates that divide
  the model's need no resampler at all then, and none of its delay.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overtone.audio.resample import StreamResampler, resampled_length
from overtone.inference.model import Model

FloatArray = NDArray[np.float32]

# Frames handed to the network at once: enough to be efficient, few enough to stay small.
MAX_FRAMES = 256


class Fifo:
    """Samples ``[channels, n]`` that wait for their counterpart."""

    def __init__(self, channels: int) -> None:
        self._held = np.zeros((channels, 0), np.float32)

    def push(self, block: FloatArray) -> None:
        """Append ``block``."""
        self._held = np.concatenate([self._held, block], axis=1)

    def pop(self, count: int) -> FloatArray:
        """Take the oldest ``count`` samples, or as many as there are."""
        out, self._held = self._held[:, :count], self._held[:, count:]
        return out


class ResidualStream:
    """The residual of a signal at the model's rate, aligned with it and as long.

    ``gain`` brings the signal to the level that the network expects, and is taken out again.
    """

    def __init__(self, model: Model, channels: int, cutoff_hz: float, gain: float) -> None:
        info = model.info
        self._model, self._channels, self._cutoff_hz = model, channels, cutoff_hz
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
        residual, self._state = self._model.run(spectrum, self._cutoff_hz, self._state)
        pieces = np.fft.irfft(residual, n=window).astype(np.float32, copy=False)
        pieces = pieces.reshape(channels, count, folds, hop)
        pieces *= self._synthesis
        out = np.zeros((channels, count + folds - 1, hop), np.float32)
        out[:, : folds - 1] = self._tail.reshape(channels, folds - 1, hop)
        for fold in range(folds):
            out[:, fold : fold + count] += pieces[:, :, fold]
        self._tail = out[:, count:].reshape(channels, -1)
        return out[:, :count].reshape(channels, -1)


class EnhanceStream:
    """A recording ``[channels, n]`` block by block, with what lay above ``cutoff_hz`` filled in.

    Output starts aligned with the input and is exactly ``resampled_length`` samples long.
    ``gain``: see :class:`ResidualStream`.
    """

    def __init__(
        self,
        model: Model,
        rate_in: int,
        rate_out: int,
        channels: int,
        cutoff_hz: float,
        gain: float,
    ) -> None:
        rate = model.info.sample_rate
        self._rate_in, self._rate_out = rate_in, rate_out
        self._keeps_rate = rate_in == rate_out
        # See the module's text on why zeros are stuffed.
        self._stuffing = stuffing(rate_in, rate_out, rate)
        self._up = StreamResampler(self._stuffing * rate_in, rate, channels)
        self._residual = ResidualStream(model, channels, cutoff_hz, gain)
        self._down = StreamResampler(rate, rate_out, channels)
        self._waiting = Fifo(channels)
        self._channels = channels
        self._taken = self._given = 0

    def push(self, block: FloatArray) -> FloatArray:
        """What of the output is known after ``block``."""
        self._taken += block.shape[1]
        at_model_rate = self._up.push(self._stuff(block))
        self._waiting.push(block if self._keeps_rate else at_model_rate)
        return self._count(self._merge(self._residual.push(at_model_rate), last=False))

    def flush(self) -> FloatArray:
        """The rest; the stream is over."""
        at_model_rate = self._up.flush()
        if not self._keeps_rate:
            self._waiting.push(at_model_rate)
        residual = [self._residual.push(at_model_rate), self._residual.flush()]
        out = self._merge(np.concatenate(residual, axis=1), last=True)
        wanted = resampled_length(self._taken, self._rate_in, self._rate_out) - self._given
        # Two conversions round twice: at most a sample is missing or too many.
        return np.pad(out[:, :wanted], ((0, 0), (0, max(0, wanted - out.shape[1]))))

    def _stuff(self, block: FloatArray) -> FloatArray:
        if self._stuffing == 1:
            return block
        stuffed = np.zeros((self._channels, self._stuffing * block.shape[1]), np.float32)
        stuffed[:, :: self._stuffing] = self._stuffing * block
        return stuffed

    def _merge(self, residual: FloatArray, *, last: bool) -> FloatArray:
        if self._keeps_rate:
            added = self._convert(residual, last=last)
            kept = self._waiting.pop(added.shape[1])
            if last:  # a rounded-off sample of residual must not cost one of the recording
                rest = self._waiting.pop(self._taken)
                return np.concatenate([kept + added[:, : kept.shape[1]], rest], axis=1)
            return kept + added
        return self._convert(self._waiting.pop(residual.shape[1]) + residual, last=last)

    def _convert(self, block: FloatArray, *, last: bool) -> FloatArray:
        out = self._down.push(block)
        return np.concatenate([out, self._down.flush()], axis=1) if last else out

    def _count(self, out: FloatArray) -> FloatArray:
        self._given += out.shape[1]
        return out


def stuffing(rate_in: int, rate_out: int, model_rate: int) -> int:
    """How many samples stand for one on the way to the model; all but one are zeros."""
    if model_rate % rate_in == 0:
        return model_rate // rate_in
    return 2 if rate_in != rate_out and rate_in < model_rate else 1
