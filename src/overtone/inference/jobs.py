"""Many files: which are meant, where each result goes, and enhancing them one by one or at once.

:func:`enhance_files` does it all. Everything is decided before any work is done, so that a name
that would be written twice, or an input that would be overwritten, is refused while nothing has
been touched. Then :func:`run` yields one :class:`Outcome` a file: a bad file, or a process that
dies over one, is an outcome like any other and never stops the rest.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from overtone import executor
from overtone.audio.formats import OUTPUT_FORMATS
from overtone.audio.reader import is_stream, name_of
from overtone.audio.sources import ENHANCED_MARK, Source, describe_os_error, find_sources
from overtone.audio.video import VIDEO_FORMATS, has_pictures
from overtone.errors import AudioFileError, InvalidInputError, OvertoneError
from overtone.files import one_place, real_path, sweep, temporary_folder
from overtone.inference.checks import Times, check_loudness, check_suffix, checked_times
from overtone.stores import fetched, is_remote, path_of, store, told

if TYPE_CHECKING:
    from overtone.inference.reports import EnhanceReport

LOSSLESS_SUFFIX = ".flac"  # for what cannot be written in its own format, such as M4A
WRITABLE = sorted({*OUTPUT_FORMATS, *VIDEO_FORMATS})


@dataclass(frozen=True)
class Task:
    """One file to enhance; either end may be an open binary file, or lie in an object store.

    ``copy_to`` is where the source goes as it is if there is nothing to do; None where the
    destination was asked for by name. ``beside`` are the extensions of what will be written beside
    the destination, such as a picture.
    """

    source: Path | BinaryIO
    destination: Path | BinaryIO
    copy_to: Path | None = None
    beside: tuple[str, ...] = ()

    @property
    def name(self) -> Path:
        """The source's name in messages."""
        return name_of(self.source) if is_stream(self.source) else cast("Path", self.source)

    @property
    def outputs(self) -> list[Path]:
        """The names that will be written."""
        if is_stream(self.destination):
            return []
        destination = cast("Path", self.destination)
        return [destination, *map(destination.with_suffix, self.beside)]

    @property
    def has_names(self) -> bool:
        """Whether both ends are files, which any process can open."""
        return not (is_stream(self.source) or is_stream(self.destination))


@dataclass(frozen=True)
class Outcome:
    """How one file went: a report, or a one-line error (and, for a defect, its traceback).

    ``existing`` is the output that an earlier run left, where that is what was asked for;
    ``planned`` the one that there would be, in a dry run.
    """

    source: Path
    report: EnhanceReport | None = None
    error: str | None = None
    defect: str | None = None
    existing: Path | None = None
    planned: Path | None = None

    @classmethod
    def failed(cls, source: Path, reason: str, *, defect: str | None = None) -> Outcome:
        """Return a failure whose message names the file, once."""
        named = reason if str(source) in reason else f"{source}: {reason}"
        return cls(source, error=" ".join(named.split()), defect=defect)


# Where to write ---------------------------------------------------------------------------------


def make_tasks(
    sources: Sequence[Source],
    output: str | None = None,
    *,
    beside: Sequence[str] = (),
    suffix: str | None = None,
) -> list[Task]:
    """Give each source its destination.

    Without ``output``, ``call.wav`` becomes ``call.enhanced.wav`` beside it, or ends in another
    ``suffix`` than ``.enhanced``, which is also put to names in a folder. An ``output`` with
    an audio extension is the file to write, and takes a single source. Any other ``output`` is a
    folder in which each file keeps its name and its place in the tree it was found in. What
    cannot be written in its own format becomes FLAC; films stay films. ``beside`` has the
    extensions of what will be written beside each destination, whose names must be free too.

    Raises InvalidInputError if two sources would be written to one name, a source would be
    overwritten, or ``output`` cannot be what it has to be.
    """
    return _without_clashes(_make_tasks(sources, output, suffix), beside)


def _make_tasks(
    sources: Sequence[Source], output: str | None, suffix: str | None = None
) -> list[Task]:
    check_suffix(suffix)
    mark = suffix or ENHANCED_MARK
    if output is None:
        return [
            Task(
                source.path,
                _marked(source.path, mark, _writable_suffix(source.path)),
                _marked(source.path, mark, source.path.suffix),
            )
            for source in sources
        ]
    folder = path_of(output)
    if _is_folder_name(output):
        real = _resolver()
        return [
            Task(
                source.path,
                _in_tree(source, folder, _writable_suffix(source.path), suffix, real),
                _in_tree(source, folder, source.path.suffix, suffix, real),
            )
            for source in sources
        ]
    if len(sources) > 1:
        raise InvalidInputError(
            f"output {output} names one file, but there are {len(sources)} inputs: name a folder"
        )
    return [Task(source.path, folder) for source in sources]


