"""What the page needs of a file before all of it is enhanced: a look at it, and some seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone.audio.reader import AudioReader
from overtone.dsp.stretches import Stretch
from overtone.inference.planning import Plan
from overtone.serve.options import Options
from overtone.serve.settings import Limits
from overtone.serve.work import check, enhancer

FloatArray = NDArray[np.float32]

PEAKS = 2000
# The network's memory is shorter: from here on, some seconds sound as they do in the whole file.
LEAD_S = 2.0


@dataclass(frozen=True)
class Look:
    """Describe a file: rate, channels, length, cutoff, and an outline of its waveform."""

    source: Path
    name: str
    limits: Limits

    def do(self, report: Callable[[float], None]) -> dict[str, Any]:
        """Do it."""
        del report
        check(self.source, self.name, self.limits)
        with AudioReader(self.source) as reader:
            rate, channels = reader.info.sample_rate, reader.info.channels
            frames, peaks = 0, list[float]()
            step = max(1, rate // 50)
            for block in reader.blocks(50 * step):
                frames += block.shape[1]
                loud = np.abs(block).max(axis=0)
                peaks += [
                    float(part.max()) for part in np.split(loud, range(step, loud.size, step))
                ]
        plan = planned(self.source, Options.model_validate({}))
        together = -(-len(peaks) // PEAKS)
        return {
            "name": self.name,
            "rate": rate,
            "channels": channels,
            "duration": frames / rate,
            "cutoff": plan.cutoff.cutoff_hz,
            "extended_from": plan.extend_from_hz,
            "warning": plan.warning,
            "output_rate": plan.output_rate,
            "peaks": [
                round(max(peaks[start : start + together]), 3)
                for start in range(0, len(peaks), together)
            ],
        }


@dataclass(frozen=True)
class Section:
    """Some seconds of a file as they are, or as they will be: raw samples into ``destination``."""

    source: Path
    name: str
    destination: Path
    options: Options
    start_s: float
    duration_s: float
    enhanced: bool

    def do(self, report: Callable[[float], None]) -> dict[str, Any]:
        """Do it."""
        del report
        plan = planned(self.source, self.options)
        lead_s = min(LEAD_S, self.start_s)
        parts = from_second(plan.stretches, self.start_s - lead_s)
        plan = (
            replace(plan, stretches=parts)
            if self.enhanced
            else Plan(plan.output_rate, plan.cutoff, None, plan.gain)
        )
        options = self.options
        chosen = enhancer(options.model, options.fidelity, options.strength)
        with AudioReader(self.source) as reader:
            rate, channels = reader.info.sample_rate, reader.info.channels
            first = round((self.start_s - lead_s) * rate)
            stream = chosen.stream(rate, channels, plan)
            blocks = list(taken(reader, first, round((lead_s + self.duration_s) * rate)))
        out = np.concatenate([*(stream.push(block) for block in blocks), stream.flush()], axis=1)
        out = out[:, round(lead_s * plan.output_rate) :]
        self.destination.write_bytes(np.ascontiguousarray(out.T, "<f4").tobytes())
        return {
            "rate": plan.output_rate,
            "channels": channels,
            "cutoff": plan.extend_from_hz,
            "warning": plan.warning,
            "edges": [
                (part.start_s, min(part.end_s, self.duration_s), part.cutoff_hz)
                for part in from_second(parts, lead_s)
                if part.cutoff_hz and part.channels[0] == 0 and part.start_s < self.duration_s
            ],
        }


def from_second(stretches: Iterable[Stretch], start_s: float) -> tuple[Stretch, ...]:
    """The stretches of a recording whose beginning is left out."""
    return tuple(
        replace(part, start_s=max(0.0, part.start_s - start_s), end_s=part.end_s - start_s)
        for part in stretches
        if part.end_s > start_s
    )


def taken(reader: AudioReader, first: int, count: int) -> Iterator[FloatArray]:
    """The samples ``first`` to ``first + count`` of a file, in blocks."""
    at = 0
    with closing(reader.blocks()) as blocks:  # type: ignore[type-var]
        for block in blocks:
            kept = block[:, max(0, first - at) : max(0, first + count - at)]
            at += block.shape[1]
            if kept.shape[1]:
                yield kept
            if at >= first + count:
                return


@lru_cache(maxsize=16)
def planned(source: Path, options: Options) -> Plan:
    """What the whole file's start says is to be done to it; files of the service do not change."""
    chosen = enhancer(options.model, options.fidelity, options.strength)
    with AudioReader(source) as reader:
        return chosen.plan(
            reader.blocks(reader.info.sample_rate),
            reader.info.sample_rate,
            output_rate=options.rate,
            cutoff_hz=options.cutoff,
        )
