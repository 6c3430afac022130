"""Many files: which are meant, where each result goes, and enhancing them one by one or at once.

Everything is decided before any work is done, so that a name that would be written twice, or an
input that would be overwritten, is refused while nothing has been touched. Then :func:`run` yields
one :class:`Outcome` a file: a bad file, or a process that dies over one, is an outcome like any
other and never stops the rest.
"""

from __future__ import annotations

import glob
import os
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Protocol

from overtone import executor
from overtone.audio.formats import INPUT_EXTENSIONS, OUTPUT_FORMATS
from overtone.audio.video import VIDEO_FORMATS, has_pictures
from overtone.errors import InvalidInputError, OvertoneError
from overtone.files import find_files
from overtone.inference.enhancer import Enhancer, FileReport

ENHANCED_MARK = ".enhanced"
LOSSLESS_SUFFIX = ".flac"  # for what cannot be written in its own format, such as M4A


@dataclass(frozen=True)
class Source:
    """An input file, and the folder its place in an output tree is counted from."""

    path: Path
    root: Path


@dataclass(frozen=True)
class Task:
    """One file to enhance.

    ``copy_to`` is where the source goes as it is if there is nothing to do; None where the
    destination was asked for by name.
    """

    source: Path
    destination: Path
    copy_to: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """How one file went: a report, or a one-line error (and, for a defect, its traceback)."""

    source: Path
    report: FileReport | None = None
    error: str | None = None
    defect: str | None = None

    @classmethod
    def failed(cls, source: Path, reason: str, *, defect: str | None = None) -> Outcome:
        """Return a failure whose message names the file, once."""
        named = reason if str(source) in reason else f"{source}: {reason}"
        return cls(source, error=" ".join(named.split()), defect=defect)


def describe_os_error(error: OSError) -> str:
    """Return an operating system's error as words: ``No space left on device: out.wav``."""
    what = error.strerror or str(error) or type(error).__name__
    return f"{what}: {error.filename}" if error.filename else what


# What to read -----------------------------------------------------------------------------------


def find_sources(
    arguments: Sequence[str], *, exclude: Path | None = None
) -> tuple[list[Source], list[Outcome]]:
    """Resolve files, folders and glob patterns to the audio files they mean.

    Folders are searched through and through, hidden names left out; patterns work where the shell
    has not expanded them. Files named ``*.enhanced.*`` are results of an earlier run and left out,
    unless such a file is the only argument. ``exclude`` is a folder (the output) not to search.

    Returns the files in order, each once, and a failure for each argument that means none.
    """
    found: dict[Path, Source] = {}
    failures: list[Outcome] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            sources = [Source(file, path) for file in _audio_in(path, exclude, failures)]
        elif glob.has_magic(argument) and not path.exists():
            root = _fixed_part(path)
            sources = [Source(file, root) for file in _matching(argument, exclude, failures)]
        elif path.exists():
            sources = [Source(path, path.parent)]
        else:
            failures.append(Outcome.failed(path, "no such file or folder"))
            continue
        if not sources:
            failures.append(Outcome.failed(path, "no audio file found here"))
        for source in sources:
            alone = len(arguments) == 1 and source.path == path
            if alone or not is_enhanced(source.path):
                found.setdefault(source.path.resolve(), source)
    return list(found.values()), failures


def is_enhanced(path: Path) -> bool:
    """Tell whether the name says that the file is a result, as in ``call.enhanced.wav``."""
    return path.stem.endswith(ENHANCED_MARK)


def _audio_in(folder: Path, exclude: Path | None, failures: list[Outcome]) -> Iterator[Path]:
    def note(error: OSError) -> None:
        failures.append(Outcome.failed(Path(error.filename), describe_os_error(error)))

    return find_files(folder, INPUT_EXTENSIONS, exclude=exclude, on_error=note)


def _matching(pattern: str, exclude: Path | None, failures: list[Outcome]) -> Iterator[Path]:
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 (absolute patterns too)
        path = Path(match)
        if path.is_dir():
            yield from _audio_in(path, exclude, failures)
        elif _is_audio_name(path.name):
            yield path


