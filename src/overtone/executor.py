"""One pool of processes for whatever is done to many items.

concurrent.futures would fail every pending item when one process dies, and not say over which. Here
each process has its own pipe: one that dies is the end of that pipe, the item it held is known to
be lost, and a new process takes the next. Processes end with their parent, however that ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import connection, get_context, resource_tracker, util
from typing import Any, Generic, TypeVar

from overtone import logs
from overtone.errors import InvalidInputError, OvertoneError

State = TypeVar("State")
Item = TypeVar("Item")
Result = TypeVar("Result")

Report = Callable[[float], None]  # takes the fraction of an item that is done, 0 to 1

PROGRESS_STEP = 0.01  # a finer bar is not worth a message between processes
START_S = 60.0  # which a process may take to make its state, if an item may not take longer
STOP_TIMEOUT_S = 5.0
LONGEST_WAIT_S = 3600.0  # the system counts no more than days, and after it one waits again
BLAS_THREADS = "OPENBLAS_NUM_THREADS"

# Of glibc's mallopt: which arrays get pages of their own, which go back to the system as soon as
# they are freed, and how much of the rest is kept.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, LARGE_BYTES = 256 * 2**20, 32 * 2**20


def map(
    init: Callable[[], State],
    work: Callable[[State, Item, Report], Result],
    items: Sequence[Item],
    *,
    jobs: int | None = None,
    cluster: str | None = None,
    isolated: bool = False,
    timeout_s: float | None = None,
    progress: Callable[[Item, float], None] | None = None,
    lost: Callable[[Item, str], Result] | None = None,
) -> Generator[tuple[Item, Result], None, None]:
    """Do ``work(state, item, report)`` for every item and yield ``(item, result)`` as it is known.

    With ``jobs`` above 1 that many processes share the items, each with the state that its own
    ``init()`` gave; results then come in the order of completion, and everything passed must be
    importable from a fresh process. Close the generator (or leave it) to stop.

    Args:
        init: makes what ``work`` needs for all items, such as a loaded model.
        work: does one item; it may call ``report`` with the fraction done.
        items: to be done.
        jobs: how many at the same time; None for one, or for one on each core of a cluster.
        cluster: have them done by the machines of a Ray cluster; see :mod:`overtone.cluster`.
        isolated: have a process of its own even for one job, so that a crash is the end of an item
            and not of this process. It lives as long as it is healthy.
        timeout_s: an item that takes longer is lost; only where there are processes. ``init`` has
            that long, or a minute, for itself.
        progress: is called with an item and the fraction of it that is done.
        lost: gives the result of an item whose process died, and why; None raises OvertoneError.

    Raises:
        Exception: what ``init`` or ``work`` raised.
    """
    lost = lost or _raise_lost
    if cluster is not None and items:
        from overtone.cluster import map_on_cluster

        yield from map_on_cluster(
            init, work, items, address=cluster, jobs=jobs, timeout_s=timeout_s, lost=lost
        )
        return
    jobs = min(jobs or 1, len(items))
    if jobs > 1 or (jobs and isolated):
        yield from _map_in_processes(init, work, items, jobs, timeout_s, progress, lost)
    elif jobs == 1:
        state = init()
        for item in items:
            report = partial(progress, item) if progress else ignore
            yield item, work(state, item, report)


def take_shard(items: Sequence[Item], shard: tuple[int, int]) -> list[Item]:
    """Return the i-th of n parts of ``items``, every n-th, for ``shard`` as ``(i, n)``.

    Raises:
        InvalidInputError: there is no i-th of n parts.

    Example:
        >>> take_shard(["a", "b", "c", "d", "e"], (2, 3))
        ['b', 'e']
    """
    part, parts = shard
    if not 1 <= part <= parts:
        raise InvalidInputError(f"shard {part}/{parts}: there is none; count from 1/{parts}")
    return list(items[part - 1 :: parts])


def _raise_lost(item: Any, reason: str) -> Any:
    raise OvertoneError(f"{item}: {reason}")


def ignore(fraction: float) -> None:
    """Report progress to nobody."""
    del fraction


@dataclass(frozen=True)
class Ready:
    """What a worker sends first, when it has its state."""


@dataclass(frozen=True)
class Done(Generic[Result]):
    """What a worker sends for an item it did."""

    value: Result


@dataclass(frozen=True)
class Raised:
    """What a worker sends before it ends over an exception."""

    error: Exception


class Worker(Generic[Item]):
    """A process with its own state, the pipe to it, and the item it is at."""

    def __init__(self, init: Callable[[], Any], work: Callable[..., Any]) -> None:
        # spawn: a forked onnxruntime or a forked lock of another thread can hang.
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, init, work, logs.shown()), daemon=True
        )
        with _one_blas_thread():
            self.process.start()
        _end_tracker_at_exit()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.item: Item
        self._begun = 0.0
        self._ready = self._overdue = False

    def give(self, item: Item) -> None:
        """Hand over the next item; what comes through ``pipe`` then is about it."""
        self.item, self._begun = item, time.monotonic()
        with suppress(OSError):  # already dead: the next look at the pipe says so
            self.pipe.send(item)

    def ready(self) -> None:
        """Count the time of the item from now on: the state is there."""
        self._begun, self._ready = time.monotonic(), True

    def left_s(self, timeout_s: float) -> float:
        """Return how long the item may still take; end the process if that is over."""
        allowed_s = timeout_s if self._ready else max(timeout_s, START_S)
        left_s = self._begun + allowed_s - time.monotonic()
        if left_s <= 0 and not self._overdue:
            self._overdue = True
            self.process.kill()  # what hangs in a library would not hear of anything softer
        return max(0.0, left_s)

    def cause_of_death(self, timeout_s: float | None) -> str:
        """Wait until the process is gone and return why in words."""
        self.process.join()
        if self._overdue:
            return f"not done within {timeout_s:g} s, the timeout"
        return cause_of_death(self.process.exitcode)

    def stop(self) -> None:
        """End the process, whatever it is at."""
        self.process.terminate()  # the handler in _serve unwinds, so temporary files go
        self.process.join(STOP_TIMEOUT_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


@contextmanager
def _one_blas_thread() -> Generator[None, None, None]:
    """Have what starts meanwhile compute in one thread: processes share the cores.

    OpenBLAS, of numpy, reads it when it is loaded; on a busy machine its threads double the cost.
    """
    if BLAS_THREADS in os.environ:
        yield
        return
    os.environ[BLAS_THREADS] = "1"
    try:
        yield
    finally:
        del os.environ[BLAS_THREADS]


def _map_in_processes(
    init: Callable[[], Any],
    work: Callable[..., Result],
    items: Sequence[Item],
    jobs: int,
    timeout_s: float | None,
    progress: Callable[[Item, float], None] | None,
    lost: Callable[[Item, str], Result],
) -> Generator[tuple[Item, Result], None, None]:
    waiting = deque(items)
    workers: dict[Any, Worker[Item]] = {}

    def start() -> None:
        worker: Worker[Item] = Worker(init, work)
        workers[worker.pipe] = worker
        worker.give(waiting.popleft())

    try:
        for _ in range(jobs):
            start()
        while workers:
            left = [worker.left_s(timeout_s) for worker in workers.values()] if timeout_s else []
            for pipe in connection.wait(list(workers), min([LONGEST_WAIT_S, *left])):
                worker = workers[pipe]
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    message = Done(lost(worker.item, worker.cause_of_death(timeout_s)))
                if isinstance(message, Ready):
                    worker.ready()
                    continue
                if isinstance(message, float):
                    if progress:
                        progress(worker.item, message)
                    continue
                if isinstance(message, Raised):
                    raise message.error
                yield worker.item, message.value
                if waiting and worker.process.is_alive():
                    worker.give(waiting.popleft())
                    continue
                workers.pop(pipe).stop()
                if waiting:
                    start()
    finally:
        for worker in workers.values():
            worker.stop()


def _serve(
    pipe: Any, init: Callable[[], Any], work: Callable[..., Any], verbose: bool = False
) -> None:
    """Do the items that come through the pipe until it ends (the body of a process)."""
    if verbose:
        logs.show()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _keep_memory()
    with suppress(EOFError, OSError):  # the parent is gone
        try:
            state = init()
            pipe.send(Ready())
            while True:
                item = pipe.recv()
                pipe.send(Done(work(state, item, _Steps(pipe.send))))
        except (EOFError, OSError):
            raise
        except Exception as error:
            pipe.send(Raised(error))


@cache
def _end_tracker_at_exit() -> None:
    """Wait for the process that multiprocessing starts beside ours, as Python does from 3.13 on.

    It ends last, when all that have a hold on it are gone.
    """
    tracker: Any = resource_tracker._resource_tracker
    if sys.version_info < (3, 13) and tracker._pid is not None:  # it is ours
        util.Finalize(None, tracker._stop, exitpriority=-1)


def _keep_memory() -> None:
    """Keep freed memory for the next array: a sixth of the work was getting it anew, zeroed."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


class _Steps:
    """Passes a growing fraction on, but only in steps worth a message."""

    def __init__(self, send: Callable[[float], None]) -> None:
        self._send = send
        self._sent = 0.0

    def __call__(self, fraction: float) -> None:
        if fraction - self._sent >= PROGRESS_STEP:
            self._sent = float(fraction)
            self._send(self._sent)


def cause_of_death(exitcode: int | None) -> str:
    """Say in words how a process ended."""
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = ", perhaps for lack of memory" if name == "SIGKILL" else ""
        return f"the process working on it was ended by {name}{hint}"
    # A library that finds no memory when it is loaded ends the process so.
    hint = ", perhaps for lack of memory" if exitcode == 1 else ""
    return f"the process working on it ended with code {exitcode}{hint}"