def part_existing(
    tasks: Sequence[Task], *, overwrite: bool = False, resume: bool = False
) -> tuple[list[Task], list[Outcome]]:
    """Part the tasks into those that can be done and outcomes of those that are not to be.

    ``resume`` says that a result that exists is what an earlier run has done; other outputs that
    exist are failures, unless ``overwrite`` allows to replace them.
    """
    free: list[Task] = []
    outcomes: list[Outcome] = []
    for task in tasks:
        results = [*task.outputs[:1], *filter(None, [task.copy_to])] if resume else []
        done = next(filter(_is_taken, results), None)
        taken = None if done or overwrite else next(filter(_is_taken, task.outputs), None)
        if done:
            outcomes.append(Outcome(task.name, existing=done))
        elif taken:
            reason = f"skipped, {taken} exists already; use overwrite=True to replace it"
            outcomes.append(Outcome.failed(task.name, reason))
        else:
            free.append(task)
    return free, outcomes


def _is_taken(path: Path) -> bool:
    with told(path, "not reached"):
        return path.exists() or path.is_symlink()


def _marked(path: Path, mark: str, extension: str) -> Path:
    return path.with_name(f"{path.stem}{mark}{extension}")


def _in_tree(
    source: Source, folder: Path, extension: str, mark: str | None, real: Callable[[Path], str]
) -> Path:
    place = str(source.path.relative_to(source.root))  # text: source and folder may differ in kind
    destination = (folder / place).with_suffix(extension)
    # A folder written onto itself: there the mark is what tells result from recording.
    if mark is None and real(destination) == real(source.path):
        mark = ENHANCED_MARK
    return _marked(destination, mark, extension) if mark else destination


def _writable_suffix(source: Path) -> str:
    keeps = source.suffix.lower() in OUTPUT_FORMATS or (
        not is_remote(source) and has_pictures(source)
    )
    return source.suffix if keeps else LOSSLESS_SUFFIX


def _is_folder_name(output: str) -> bool:
    path = path_of(output)
    if output.endswith(("/", os.sep)) or not path.suffix:
        return True
    with told(path, "not reached"):
        if path.is_dir():
            return True
    if path.suffix.lower() not in WRITABLE:
        raise InvalidInputError(
            f"output {output}: cannot write {path.suffix}; "
            f"use one of {' '.join(WRITABLE)}, or end the name with / for a folder"
        )
    return False


def _without_clashes(tasks: Sequence[Task], beside: Sequence[str]) -> list[Task]:
    """Return the tasks with what goes ``beside``; refuse two that would write to one name."""
    tasks = [replace(task, beside=tuple(beside)) for task in tasks]
    resolve = _resolver()

    def real(path: Path) -> str:
        return one_place(resolve(path))

    inputs = {real(task.name) for task in tasks}
    writers: dict[str, Task] = {}
    for task in tasks:
        for output in task.outputs:
            place = real(output)
            if place in inputs:
                raise InvalidInputError(
                    f"{output} is an input and is never overwritten: name another output"
                )
            other = writers.setdefault(place, task)
            if other is not task:
                raise InvalidInputError(
                    f"{other.name} and {task.name} would both be written to {output}: "
                    "enhance them one at a time, each with its own output"
                )
    return tasks


def _resolver() -> Callable[[Path], str]:
    """Return a ``real_path`` that is quick for many files of few folders."""
    folder = cache(real_path)

    def real(path: Path) -> str:
        if is_remote(path) or path.name in ("", "..") or path.is_symlink():
            return real_path(path)
        return os.path.join(folder(path.parent), path.name)  # noqa: PTH118

    return real


# The work ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What holds for every file of a batch, in the terms of ``Enhancer`` and ``enhance_file``."""

    model: str | os.PathLike[str] = "auto"
    device: str = "auto"
    fidelity: float | None = None
    strength_db: float = 0.0
    output_rate: float | None = None
    cutoff_hz: float | str | None = None
    subtype: str | None = None
    overwrite: bool = False
    tags: bool = True
    skip_unchanged: bool = False
    select: Times = ()
    target_lufs: float | None = None