def _is_audio_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in INPUT_EXTENSIONS


def _fixed_part(pattern: Path) -> Path:
    """Return the folders of a pattern that hold no wildcard: ``a/b`` for ``a/b/*/c*.wav``."""
    fixed = takewhile(lambda part: not glob.has_magic(part), pattern.parts)
    return Path(*fixed)


# Where to write ---------------------------------------------------------------------------------


def make_tasks(
    sources: Sequence[Source], output: str | None = None, *, pictures: bool = False
) -> list[Task]:
    """Give each source its destination.

    Without ``output``, ``call.wav`` becomes ``call.enhanced.wav`` beside it. An ``output`` with
    an audio extension is the file to write, and takes a single source. Any other ``output`` is a
    folder in which each file keeps its name and its place in the tree it was found in. What
    cannot be written in its own format becomes FLAC; films stay films. ``pictures`` says that a
    spectrogram will be written beside each destination, whose name must be free too.

    Raises InvalidInputError if two sources would be written to one name, a source would be
    overwritten, or ``output`` cannot be what it has to be.
    """
    if output is None:
        tasks = [
            Task(source.path, _beside(source.path), _beside(source.path, source.path.suffix))
            for source in sources
        ]
    elif _is_folder_name(output):
        tasks = [
            Task(
                source.path,
                _in_tree(source, Path(output), _writable_suffix(source.path)),
                _in_tree(source, Path(output), source.path.suffix),
            )
            for source in sources
        ]
    elif len(sources) > 1:
        raise InvalidInputError(
            f"output {output} names one file, but there are {len(sources)} inputs: name a folder"
        )
    else:
        tasks = [Task(source.path, Path(output)) for source in sources]
    _refuse_clashes(tasks, pictures=pictures)
    return tasks


def picture_path(destination: Path) -> Path:
    """Return where the spectrogram of an enhanced file goes: the same name, ``.png``."""
    return destination.with_suffix(".png")


def part_existing(
    tasks: Sequence[Task], *, pictures: bool = False
) -> tuple[list[Task], list[Outcome]]:
    """Part the tasks into those whose outputs are free and failures for those that are not."""
    free: list[Task] = []
    failures: list[Outcome] = []
    for task in tasks:
        outputs = [task.destination, *([picture_path(task.destination)] if pictures else [])]
        taken = next((path for path in outputs if os.path.lexists(path)), None)
        if taken is None:
            free.append(task)
        else:
            reason = f"skipped, {taken} exists already; use overwrite=True to replace it"
            failures.append(Outcome.failed(task.source, reason))
    return free, failures


def _beside(source: Path, suffix: str | None = None) -> Path:
    return source.with_name(f"{source.stem}{ENHANCED_MARK}{suffix or _writable_suffix(source)}")


def _in_tree(source: Source, folder: Path, suffix: str) -> Path:
    destination = (folder / source.path.relative_to(source.root)).with_suffix(suffix)
    # A folder written onto itself: there the mark is what tells result from recording.
    return _beside(destination, suffix) if _same(destination, source.path) else destination


def _writable_suffix(source: Path) -> str:
    keeps = source.suffix.lower() in OUTPUT_FORMATS or has_pictures(source)
    return source.suffix if keeps else LOSSLESS_SUFFIX


def _is_folder_name(output: str) -> bool:
    path = Path(output)
    if path.is_dir() or output.endswith(("/", os.sep)) or not path.suffix:
        return True
    if path.suffix.lower() not in {*OUTPUT_FORMATS, *VIDEO_FORMATS}:
        known = " ".join(sorted({*OUTPUT_FORMATS, *VIDEO_FORMATS}))
        raise InvalidInputError(
            f"output {output}: cannot write {path.suffix}; "
            f"use one of {known}, or end the name with / for a folder"
        )
    return False


