"""What a worker process does with a file: look at it, enhance it. Nothing here knows HTTP."""

from __future__ import annotations

import shutil
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from overtone.audio.reader import AudioReader
from overtone.errors import OvertoneError
from overtone.inference.enhancer import Enhancer
from overtone.inference.reports import EnhanceReport
from overtone.serve.options import SUBTYPES, Options, Report, in_options
from overtone.serve.settings import Limits

# A disk with less room than this after a failure is why it failed.
FULL_BYTES = 10**6


@dataclass(frozen=True)
class Refused:
    """Why a task cannot be done: a status of HTTP and a line."""

    status: int
    detail: str


class TooLargeError(OvertoneError):
    """A recording is beyond one of the limits."""


def start() -> None:
    """Load the default model, so that the first request finds it."""
    enhancer("auto", None, 0.0)


@lru_cache(maxsize=4)
def enhancer(model: str, fidelity: float | None, strength_db: float) -> Enhancer:
    """The enhancer for these options, of one thread: the workers share the cores."""
    return Enhancer(model, device="cpu", threads=1, fidelity=fidelity, strength_db=strength_db)


class Task(Protocol):
    """What a worker does with one file, which the client calls ``name``."""

    @property
    def source(self) -> Path:
        """The file, in a folder of the service."""
        ...

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def do(self, report: Callable[[float], None]) -> Any:
        """Do it and return what can be sent to another process."""
        ...


def work(_: None, task: Task, report: Callable[[float], None]) -> Any:
    """Do a task; return what it gave, or :class:`Refused` with why not in the client's words."""
    try:
        return task.do(report)
    except TooLargeError as error:
        return Refused(413, str(error))
    except (OvertoneError, OSError, MemoryError) as error:
        if shutil.disk_usage(tempfile.gettempdir()).free < FULL_BYTES:
            return Refused(507, "the disk of the service is full; try again later")
        if isinstance(error, MemoryError):
            return Refused(413, f"{task.name}: does not fit into the memory of the service")
        status = 422 if isinstance(error, OvertoneError) else 500
        return Refused(status, in_words(str(error), task))
    except Exception:  # a defect of ours ends one request, and is told to the operator
        traceback.print_exc()
        return Refused(500, f"{task.name}: internal error; the log of the service has it")


def in_words(message: str, task: Task) -> str:
    """A library's message in one line: with the client's names, and without our paths."""
    message = message.replace(str(task.source), task.name)
    return in_options(message.replace(f"{task.source.parent}/", ""))


def check(source: Path, name: str, limits: Limits) -> None:
    """Refuse a recording beyond the limits. Its length is counted: headers may say anything.

    Raises:
        TooLargeError: too long, too many channels, or too high a rate.
        AudioFileError: it cannot be read.
    """
    with AudioReader(source) as reader:
        info = reader.info
        if info.channels > limits.channels:
            raise TooLargeError(f"{name}: {info.channels} channels; at most {limits.channels}")
        if info.sample_rate > limits.sample_rate:
            raise TooLargeError(f"{name}: {info.sample_rate} Hz; at most {limits.sample_rate} Hz")
        longest = round(limits.duration_s * info.sample_rate)
        frames = info.frames or 0
        if frames <= longest:
            frames = 0
            for block in reader.blocks():
                frames += block.shape[1]
                if frames > longest:
                    break
        if frames > longest:
            raise TooLargeError(f"{name}: longer than {limits.duration_s:g} s; cut it first")


@dataclass(frozen=True)
class Enhance:
    """Enhance a whole file into ``destination``; gives a :class:`Report`."""

    source: Path
    name: str
    limits: Limits
    destination: Path
    options: Options

    def do(self, report: Callable[[float], None]) -> Report:
        """Do it."""
        check(self.source, self.name, self.limits)
        options = self.options
        chosen = enhancer(options.model, options.fidelity, options.strength)
        done = chosen.enhance_file(
            self.source,
            self.destination,
            output_rate=options.rate,
            cutoff_hz=options.cutoff,
            subtype=SUBTYPES[options.bits] if options.bits else None,
            tags=options.tags,
            overwrite=True,
            progress=report,
        )
        return as_report(done, self.name)


def as_report(done: EnhanceReport, name: str) -> Report:
    """A library's report without paths of this machine."""
    return Report(
        source=name,
        input_rate=done.input_rate,
        output_rate=done.output_rate,
        channels=done.channels,
        duration_s=done.duration_s,
        cutoff_hz=done.cutoff.cutoff_hz,
        cutoff_verdict=done.cutoff.verdict,
        cutoff_confidence=done.cutoff.confidence,
        model=done.model,
        changed=done.changed,
        warning=done.warning,
        clipped_samples=done.clipped_samples,
        left_behind=done.left_behind,
        seconds=done.seconds,
        stretches=[stretch.to_dict() for stretch in done.stretches],
    )
