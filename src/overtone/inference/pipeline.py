"""A recording as a stream of blocks: an offline file is a long stream, and there is one path.

A model gives the residual of a signal at its own rate, whatever its kind. :class:`EnhanceStream`
puts the residual onto a recording of any rate, on the :class:`Route` that its rates ask for. The
recording itself never passes through a network or an STFT, so what lies below the cutoff stays as
it was.

A resampler would roll off below the lower of two Nyquist frequencies, lose the last tenth of the
band there, and wait for blocks of its own. So it is a last resort:

- A recording of a lower rate gets zeros between its samples. That leaves its band whole and mirrors
  it above; the mirror images lie above the cutoff, where the residual replaces everything.
- The model runs at a rate that the output's divides, if one is near enough to its own (44.1 kHz for
  48): to it every frequency is then a little higher, as in training. The residual leaves nothing
  above the output's Nyquist frequency, so every n-th sample is the output's.
- At its own rate the recording takes the bypass around the model. So does, resampled, what has a
  higher rate than the model and leaves at one that must be resampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.bandwidth_model import TransitionBand
from overtone.dsp.resample import Decimator, StreamResampler, resampled_length
from overtone.inference.bands import OutputBandLimit
from overtone.inference.family import Model, ModelInfo

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


@dataclass(frozen=True)
class Route:
    """Which conversions a recording and its residual go through. Rates in Hz.

    ``model_rate`` is the one that the model runs at.
    """

    rate_in: int
    rate_out: int
    model_rate: int

    @classmethod
    def choose(cls, rate_in: int, rate_out: int, info: ModelInfo) -> Self:
        """The route with the least resampling."""
        rate = info.sample_rate // rate_out * rate_out
        near = rate >= info.slowest * info.sample_rate
        return cls(rate_in, rate_out, rate if near else info.sample_rate)

    @property
    def zero_insertion(self) -> int:
        """How many samples stand for one on the way to the model; all but one are zeros."""
        if self.model_rate % self.rate_in == 0:
            return self.model_rate // self.rate_in
        return 2 if self.rate_in != self.rate_out and self.rate_in < self.model_rate else 1

    @property
    def decimation(self) -> int:
        """Every so many samples one at the model's rate is the output's; 0 to resample instead."""
        return 0 if self.model_rate % self.rate_out else self.model_rate // self.rate_out

    @property
    def bypass(self) -> bool:
        """Whether the recording goes around the model, instead of through its rate."""
        if self.rate_in == self.rate_out:
            return self.decimation != 1
        return self.rate_in > self.model_rate and not self.decimation

    def band_limit(self, info: ModelInfo) -> OutputBandLimit | None:
        """Where the output ends; None where a resampler or the model itself says so."""
        if not self.decimation or self.rate_out == info.sample_rate:
            return None
        return OutputBandLimit(info.sample_rate / 2 / self.decimation, self.bypass)

    def to_model(self, channels: int) -> StreamResampler:
        """From the recording to the model."""
        return StreamResampler(
            self.rate_in, self.model_rate, channels, zero_insertion=self.zero_insertion
        )

    def around_model(self, channels: int) -> StreamResampler | None:
        """From the recording to the output, if it goes around the model."""
        return StreamResampler(self.rate_in, self.rate_out, channels) if self.bypass else None

    def to_output(self, channels: int) -> StreamResampler | Decimator:
        """From the model to the output."""
        if self.decimation:
            return Decimator(self.decimation, channels)
        return StreamResampler(self.model_rate, self.rate_out, channels)


class EnhanceStream:
    """A recording ``[channels, n]`` block by block, with what lay above ``cutoff_hz`` filled in.

    Output starts aligned with the input and is exactly ``resampled_length`` samples long.
    ``gain`` brings the recording to the level that the model expects. Steady tones at ``lines_hz``
    are kept, wherever they lie.
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
        transition: TransitionBand = (),
        fidelity: float = 0.0,
        strength_db: float = 0.0,
        lines_hz: tuple[float, ...] = (),
    ) -> None:
        self._rate_in, self._rate_out = rate_in, rate_out
        route = Route.choose(rate_in, rate_out, model.info)
        self._to_model = route.to_model(channels)
        self._around_model = route.around_model(channels)
        self._to_output = route.to_output(channels)
        # To a model that runs at another rate than its own, every frequency is so much higher.
        higher = model.info.sample_rate / route.model_rate
        self._residual = model.residual_stream(
            channels,
            gain,
            {
                "cutoff_hz": higher * cutoff_hz,
                "fidelity": fidelity,
                "strength_db": strength_db,
            },
            # Where the output ends first, the transition band further up has no place in it.
            transition=tuple(
                (higher * hz, down_db) for hz, down_db in transition if hz < rate_out / 2
            ),
            limit=route.band_limit(model.info),
            lines_hz=tuple(higher * hz for hz in lines_hz),
        )
        self._waiting, self._added = Fifo(channels), Fifo(channels)
        self._taken = self._given = 0

    def push(self, block: FloatArray) -> FloatArray:
        """What of the output is known after ``block``."""
        self._taken += block.shape[1]
        at_model_rate = self._to_model.push(block)
        self._waiting.push(self._around_model.push(block) if self._around_model else at_model_rate)
        return self._count(self._merge(self._residual.push(at_model_rate), last=False))

    def flush(self) -> FloatArray:
        """The rest; the stream is over."""
        at_model_rate = self._to_model.flush()
        self._waiting.push(self._around_model.flush() if self._around_model else at_model_rate)
        residual = [self._residual.push(at_model_rate), self._residual.flush()]
        out = self._merge(np.concatenate(residual, axis=1), last=True)
        wanted = resampled_length(self._taken, self._rate_in, self._rate_out) - self._given
        # Two conversions round twice: at most a sample is missing or too many.
        return np.pad(out[:, :wanted], ((0, 0), (0, max(0, wanted - out.shape[1]))))

    def _merge(self, residual: FloatArray, *, last: bool) -> FloatArray:
        if self._around_model is None:
            return self._convert(self._waiting.pop(residual.shape[1]) + residual, last=last)
        self._added.push(self._convert(residual, last=last))
        ready = min(len(self._waiting), len(self._added))
        out = self._waiting.pop(ready) + self._added.pop(ready)
        # A rounded-off sample of residual must not cost one of the recording.
        rest = self._waiting.pop(len(self._waiting) if last else 0)
        return np.concatenate([out, rest], axis=1)

    def _convert(self, block: FloatArray, *, last: bool) -> FloatArray:
        out = self._to_output.push(block)
        return np.concatenate([out, self._to_output.flush()], axis=1) if last else out

    def _count(self, out: FloatArray) -> FloatArray:
        self._given += out.shape[1]
        return out
