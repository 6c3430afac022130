"""Selections: parts of a recording that are enhanced, while the rest stays as it is.

Each selection is analysed as a recording of its own. The hand-over lies inside it, so that outside
every sample is the source's, to the last bit where the rate stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.resample import StreamResampler
from overtone.errors import InvalidInputError
from overtone.inference.pipeline import Fifo
from overtone.inference.planning import Plan
from overtone.inference.switching import FADE_S, Stream, SwitchingStream, first_sample

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """A selection, in input samples, and what is to be done to it."""

    start: int
    end: float
    plan: Plan

    def inner(self, sample_rate: int) -> tuple[int, float]:
        """Return the middles of the two hand-overs, which lie within the part."""
        half = math.ceil(FADE_S / 2 * sample_rate) + 1
        return self.start + half if self.start else 0, self.end - half

    def shifted(self, sample_rate: int) -> Plan:
        """Return the plan in the time of its stream, which begins before the part."""
        early_s = (self.start - first_sample(self.inner(sample_rate)[0], sample_rate)) / sample_rate
        stretches = [
            replace(
                stretch,
                start_s=stretch.start_s and stretch.start_s + early_s,
                end_s=stretch.end_s + early_s,
            )
            for stretch in self.plan.stretches
        ]
        return replace(self.plan, stretches=tuple(stretches))


def plan_parts(
    times: Iterable[tuple[float, float]],
    sample_rate: int,
    blocks: Callable[[], Iterable[FloatArray]],
    plan: Callable[[Iterable[FloatArray]], Plan],
    name: str,
) -> list[Part]:
    """Plan each selection from its own sound; ``blocks`` gives the recording from its start.

    Raises:
        InvalidInputError: the recording ends before a selection begins.
    """
    parts = []
    for start_s, end_s in times:
        start, end = round(start_s * sample_rate), end_s * sample_rate
        end = end if math.isinf(end) else round(end)
        selected = _within(blocks(), start, end)
        first = next(selected, None)
        if first is None:
            raise InvalidInputError(f"{name}: ends before the selection from {start_s:g} s begins")
        parts.append(Part(start, end, plan(chain([first], selected))))
    return parts


def _within(blocks: Iterable[FloatArray], start: int, end: float) -> Iterator[FloatArray]:
    at = 0
    for block in blocks:
        piece = block[:, max(0, start - at) : int(min(max(0, end - at), block.shape[1]))]
        at += block.shape[1]
        if piece.shape[1]:
            yield piece
        if at >= end:
            return


def summary(parts: Sequence[Part], sample_rate: int) -> Plan:
    """Return the plan of the part that has the most to gain, with the stretches of all."""
    most = max(
        parts, key=lambda part: (part.plan.extend_from_hz is not None, part.end - part.start)
    )
    stretches = [
        replace(
            stretch,
            start_s=stretch.start_s + part.start / sample_rate,
            end_s=stretch.end_s + part.start / sample_rate,
        )
        for part in parts
        for stretch in part.plan.stretches
    ]
    return replace(most.plan, stretches=tuple(stretches))


def selected_stream(
    parts: Sequence[Part],
    sample_rate: int,
    channels: int,
    begin: Callable[[int, int, Plan], Stream],
) -> Stream:
    """Return the stream that enhances the parts with what ``begin`` makes, and nothing else."""
    rate_out = parts[0].plan.output_rate
    switching = SwitchingStream(sample_rate, rate_out, channels)
    whole = tuple(range(channels))
    untouched = partial(StreamResampler, sample_rate, rate_out, channels)
    at: float = 0
    for part in parts:
        if part.plan.extend_from_hz is None:
            continue
        start, end = part.inner(sample_rate)
        if start > at:
            switching.add(untouched, whole, int(at), start)
        enhanced = partial(begin, sample_rate, channels, part.shifted(sample_rate))
        switching.add(enhanced, whole, start, end)
        at = end
    if not math.isinf(at):
        switching.add(untouched, whole, int(at), math.inf)
    return switching


class Kept:
    """The source's samples, to be put where they belong: they see no arithmetic on the way.

    They may be more precise than float32.
    """

    def __init__(self, parts: Sequence[Part], channels: int) -> None:
        self._parts, self._waiting, self._given = parts, Fifo(channels), 0

    def push(self, block: NDArray[np.floating]) -> None:
        """Take what goes into the stream."""
        self._waiting.push(block)

    def restored(self, out: FloatArray) -> NDArray[np.floating]:
        """Return what comes out of the stream, with the source's samples outside the parts."""
        places = np.arange(self._given, self._given + out.shape[1])
        self._given += out.shape[1]
        inside = np.zeros(places.shape, bool)
        for part in self._parts:
            inside |= (part.start <= places) & (places < part.end)
        return np.where(inside, out, self._waiting.pop(out.shape[1]))