def _refuse_clashes(tasks: Sequence[Task], *, pictures: bool) -> None:
    inputs = {task.source.resolve() for task in tasks}
    writers: dict[Path, Path] = {}
    for task in tasks:
        if task.destination.resolve() in inputs:
            raise InvalidInputError(
                f"{task.destination} is an input and is never overwritten: name another output"
            )
        outputs = [task.destination, *([picture_path(task.destination)] if pictures else [])]
        for output in outputs:
            other = writers.setdefault(output.resolve(), task.source)
            if other != task.source:
                raise InvalidInputError(
                    f"{other} and {task.source} would both be written to {output}: "
                    "enhance them one at a time, each with its own output"
                )


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


# The work ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What holds for every file of a batch, in the terms of ``Enhancer`` and ``enhance_file``."""

    model: str = "auto"
    device: str = "auto"
    fidelity: float | None = None
    strength_db: float = 0.0
    output_rate: int | None = None
    cutoff_hz: float | str | None = None
    subtype: str | None = None
    overwrite: bool = False
    tags: bool = True
    skip_unchanged: bool = False


class EnhancesFiles(Protocol):
    """The part of ``Enhancer`` that a batch uses."""

    def enhance_file(
        self,
        source: Path,
        destination: Path,
        *,
        output_rate: int | None = None,
        cutoff_hz: float | str | None = None,
        subtype: str | None = None,
        overwrite: bool = False,
        tags: bool = True,
        copy_to: Path | None = None,
        skip_unchanged: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> FileReport:
        """Enhance ``source`` into ``destination``."""
        ...


MakeEnhancer = Callable[[Settings, int | None], EnhancesFiles]
Progress = Callable[[Path, float], None]  # a source and the fraction of it that is done, 0 to 1


def run(
    tasks: Sequence[Task],
    settings: Settings,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
    make_enhancer: MakeEnhancer | None = None,
) -> Generator[Outcome, None, None]:
    """Enhance every task and yield its outcome as it is known.

    With ``jobs`` above 1 that many processes, of one thread each, share the tasks; outcomes then
    come in the order of completion. Close the iterator (or leave it) to stop: files half done
    leave nothing behind. ``progress`` is called with a source and the fraction of it done.

    Raises OvertoneError if no file at all can be enhanced, as when the model is not found.
    """

    def report(task: Task, fraction: float) -> None:
        if progress:
            progress(task.source, fraction)

    init = partial(make_enhancer or make_default_enhancer, settings, 1 if jobs > 1 else None)
    work = partial(_enhance_one, settings)
    for _, outcome in executor.map(
        init, work, tasks, jobs=jobs, progress=report if progress else None, lost=_lost
    ):
        yield outcome


def _lost(task: Task, reason: str) -> Outcome:
    return Outcome.failed(task.source, reason)


def make_default_enhancer(settings: Settings, threads: int | None) -> EnhancesFiles:
    """Return the ``Enhancer`` that the settings describe."""
    return Enhancer(
        settings.model,
        device=settings.device,
        threads=threads,
        fidelity=settings.fidelity,
        strength_db=settings.strength_db,
    )


def _enhance_one(
    settings: Settings,
    enhancer: EnhancesFiles,
    task: Task,
    progress: Callable[[float], None],
) -> Outcome:
    try:
        task.destination.parent.mkdir(parents=True, exist_ok=True)
        report = enhancer.enhance_file(
            task.source,
            task.destination,
            output_rate=settings.output_rate,
            cutoff_hz=settings.cutoff_hz,
            subtype=settings.subtype,
            overwrite=settings.overwrite,
            tags=settings.tags,
            copy_to=task.copy_to,
            skip_unchanged=settings.skip_unchanged,
            progress=progress,
        )
    except OvertoneError as error:
        return Outcome.failed(task.source, str(error))
    except OSError as error:
        return Outcome.failed(task.source, describe_os_error(error))
    except MemoryError:
        return Outcome.failed(task.source, "not enough memory")
    except Exception as error:  # a defect of ours must not cost the user the other files
        reason = f"internal error, please report it: {type(error).__name__}: {error}"
        return Outcome.failed(task.source, reason, defect=traceback.format_exc())
    return Outcome(task.source, report=report)
