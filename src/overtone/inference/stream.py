"""A recording as a stream of blocks: an offline file is a long stream, and there is one path.

A model gives the residual of a signal at its own rate, whatever its kind. :class:`EnhanceStream`
puts the residual onto a recording of any rate. The recording itself never passes through a network
or an STFT, so what lies below the cutoff stays as it was:

- output at the recording's own rate, or a recording of a higher rate than the model's: the samples
  (resampled) plus the resampled residual;
- otherwise: the recording resampled to the model's rate plus the residual, resampled. A resampler
  rolls off below the lower Nyquist frequency, and would lose the last tenth of a low-rate file's
  band. So zeros are put between the samples first, which leaves that band whole and mirrors it
  above; the mirror images lie above the cutoff, where the residual replaces everything. Rates that
  divide the model's need no resampler at all then, and none of its delay.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overtone.audio.cutoff import Slope
from overtone.audio.resample import StreamResampler, resampled_length
from overtone.inference.model import Model

FloatArray = NDArray[np.float32]


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

    def __len__(self) -> int:
        return self._held.shape[1]


class EnhanceStream:
    """A recording ``[channels, n]`` block by block, with what lay above ``cutoff_hz`` filled in.

    Output starts aligned with the input and is exactly ``resampled_length`` samples long.
    ``gain`` brings the recording to the level that the model expects.
    """

    def __init__(
        self,
        model: Model,
        rate_in: int,
        rate_out: int,
        channels: int,
        cutoff_hz: float,
        gain: float,
        *,
        slope: Slope = (),
        fidelity: float = 0.0,
    ) -> None:
        rate = model.info.sample_rate
        self._rate_in, self._rate_out = rate_in, rate_out
        # See the module's text on which recordings go past the model, and why zeros are stuffed.
        self._past = (
            StreamResampler(rate_in, rate_out, channels)
            if goes_past(rate_in, rate_out, rate)
            else None
        )
        self._stuffing = stuffing(rate_in, rate_out, rate)
        self._up = StreamResampler(self._stuffing * rate_in, rate, channels)
        self._residual = model.residual_stream(
            channels, cutoff_hz, gain, slope=slope, fidelity=fidelity
        )
        self._down = StreamResampler(rate, rate_out, channels)
        self._waiting, self._added = Fifo(channels), Fifo(channels)
        self._channels = channels
        self._taken = self._given = 0

    def push(self, block: FloatArray) -> FloatArray:
        """What of the output is known after ``block``."""
        self._taken += block.shape[1]
        at_model_rate = self._up.push(self._stuff(block))
        self._waiting.push(self._past.push(block) if self._past is not None else at_model_rate)
        return self._count(self._merge(self._residual.push(at_model_rate), last=False))

    def flush(self) -> FloatArray:
        """The rest; the stream is over."""
        at_model_rate = self._up.flush()
        self._waiting.push(self._past.flush() if self._past is not None else at_model_rate)
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
        if self._past is None:
            return self._convert(self._waiting.pop(residual.shape[1]) + residual, last=last)
        self._added.push(self._convert(residual, last=last))
        ready = min(len(self._waiting), len(self._added))
        out = self._waiting.pop(ready) + self._added.pop(ready)
        # A rounded-off sample of residual must not cost one of the recording.
        rest = self._waiting.pop(len(self._waiting) if last else 0)
        return np.concatenate([out, rest], axis=1)

    def _convert(self, block: FloatArray, *, last: bool) -> FloatArray:
        out = self._down.push(block)
        return np.concatenate([out, self._down.flush()], axis=1) if last else out

    def _count(self, out: FloatArray) -> FloatArray:
        self._given += out.shape[1]
        return out


def goes_past(rate_in: int, rate_out: int, model_rate: int) -> bool:
    """Whether the residual alone passes through the model's rate, and the recording does not."""
    return rate_in == rate_out or rate_in > model_rate


def stuffing(rate_in: int, rate_out: int, model_rate: int) -> int:
    """How many samples stand for one on the way to the model; all but one are zeros."""
    if model_rate % rate_in == 0:
        return model_rate // rate_in
    return 2 if rate_in != rate_out and rate_in < model_rate else 1
