"""Many files: the processes that enhance what has been planned.

:func:`run` enhances the planned files, here or in several processes, and yields one
:class:`~overtone.inference.plan.Outcome` a file: a bad file, or a process that dies over one, is an
outcome like any other and never stops the rest.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from overtone.errors import OvertoneError
from overtone.inference.plan import Outcome, Task, describe_os_error

if TYPE_CHECKING:
    from overtone.inference.enhancer import FileReport

PROGRESS_STEP = 0.01  # a finer bar is not worth a message between processes
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Settings:
    """What holds for every file of a batch, in the terms of ``Enhancer`` and ``enhance_file``."""

    model: str = "auto"
    device: str = "auto"
    fidelity: float | None = None
    output_rate: int | None = None
    cutoff_hz: float | None = None
    subtype: str | None = None
    overwrite: bool = False


class EnhancesFiles(Protocol):
    """The part of ``Enhancer`` that a batch uses."""

    def enhance_file(
        self,
        source: Path,
        destination: Path,
        *,
        output_rate: int | None = None,
        cutoff_hz: float | None = None,
        subtype: str | None = None,
        overwrite: bool = False,
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
    make = make_enhancer or make_default_enhancer
    jobs = min(jobs, len(tasks))
    if jobs > 1:
        yield from _run_in_processes(tasks, settings, jobs, progress, make)
    elif jobs == 1:
        enhancer = make(settings, None)
        for task in tasks:
            report = partial(progress, task.source) if progress else None
            yield _enhance_one(enhancer, task, settings, report)


def make_default_enhancer(settings: Settings, threads: int | None) -> EnhancesFiles:
    """Return the ``Enhancer`` that the settings describe."""
    from overtone.inference.enhancer import Enhancer

    return Enhancer(
        settings.model, device=settings.device, threads=threads, fidelity=settings.fidelity
    )


def _enhance_one(
    enhancer: EnhancesFiles,
    task: Task,
    settings: Settings,
    progress: Callable[[float], None] | None,
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


# The processes ----------------------------------------------------------------------------------
# concurrent.futures would fail every pending file when one process dies, and not say over which.
# Here each process has its own pipe: one that dies is the end of that pipe, the file it held is
# reported, and a new process takes the next.


@dataclass(frozen=True)
class _Hopeless:
    """Sent by a process that cannot enhance any file, and why."""

    reason: str


class _Worker:
    """A process with its own enhancer, the pipe to it, and the task it is at."""

    def __init__(self, settings: Settings, make: MakeEnhancer) -> None:
        # spawn: a forked onnxruntime or a forked lock of another thread can hang.
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, settings, make), daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.task: Task | None = None

    def give(self, task: Task) -> None:
        self.task = task
        with suppress(OSError):  # already dead: the next look at the pipe says so
            self.pipe.send(task)

    def receive(self) -> Any:
        """Return the next message; of a dead process, the failure of the task it held."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            assert self.task is not None
            return Outcome.failed(self.task.source, _cause_of_death(self.process.exitcode))

    def stop(self) -> None:
        self.process.terminate()  # the handler in _serve unwinds, so temporary files go
        self.process.join(STOP_TIMEOUT_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


def _run_in_processes(
    tasks: Sequence[Task],
    settings: Settings,
    jobs: int,
    progress: Progress | None,
    make: MakeEnhancer,
) -> Iterator[Outcome]:
    waiting = deque(tasks)
    workers: dict[Any, _Worker] = {}

    def start() -> None:
        worker = _Worker(settings, make)
        workers[worker.pipe] = worker
        worker.give(waiting.popleft())

    try:
        for _ in range(jobs):
            start()
        while workers:
            for pipe in connection.wait(list(workers)):
                worker = workers[pipe]
                message = worker.receive()
                if isinstance(message, _Hopeless):
                    raise OvertoneError(message.reason)
                if isinstance(message, float):
                    if progress and worker.task:
                        progress(worker.task.source, message)
                    continue
                yield message
                if waiting and worker.process.is_alive():
                    worker.give(waiting.popleft())
                    continue
                workers.pop(pipe).stop()
                if waiting:
                    start()
    finally:
        for worker in workers.values():
            worker.stop()


def _serve(pipe: Any, settings: Settings, make: MakeEnhancer) -> None:
    """Enhance the tasks that come through the pipe until it ends (the body of a process)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with suppress(EOFError, OSError):  # the parent is gone
        try:
            enhancer = make(settings, 1)
        except OvertoneError as error:
            pipe.send(_Hopeless(str(error)))
            return
        while True:
            task = pipe.recv()
            pipe.send(_enhance_one(enhancer, task, settings, _Steps(pipe.send)))


class _Steps:
    """Passes a growing fraction on, but only in steps worth a message."""

    def __init__(self, send: Callable[[float], None]) -> None:
        self._send = send
        self._sent = 0.0

    def __call__(self, fraction: float) -> None:
        if fraction - self._sent >= PROGRESS_STEP:
            self._sent = float(fraction)
            self._send(self._sent)


def _cause_of_death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = ", perhaps for lack of memory" if name == "SIGKILL" else ""
        return f"the process working on it was ended by {name}{hint}"
    return f"the process working on it ended with code {exitcode}"