class EnhancesFiles(Protocol):
    """The part of ``Enhancer`` that a batch uses."""

    def enhance_file(
        self,
        source: Path | BinaryIO,
        destination: Path | BinaryIO,
        *,
        output_rate: float | None = None,
        cutoff_hz: float | str | None = None,
        subtype: str | None = None,
        overwrite: bool = False,
        tags: bool = True,
        copy_to: Path | None = None,
        skip_unchanged: bool = False,
        select: Times = (),
        target_lufs: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> EnhanceReport:
        """Enhance ``source`` into ``destination``."""
        ...


# One file or many; or where the result of each goes, None for where ``output`` says.
Sources = (
    str | os.PathLike[str] | BinaryIO | Iterable[str | os.PathLike[str]] | Mapping[str, str | None]
)
MakeEnhancer = Callable[[Settings, int | None], EnhancesFiles]


def enhance_files(
    sources: Sources,
    output: str | os.PathLike[str] | BinaryIO | None = None,
    *,
    model: str | os.PathLike[str] = "auto",
    device: str = "auto",
    fidelity: float | None = None,
    strength_db: float = 0.0,
    output_rate: float | None = None,
    cutoff_hz: float | None = None,
    subtype: str | None = None,
    overwrite: bool = False,
    tags: bool = True,
    skip_unchanged: bool = False,
    select: Times = (),
    target_lufs: float | None = None,
    beside: Sequence[str] = (),
    suffix: str | None = None,
    dry_run: bool = False,
    resume: bool = False,
    shard: tuple[int, int] | None = None,
    jobs: int | None = None,
    cluster: str | None = None,
    isolated: bool = False,
    timeout_s: float | None = None,
    progress: Callable[[float, int], None] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Enhance files, and folders full of them; a bad file never stops the rest.

    Args:
        sources: files, folders (searched recursively) and glob patterns, one or many; or one open
            binary file; or a mapping, of files to the output of each or None. Names with ``://``
            lie in object stores (extra ``cluster``).
        output: a file for one source, or a folder; None writes ``call.enhanced.wav`` beside
            ``call.wav``. An open binary file takes the sound of one source, as WAV.
        model: and ``device``, ``fidelity``, ``strength_db``: as :class:`Enhancer` has them.
        output_rate: and ``cutoff_hz``, ``subtype``, ``overwrite``, ``tags``, ``skip_unchanged``,
            ``select``, ``target_lufs``: as :meth:`Enhancer.enhance_file` has them.
        beside: extensions of what the caller will write beside each output, such as ``.png``; these
            names must be free, too.
        suffix: of the outputs' names, in place of ``.enhanced``.
        dry_run: do nothing, and return what would be written, as each outcome's ``planned``.
        resume: leave files alone whose output exists already: nothing half-written has its name.
        shard: ``(i, n)``, to do the i-th of n parts, counted from 1.
        jobs: files done at the same time, each by a process of one thread; None for one, or one
            on each core of a cluster.
        cluster: have them done by the machines of a Ray cluster: its address, ``auto`` or
            ``local``. They must see the files under the same names.
        isolated: decode in a process of its own even for one job, so that a crash in a decoder
            ends a file and not this process. It costs a start of Python.
        timeout_s: give a file up after so many seconds; only where there are processes.
        progress: is called with how many files are done, fractions included and large files
            counting for more, and of how many.
        on_outcome: is called with each outcome as soon as it is known.

    Returns:
        An :class:`Outcome` for every file, those that failed included, in the order in which they
        were done.

    Raises:
        InvalidInputError: nothing can be done at all, as no file was found, or two would be
            written to one name.
        ModelError: there is no such model, or it cannot be used.

    Example:
        >>> enhance_files(["gone.wav"], "enhanced/")[0].error
        'gone.wav: no such file or folder'
    """
    settings = Settings(
        model=model,
        device=device,
        fidelity=fidelity,
        strength_db=strength_db,
        output_rate=output_rate,
        cutoff_hz=cutoff_hz,
        subtype=subtype,
        overwrite=overwrite,
        tags=tags,
        skip_unchanged=skip_unchanged,
        select=checked_times(select),
        target_lufs=target_lufs,
    )
    check_loudness(target_lufs, select)
    tasks, outcomes = _plan_tasks(sources, output, beside=beside, suffix=suffix)
    if shard is not None:
        tasks = executor.take_shard(tasks, shard)
    if not overwrite or resume:
        tasks, existing = part_existing(tasks, overwrite=overwrite, resume=resume)
        outcomes += existing
    if dry_run:
        outcomes += [Outcome(task.name, planned=cast("Path", task.destination)) for task in tasks]
        tasks = []
    sizes = _sizes(tasks)
    fractions: dict[Path, float] = {}

    def advance(source: Path, fraction: float) -> None:
        fractions[source] = fraction
        if progress:
            done = sum(sizes[name] * part for name, part in fractions.items())
            progress(len(tasks) * done / sum(sizes.values()), len(tasks))

    if on_outcome:
        for failure in outcomes:
            on_outcome(failure)
    report = (lambda task, fraction: advance(task.name, fraction)) if progress else None
    running = run(
        tasks,
        settings,
        jobs=jobs,
        cluster=cluster,
        isolated=isolated,
        timeout_s=timeout_s,
        progress=report,
    )
    with closing(running) as done:
        for outcome in done:
            advance(outcome.source, 1.0)
            outcomes.append(outcome)
            if on_outcome:
                on_outcome(outcome)
    return outcomes


def _sizes(tasks: Sequence[Task]) -> dict[Path, int]:
    """Return how much work each task is: bytes, or the same for all where they are far away."""
    near = all(isinstance(task.source, Path) for task in tasks)
    sizes = {}
    for task in tasks:
        with suppress(OSError):
            sizes[task.name] = max(1, os.stat(task.name).st_size) if near else 1  # noqa: PTH116
        sizes.setdefault(task.name, 1)
    return sizes


def _plan_tasks(
    sources: Sources,
    output: str | os.PathLike[str] | BinaryIO | None,
    *,
    beside: Sequence[str],
    suffix: str | None,
) -> tuple[list[Task], list[Outcome]]:
    """Return what is to be done, and a failure for each argument that means no file."""
    to = os.fspath(output) if isinstance(output, (str, os.PathLike)) else output
    if is_stream(sources):
        if to is None:
            raise InvalidInputError("a stream needs an output: a name, or another stream")
        if isinstance(to, str) and _is_folder_name(to):
            raise InvalidInputError(f"output {to}: a stream has no name to keep; name a file")
        return [Task(sources, Path(to) if isinstance(to, str) else to, beside=tuple(beside))], []
    if isinstance(sources, Mapping):
        return _plan_rows(sources, to, beside=beside, suffix=suffix), []
    given = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    names = [os.fspath(name) for name in cast("Iterable[str | os.PathLike[str]]", given)]
    found, reasons = find_sources(
        names, exclude=Path(to) if isinstance(to, str) else None, mark=suffix or ENHANCED_MARK
    )
    failures = [Outcome.failed(path, reason) for path, reason in reasons]
    if not found and not failures:
        raise InvalidInputError("nothing to do: the files found are *.enhanced.* already")
    if to is None or isinstance(to, str):
        return make_tasks(found, to, beside=beside, suffix=suffix), failures
    if len(found) > 1:
        raise InvalidInputError(f"one stream cannot take {len(found)} files: name a folder")
    return [Task(source.path, to) for source in found], failures


def _plan_rows(
    rows: Mapping[str, str | None],
    output: str | BinaryIO | None,
    *,
    beside: Sequence[str],
    suffix: str | None,
) -> list[Task]:
    """Return a task a row; whether its source exists shows when it is opened."""
    if not (output is None or isinstance(output, str)):
        raise InvalidInputError("one stream cannot take the files of a list: name a folder")
    named = [
        Task(path_of(name), _file_path(name, to)) for name, to in rows.items() if to is not None
    ]
    paths = [path_of(name) for name, to in rows.items() if to is None]
    others = _make_tasks([Source(path, path.parent) for path in paths], output, suffix)
    return _without_clashes(named + others, beside)


def _file_path(source: str, output: str) -> Path:
    """Return where a row's result goes; refuse what cannot be, as far as the name alone tells.

    There may be millions of rows, in a store that takes its time to answer.
    """
    path = path_of(output)
    if str(output).endswith(("/", os.sep)) or path.suffix.lower() not in WRITABLE:
        raise InvalidInputError(
            f"{source}: output {output}: cannot be written; name a file that ends in one of"
            f" {' '.join(WRITABLE)}"
        )
    return path


def run(
    tasks: Sequence[Task],
    settings: Settings,
    *,
    jobs: int | None = None,
    cluster: str | None = None,
    isolated: bool = False,
    timeout_s: float | None = None,
    progress: Callable[[Task, float], None] | None = None,
    make_enhancer: MakeEnhancer | None = None,
) -> Generator[Outcome, None, None]:
    """Enhance every task and yield its outcome as it is known.

    With ``jobs`` above 1 that many processes, of one thread each, share the tasks, or the machines
    of a ``cluster`` do; outcomes then come in the order of completion. Close the iterator (or leave
    it) to stop: files half done leave nothing behind. ``progress`` is called with a task and the
    fraction of it done. ``isolated`` and ``timeout_s`` are as :func:`overtone.executor.map` has
    them; a stream is done in this process all the same.

    Raises OvertoneError if no file at all can be enhanced, as when the model is not found.
    """
    threads = 1 if cluster is not None or (jobs or 1) > 1 else None
    init = partial(make_enhancer or make_default_enhancer, settings, threads)
    work = partial(_enhance_one, settings)
    files = all(task.has_names for task in tasks)
    for _, outcome in executor.map(
        init,
        work,
        tasks,
        jobs=jobs,
        cluster=cluster if files else None,
        isolated=isolated and files,
        timeout_s=timeout_s,
        progress=progress,
        lost=_lost,
    ):
        yield outcome


def _lost(task: Task, reason: str) -> Outcome:
    """Report a crash in a decoder, or one that never ends, as what it is to a user: damage."""
    if isinstance(task.destination, Path):
        sweep(task.destination.parent)
    cure = "if other programs play it, convert it to .wav, and please report it"
    return Outcome.failed(task.name, f"{reason}; {cure}")


def make_default_enhancer(settings: Settings, threads: int | None) -> EnhancesFiles:
    """Return the ``Enhancer`` that the settings describe."""
    # Only where the work is done: who shares it out need not load what does it.
    from overtone.inference.enhancer import Enhancer

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
        with _staged(task, overwrite=settings.overwrite) as (here, finish):
            report = finish(
                enhancer.enhance_file(
                    here.source,
                    here.destination,
                    output_rate=settings.output_rate,
                    cutoff_hz=settings.cutoff_hz,
                    subtype=settings.subtype,
                    overwrite=settings.overwrite,
                    tags=settings.tags,
                    copy_to=here.copy_to,
                    skip_unchanged=settings.skip_unchanged,
                    select=settings.select,
                    target_lufs=settings.target_lufs,
                    progress=progress,
                )
            )
    except OvertoneError as error:
        return Outcome.failed(task.name, str(error))
    except OSError as error:
        return Outcome.failed(task.name, describe_os_error(error))
    except MemoryError:
        return Outcome.failed(task.name, "not enough memory")
    except Exception as error:  # a defect of ours must not cost the user the other files
        reason = f"internal error, please report it: {type(error).__name__}: {error}"
        return Outcome.failed(task.name, reason, defect=traceback.format_exc())
    return Outcome(task.name, report=report)


@contextmanager
def _staged(
    task: Task, *, overwrite: bool
) -> Iterator[tuple[Task, Callable[[EnhanceReport], EnhanceReport]]]:
    """Lend the task with ends on this machine, and what brings its result to where it belongs."""
    if isinstance(task.destination, Path):
        folder = task.destination.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInputError(
                f"cannot make the folder {folder} ({error.strerror}); name another output"
            ) from error
    source, destination = cast("Path", task.source), cast("Path", task.destination)
    if not (task.has_names and (is_remote(source) or is_remote(destination))):
        yield task, lambda report: report
        return
    with fetched(source) as input_, temporary_folder() as folder:
        if not is_remote(destination):
            here = replace(task, source=input_)
        else:
            copy_to = task.copy_to and folder / task.copy_to.name
            here = Task(input_, folder / destination.name, copy_to)

        def finish(report: EnhanceReport) -> EnhanceReport:
            report = replace(report, source=str(source))
            if not (report.destination and is_remote(destination)):
                return report
            written = Path(report.destination)
            target = destination.with_name(written.name)
            store(written, target, overwrite=overwrite)
            return replace(report, destination=str(target))

        try:
            yield here, finish
        except (AudioFileError, InvalidInputError) as error:
            said = str(error).replace(str(input_), str(source))
            said = said.replace(str(here.destination), str(destination))
            raise type(error)(said) from error
