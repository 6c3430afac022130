"""Recordings whose bandwidth changes: a stream for each stretch, crossfaded into one.

Streams that extend a recording from different cutoffs, and one that leaves it as it is, agree below
the lowest cutoff to the last bit that a resampler keeps. So their outputs can be crossfaded: what
the recording has in both stretches is not touched, and what only one has fades in or out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.resample import resampled_length

FloatArray = NDArray[np.float32]

FADE_S = 0.02
# A stream starts a little early, so that networks and resamplers have settled, and goes on for a
# little.
EARLY_S, LATE_S = 0.5, 0.15
# What is held for one that starts in the past: the whole second before it.
KEPT_S = 2.0


class Stream(Protocol):
    """What takes a recording block by block; aligned, its length scaled by the rates."""

    def push(self, block: FloatArray) -> FloatArray:
        """What of the output is known after ``block [channels, n]``."""
        ...

    def flush(self) -> FloatArray:
        """The rest; the stream is over."""
        ...


def first_sample(start: int, sample_rate: int) -> int:
    """Return the first sample that a stream takes which has its say from ``start`` on."""
    early = max(0, start - round(EARLY_S * sample_rate))
    return early // sample_rate * sample_rate


@dataclass
class Voice:
    """One stream of several, which has its say from ``start`` to ``end``, in input samples.

    It takes samples from ``first`` on, which is a whole second: there input and output have a
    sample at the same time, whatever their rates.
    """

    begin: Callable[[], Stream]
    channels: tuple[int, ...]
    start: int
    end: float
    first: int
    stream: Stream | None = None
    taken: int = 0
    given: int = 0
    over: bool = False


class SwitchingStream:
    """Streams by stretches of time and channels; see :class:`Stream`.

    ``add`` says which; for each channel, stretches follow each other without gaps.
    """

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        self._rate_in, self._rate_out = rate_in, rate_out
        self._voices: list[Voice] = []
        self._held = np.zeros((channels, 0), np.float32)  # of the input: the latest
        self._mix = np.zeros((channels, 0), np.float32)  # of the output: not given yet
        self._taken = self._given = 0

    def add(
        self, begin: Callable[[], Stream], channels: tuple[int, ...], start: int, end: float
    ) -> None:
        """Let the stream that ``begin`` makes have ``channels`` from sample ``start`` to ``end``.

        It is made when its time comes.
        """
        first = first_sample(start, self._rate_in)
        self._voices.append(Voice(begin, channels, start, end, first, taken=first))

    def end(self, channels: tuple[int, ...], at: int) -> None:
        """Let those that had ``channels`` to the end have them to sample ``at`` only."""
        for voice in self._voices:
            if voice.channels == channels and math.isinf(voice.end):
                voice.end = at

    def push(self, block: FloatArray) -> FloatArray:
        """What of the output is known after ``block [channels, n]``."""
        self._held = np.concatenate([self._held, block], axis=1)
        self._taken += block.shape[1]
        for voice in self._voices:
            self._feed(voice)
        self._voices = [voice for voice in self._voices if not voice.over]
        unread = min((v.taken for v in self._voices), default=self._taken)
        unread = min(unread, self._taken - round(KEPT_S * self._rate_in))
        oldest = self._taken - self._held.shape[1]
        self._held = self._held[:, max(0, unread - oldest) :].copy()
        known = min((self._known(voice) for voice in self._voices), default=math.inf)
        return self._give(int(min(known, self._position(self._taken))))

    def flush(self) -> FloatArray:
        """The rest; the stream is over."""
        for voice in self._voices:
            if voice.stream is not None and not voice.over:
                self._add(voice, voice.stream.flush())
        self._voices = []
        return self._give(resampled_length(self._taken, self._rate_in, self._rate_out))

    def _feed(self, voice: Voice) -> None:
        stop = voice.end + round(LATE_S * self._rate_in)
        if self._taken <= voice.taken:
            return
        if voice.stream is None:
            voice.stream = voice.begin()
            voice.given = self._position(voice.first)
        oldest = self._taken - self._held.shape[1]
        until = int(min(self._taken, stop))
        piece = self._held[list(voice.channels), voice.taken - oldest : until - oldest]
        voice.taken = until
        self._add(voice, voice.stream.push(piece))
        if until == stop:
            self._add(voice, voice.stream.flush())
            voice.over = True

    def _add(self, voice: Voice, out: FloatArray) -> None:
        """Add what a voice gives, as far as it has its say."""
        past = max(0, self._given - voice.given)
        at = voice.given + past
        voice.given += out.shape[1]
        out = out[:, past:]
        if not out.shape[1]:
            return
        missing = voice.given - self._given - self._mix.shape[1]
        if missing > 0:
            self._mix = np.pad(self._mix, ((0, 0), (0, missing)))
        places = np.arange(at, voice.given)
        weight = self._risen(places, voice.start) - self._risen(places, voice.end)
        here = slice(at - self._given, voice.given - self._given)
        self._mix[list(voice.channels), here] += weight * out

    def _risen(self, places: NDArray[np.int64], boundary: float) -> FloatArray:
        """How far the crossfade at a boundary has come, 0 to 1; at the start it is over."""
        if boundary <= 0 or math.isinf(boundary):
            return np.full(places.shape, float(boundary <= 0), np.float32)
        seconds = places / self._rate_out - boundary / self._rate_in
        return np.clip(seconds / FADE_S + 0.5, 0, 1).astype(np.float32)

    def _known(self, voice: Voice) -> int:
        """Up to where this voice adds no more to the output."""
        fade = round(FADE_S * self._rate_in)
        return max(voice.given, self._position(max(0, voice.start - fade)))

    def _position(self, sample: int) -> int:
        """The output's sample at the time of one of the input."""
        return sample * self._rate_out // self._rate_in

    def _give(self, until: int) -> FloatArray:
        count = max(0, until - self._given)
        missing = max(0, count - self._mix.shape[1])
        out = np.pad(self._mix[:, :count], ((0, 0), (0, missing)))
        self._mix = self._mix[:, count:]
        self._given += count
        return out
