"""Streams that are enhanced while they last: :class:`StreamEnhancer`.

Offline, a recording is analysed before its first output sample. A live stream cannot wait, so here
the cutoff and the level are *given*, or *assumed*, or the start of the stream is analysed:

- given: ``cutoff_hz`` and ``level_dbfs``, or the whole plan that ``Enhancer.plan`` made;
- assumed: a stream of a low rate ends at its Nyquist frequency, and sounds at the level of speech
  in telephony (ITU-T P.56 active level -26 dBov);
- analysed: the first ``analysis_s`` seconds of sound are held back, both are found in them as
  offline, and then the output catches up. Where the bandwidth changes later, the stream follows:
  at once where it widens, after a second where it narrows.

With one plan, the output of any pattern of blocks is the offline output.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import soxr
from numpy.typing import ArrayLike, NDArray

from overtone.dsp.bandwidth import CutoffEstimate
from overtone.dsp.resample import QUALITY, resampled_length
from overtone.errors import InvalidInputError
from overtone.inference.checks import MAX_CHANNELS, as_channels, as_number, check_cutoff, whole_rate
from overtone.inference.enhancer import Enhancer
from overtone.inference.family import ModelInfo
from overtone.inference.model import DEFAULT_MODEL
from overtone.inference.pipeline import Fifo, Route
from overtone.inference.planning import (
    ANALYSIS_S,
    BLOCK_S,
    SILENT,
    Plan,
    default_output_rate,
    extension,
    has_low_rate,
    is_audible,
    plan_recording,
    split,
)
from overtone.inference.switching import Stream
from overtone.inference.tracking import TrackingStream, tracking_delay

FloatArray = NDArray[np.float32]

SPEECH_LEVEL_DBFS = -26.0
# A stream that stays silent is not analysed for longer than this many times ``analysis_s``.
ANALYSIS_LIMIT = 4.0
# The resamplers' delay is measured over this much sound, in steps of so many samples.
MEASURED_S = 1.0
STEP_SAMPLES = 8


class StreamEnhancer:
    """Enhances a stream block by block, with a fixed delay of :attr:`latency_samples`.

    Args:
        sample_rate: of the input, in Hz, 1 kHz to 384 kHz.
        channels: of the input and the output.
        output_rate: in Hz; None chooses as offline.
        cutoff_hz: where the stream's real band ends; None assumes the Nyquist frequency, unless
            ``analysis_s`` is given.
        level_dbfs: RMS of what sounds in the stream, pauses aside; None assumes -26 dB.
        analysis_s: hold the first seconds of sound back and find in them what is not given.
        plan: decides all of that instead; see :meth:`Enhancer.plan`.
        enhancer: a model that is loaded already; else ``model``, ``device``, ``threads`` and
            ``fidelity`` and ``strength_db`` are those of :class:`Enhancer`.

    Raises:
        InvalidInputError: a value cannot be used, or nothing says where the band ends: the rate is
            high, and neither ``cutoff_hz`` nor ``analysis_s`` nor ``plan`` is given.
        ModelError: there is no such model, or it cannot be used.
    """

    def __init__(
        self,
        sample_rate: float,
        channels: int = 1,
        *,
        output_rate: float | None = None,
        cutoff_hz: float | None = None,
        level_dbfs: float | None = None,
        analysis_s: float = 0.0,
        plan: Plan | None = None,
        enhancer: Enhancer | None = None,
        model: str | os.PathLike[str] = "auto",
        device: str = "auto",
        threads: int | None = 1,
        fidelity: float | None = None,
        strength_db: float = 0.0,
    ) -> None:
        sample_rate = whole_rate(sample_rate)
        output_rate = None if output_rate is None else whole_rate(output_rate, "output rate")
        _check_stream(sample_rate, channels, cutoff_hz, level_dbfs, analysis_s)
        self.sample_rate, self.channels = sample_rate, channels
        self.output_rate = output_rate or default_output_rate(sample_rate)
        if plan is not None and output_rate is not None and plan.output_rate != output_rate:
            raise InvalidInputError(
                f"output_rate {output_rate} Hz, but the plan is for {plan.output_rate} Hz"
            )
        self._cutoff_hz, self._level_dbfs = cutoff_hz, level_dbfs
        self._analyser = (
            None if plan or not analysis_s else _Analyser(sample_rate, channels, analysis_s)
        )
        if plan is None and self._analyser is None:
            self._require_low_rate()
        # What a stream turns out to be is known too late to choose by.
        self._enhancer = enhancer or Enhancer(
            DEFAULT_MODEL if model == "auto" else model,
            device=device,
            threads=threads,
            fidelity=fidelity,
            strength_db=strength_db,
        )
        self._mono = False  # blocks came as [samples]
        self._over = False
        self._taken = self._given = 0
        self.plan: Plan | None = None
        self._stream: Stream | None = None
        self._ready = Fifo(channels)
        if plan is not None:
            self.output_rate = plan.output_rate
        elif self._analyser is None:
            plan = self._assume()
        if plan is not None:
            self._follow(plan)
        # Where the analysis will decide, either may come.
        extended = [True, False] if plan is None else [plan.extend_from_hz is not None]
        self.latency_samples = max(
            latency_samples(self.info if extend else None, sample_rate, self.output_rate)
            for extend in extended
        )
        if plan is None and cutoff_hz is None:
            delay_s = tracking_delay(sample_rate) / sample_rate
            self.latency_samples += math.ceil(delay_s * self.output_rate) + 1

    @property
    def info(self) -> ModelInfo:
        """What the model says of itself."""
        enhancer = self._enhancer
        return (enhancer.model_for(self.plan) if self.plan else enhancer.model).info

    @property
    def latency_s(self) -> float:
        """:attr:`latency_samples` in seconds."""
        return self.latency_samples / self.output_rate

    def push(self, samples: ArrayLike) -> FloatArray:
        """Take the next block and return what of the output is due.

        Args:
            samples: ``[samples]`` (one channel) or ``[channels, samples]``, any length; float with
                full scale 1, or integers with their own full scale.

        Returns:
            float32 of the same number of axes. Once ``n`` samples were taken, exactly
            ``n * output_rate // sample_rate - latency_samples`` have been given (none while that
            is negative, or during the analysis). Output starts aligned with the input.

        Raises:
            InvalidInputError: wrong type, shape or channel count, a value that is not finite, or
                the stream was flushed. The stream is as before then.
        """
        if self._over:
            raise InvalidInputError("the stream was flushed; make a new StreamEnhancer")
        block = as_channels(samples)
        if len(block) != self.channels:
            raise InvalidInputError(
                f"a block has {len(block)} channels, but the stream has {self.channels}"
            )
        self._mono = np.ndim(samples) == 1
        self._taken += block.shape[1]
        if self._analyser is not None:
            held = self._analyser.push(block)
            if held is None:
                return self._shaped(block[:, :0])
            known, self._analyser = self._analyser.enough, None
            self._follow(self._decide(held[:, :known]), known)
            block = held
        self._ready.push(self._running().push(block))
        due = self._taken * self.output_rate // self.sample_rate - self.latency_samples
        return self._give(max(0, due - self._given))

    def flush(self) -> FloatArray:
        """Return the rest of the output; the stream is over.

        With it, :func:`~overtone.dsp.resample.resampled_length` samples have been given in all.
        """
        if self._over:
            return self._shaped(np.zeros((self.channels, 0), np.float32))
        self._over = True
        if self._analyser is not None:
            held = self._analyser.held()
            self._analyser = None
            self._follow(self._decide(held), held.shape[1])
            self._ready.push(self._running().push(held))
        self._ready.push(self._running().flush())
        whole = resampled_length(self._taken, self.sample_rate, self.output_rate)
        return self._give(whole - self._given)

    def _give(self, count: int) -> FloatArray:
        out = self._ready.pop(count)
        self._given += out.shape[1]
        return self._shaped(out)

    def _shaped(self, out: FloatArray) -> FloatArray:
        return out[0] if self._mono else out

    def _running(self) -> Stream:
        assert self._stream is not None  # there is a plan by now
        return self._stream

    def _follow(self, plan: Plan, known: int = 0) -> None:
        """Do what ``plan`` says; with so many samples ``known``, go on by what comes."""
        self.plan = plan
        if known and plan.stretches and self._cutoff_hz is None:
            self._stream = TrackingStream(
                partial(self._enhancer.band, self.sample_rate, plan),
                self.sample_rate,
                plan.output_rate,
                self.channels,
                plan.stretches,
                known,
            )
            return
        self._stream = self._enhancer.stream(self.sample_rate, self.channels, plan)

    def _assume(self) -> Plan:
        """The plan of a stream that nothing is known of but what was given."""
        cutoff_hz = self._cutoff_hz or self.sample_rate / 2
        info = self._enhancer.model.info
        level = 10 ** ((SPEECH_LEVEL_DBFS if self._level_dbfs is None else self._level_dbfs) / 20)
        estimate = CutoffEstimate("band-limited", cutoff_hz, 1.0)
        extend_from_hz, warning = extension(info, cutoff_hz, self.output_rate)
        return Plan(self.output_rate, estimate, extend_from_hz, info.level_rms / level, warning)

    def _decide(self, held: FloatArray) -> Plan:
        """Decide from what was analysed, as offline; what is given overrules."""
        plan = plan_recording(
            self._enhancer.model.info,
            split(held, self.sample_rate),
            self.sample_rate,
            output_rate=self.output_rate,
            cutoff_hz=self._cutoff_hz,
        )
        if plan.warning == SILENT and (
            self._cutoff_hz or has_low_rate(self.sample_rate, self.output_rate)
        ):
            return self._assume()
        if self._level_dbfs is None:
            return plan
        gain = self._enhancer.model.info.level_rms / 10 ** (self._level_dbfs / 20)
        return replace(plan, gain=gain)

    def _require_low_rate(self) -> None:
        if self._cutoff_hz is None and not has_low_rate(self.sample_rate, self.output_rate):
            raise InvalidInputError(
                f"a stream at {self.sample_rate} Hz does not say where its band ends; give"
                " cutoff_hz, or analysis_s seconds to find it"
            )


class _Analyser:
    """Holds a stream back until enough of it was analysed."""

    def __init__(self, sample_rate: int, channels: int, analysis_s: float) -> None:
        self._second = max(1, round(BLOCK_S * sample_rate))
        self._wanted = analysis_s * sample_rate
        self._limit = ANALYSIS_LIMIT * self._wanted
        self._channels = channels
        self._blocks: list[FloatArray] = []
        self._pending = self._total = self._analysed = 0
        self.enough = 0  # samples that say enough

    def push(self, block: FloatArray) -> FloatArray | None:
        """Hold ``block``; return all that was held once it is enough."""
        self._blocks.append(block.copy())
        self._pending += block.shape[1]
        # By whole seconds, as offline, and whatever the blocks are.
        if self._pending >= self._second:
            held = self.held()
            self._blocks = [held]
            start = held.shape[1] - self._pending
            for second in split(held[:, start:], self._second):
                if second.shape[1] == self._second and not self.enough:
                    self._pending -= self._second
                    self._total += self._second
                    self._analysed += self._second if is_audible(second) else 0
                    if self._analysed >= self._wanted or self._total >= self._limit:
                        self.enough = self._total
        return self.held() if self.enough else None

    def held(self) -> FloatArray:
        """All that was held back, ``[channels, samples]``."""
        return np.concatenate([np.zeros((self._channels, 0), np.float32), *self._blocks], axis=1)


def _check_stream(
    sample_rate: int,
    channels: int,
    cutoff_hz: float | None,
    level_dbfs: float | None,
    analysis_s: float,
) -> None:
    if as_number(channels, "channels") != int(channels) or not 1 <= channels <= MAX_CHANNELS:
        raise InvalidInputError(f"{channels} channels; a stream has 1 to {MAX_CHANNELS}")
    check_cutoff(cutoff_hz, sample_rate)
    if level_dbfs is not None and not -100 <= as_number(level_dbfs, "level_dbfs") <= 0:
        raise InvalidInputError(f"level {level_dbfs:g} dBFS: must be within -100 to 0")
    if not 0 <= as_number(analysis_s, "analysis_s") <= ANALYSIS_S:
        raise InvalidInputError(
            f"analysis_s {analysis_s:g} s: must be within 0 to {ANALYSIS_S:g} s"
        )


def latency_samples(info: ModelInfo | None, sample_rate: int, output_rate: int) -> int:
    """The delay of a stream in samples at ``output_rate``; without a model it is only resampled.

    What the model needs to know, and what the resamplers hold back, where the rates need any:
    soxr works in blocks of its own.
    """
    if info is None:
        delay_s = resampled_s = resampler_delay_s(sample_rate, output_rate)
    else:
        route = Route.choose(sample_rate, output_rate, info)
        rate = route.model_rate
        resampled_s = resampler_delay_s(route.zero_insertion * sample_rate, rate)
        if not route.decimation:
            resampled_s += resampler_delay_s(rate, output_rate)
        delay_s = info.latency_samples / rate + resampled_s
        if route.bypass:
            delay_s = max(delay_s, resampler_delay_s(sample_rate, output_rate))
    # Where anything is resampled, either count may be rounded to its disfavour.
    return math.ceil(delay_s * output_rate - 1e-6) + (resampled_s > 0)


@lru_cache(maxsize=64)
def resampler_delay_s(rate_in: int, rate_out: int) -> float:
    """The longest that any sample waits in the streaming resampler, in seconds."""
    if rate_in == rate_out:
        return 0.0
    stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality=QUALITY)
    block = np.zeros(STEP_SAMPLES, np.float32)
    worst = given = 0.0
    for step in range(math.ceil(MEASURED_S * rate_in / STEP_SAMPLES)):
        # The sample before the one that makes it speak waits the longest.
        taken = (step + 1) * STEP_SAMPLES
        worst = max(worst, taken / rate_in - given / rate_out)
        given += len(stream.resample_chunk(block))
    return worst
