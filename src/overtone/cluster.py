"""The pool of :mod:`overtone.executor` on the machines of a Ray cluster.

An actor on each core holds the state, such as a loaded model, and takes batches of items. They grow
until one lasts seconds, as handing one over costs milliseconds and a corpus may have millions of
short files. An actor has one batch at work and one waiting, so that nothing piles up. Where an
actor dies, alone or with its machine, what it had goes to others, and what it was at goes alone; an
item that was at several deaths is lost. Machines that join later are used, too.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Generic, TypeVar

from overtone.errors import InvalidInputError, MissingExtraError, OvertoneError
from overtone.executor import Report, ignore
from overtone.files import first_line

State = TypeVar("State")
Item = TypeVar("Item")
Result = TypeVar("Result")

LOCAL = "local"  # Ray's name for a cluster of this machine, for as long as this process runs
BATCH_S, MAX_BATCH = 2.0, 256
BATCHES_A_S = 500.0  # that this process hands out and takes back at a fifth of a core
BATCHES = 2  # that an actor has: one at work, one waiting
MAX_DEATHS = 3
CONNECT_S = 5.0
LOOK_S = 5.0  # between looks at the head, and for cores that are new
MAX_SILENCES = 3  # looks at which the head does not answer
# Processes on other machines are to be as this one, of one thread each.
PASSED_ON = ("PYTHONPATH", "ORT_DISABLE_TELEMETRY")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def map_on_cluster(
    init: Callable[[], State],
    work: Callable[[State, Item, Report], Result],
    items: Sequence[Item],
    *,
    address: str,
    jobs: int | None = None,
    timeout_s: float | None = None,
    lost: Callable[[Item, str], Result],
) -> Generator[tuple[Item, Result], None, None]:
    """Do as :func:`overtone.executor.map` does, on a cluster.

    Args:
        init: makes the state, once for each actor.
        work: does one item.
        items: to be done. They, and their results, must be picklable.
        address: of the cluster, ``HOST:PORT`` or ``ray://HOST:PORT``; ``auto`` for that which this
            machine belongs to, ``local`` for one of its own.
        jobs: how many actors at most; None for one on each core.
        timeout_s: an item that takes longer is lost.
        lost: gives the result of an item that could not be done, and why.

    Raises:
        MissingExtraError: Ray is not installed.
        OvertoneError: there is no such cluster, it went away, or its machines have other versions.
        Exception: what ``init`` or ``work`` raised.
    """
    ray, ours = _connect(address)
    pool: _Pool[Item] = _Pool(ray, (init, work, _here()), jobs, timeout_s)
    try:
        pool.waiting.extend(Piece(item) for item in items)
        while pool.busy:
            for piece, result in pool.step():
                yield (
                    piece.item,
                    (lost(piece.item, result.reason) if isinstance(result, Loss) else result),
                )
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise OvertoneError(f"the cluster {address} went away ({first_line(error)})") from error
    finally:
        pool.stop()
        if ours:
            ray.shutdown()


@dataclass
class Piece(Generic[Item]):
    """An item, and at how many deaths it was."""

    item: Item
    deaths: int = 0


@dataclass(frozen=True)
class Loss:
    """Why an item has no result."""

    reason: str


@dataclass
class Batch(Generic[Item]):
    """Items on their way through an actor; ``reference`` is what Ray gives for them."""

    pieces: list[Piece[Item]]
    reference: Any


@dataclass(eq=False)
class Actor(Generic[Item]):
    """An actor, the batches it has, and since when it has been at the first.

    ``starting`` is what Ray gives for its state. Until that is there, it may be waiting for a core
    that is not to be had, and gets nothing.
    """

    handle: Any
    starting: Any
    batches: deque[Batch[Item]] = field(default_factory=deque)
    since: float = 0.0


@dataclass(frozen=True)
class Here:
    """What has to be the same on all machines."""

    overtone: str
    python: str
    folder: str

    def settle(self) -> None:
        """Be as the machine that this was made on; raise OvertoneError if that cannot be."""
        here = _here()
        if (here.overtone, here.python) != (self.overtone, self.python):
            raise OvertoneError(
                f"{platform.node()} has overtone {here.overtone} on Python {here.python}, not"
                f" {self.overtone} on {self.python}: install the same on all machines"
            )
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise OvertoneError(
                f"{platform.node()} does not see {self.folder} ({error.strerror}): mount it there,"
                " or take names of an object store"
            ) from error


def _here() -> Here:
    return Here(version("overtone"), platform.python_version(), os.getcwd())  # noqa: PTH109


class Worker:
    """What runs in an actor."""

    def __init__(self, init: Callable[[], Any], work: Callable[..., Any], there: Here) -> None:
        self._init, self._work, self._there = init, work, there
        self._state: Any = None

    def start(self) -> None:
        """Make the state."""
        self._there.settle()
        self._state = self._init()

    def do(self, items: list[Any]) -> tuple[float, list[Any]]:
        """Return how many seconds the items took, and their results."""
        begun = time.monotonic()
        results = [self._work(self._state, item, ignore) for item in items]
        return time.monotonic() - begun, results


class _Pool(Generic[Item]):
    """The actors, what waits for them, and how large the next batch should be."""

    def __init__(
        self, ray: Any, parts: tuple[Any, ...], jobs: int | None, timeout_s: float | None
    ) -> None:
        self.waiting: deque[Piece[Item]] = deque()
        self._ray, self._parts, self._jobs, self._timeout_s = ray, parts, jobs, timeout_s
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._worker = ray.remote(Worker).options(
            num_cpus=1, runtime_env={"env_vars": ONE_THREAD | passed_on}
        )
        self._actors: list[Actor[Item]] = []
        self._item_s = BATCH_S  # until more is known, an item goes alone
        self._looked = float("-inf")
        self._stillborn = self._silences = 0
        # Of a client's server (ray://), this is an address that others see; Ray tells us of those.
        head = ray.get_runtime_context().gcs_address
        self._head = head if _answers(head) else None

    @property
    def busy(self) -> bool:
        """Whether anything is still to be done."""
        return bool(self.waiting) or any(actor.batches for actor in self._actors)

    def step(self) -> Generator[tuple[Piece[Item], Any], None, None]:
        """Hand out what can be handed out, wait a moment, and yield what has become known."""
        self._grow()
        self._feed()
        references = [batch.reference for actor in self._actors for batch in actor.batches]
        references += [actor.starting for actor in self._actors if actor.starting is not None]
        wait_s = min(LOOK_S, self._timeout_s or LOOK_S)
        if not references:  # no cores
            time.sleep(wait_s)
            return
        self._ray.wait(references, timeout=wait_s)  # for one; then those that are there, too
        known = set(self._ray.wait(references, num_returns=len(references), timeout=0)[0])
        for actor in list(self._actors):
            if actor.starting in known:
                self._greet(actor)
            while actor.batches and actor.batches[0].reference in known:
                try:
                    took_s, results = self._result(actor.batches[0].reference)
                except self._ray.exceptions.RayError:
                    yield from self._bury(actor, "the process working on it ended")
                    break
                pieces = actor.batches.popleft().pieces
                actor.since = time.monotonic()
                self._item_s += (took_s / len(pieces) - self._item_s) / 2
                yield from zip(pieces, results, strict=True)
            if actor.batches and self._overdue(actor):
                self._ray.kill(actor.handle)
                timeout = f"not done within {self._timeout_s:g} s, the timeout"
                yield from self._bury(actor, timeout, last=len(actor.batches[0].pieces) == 1)

    def _result(self, reference: Any) -> Any:
        """Return what an actor made, or raise what it raised; RayError is for one that is gone."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None

    def _greet(self, actor: Actor[Item]) -> None:
        """Let an actor that has its state take part."""
        try:
            self._result(actor.starting)
        except self._ray.exceptions.RayError as error:
            self._actors.remove(actor)
            self._stillborn += 1
            if self._stillborn == MAX_DEATHS:
                why = first_line(error)
                raise OvertoneError(f"the cluster's processes end as they start ({why})") from error
        else:
            actor.starting, self._stillborn = None, 0

    def _grow(self) -> None:
        """Start actors on cores that have none."""
        if time.monotonic() < self._looked + LOOK_S:
            return
        self._looked = time.monotonic()
        if self._head and not _answers(self._head):
            # Ray would wait for a minute, and then end this process without a word.
            self._silences += 1
            if self._silences == MAX_SILENCES:
                self._actors.clear()  # there is nobody to end them
                raise ConnectionError(f"its head {self._head} does not answer")
            return
        self._silences = 0
        cores = int(self._ray.cluster_resources().get("CPU", 0))
        idle = min(cores, self._jobs or cores) - len(self._actors)
        for _ in range(min(idle, len(self.waiting))):
            handle = self._worker.remote(*self._parts)
            self._actors.append(Actor(handle, handle.start.remote()))

    def _feed(self) -> None:
        ready = [actor for actor in self._actors if actor.starting is None]
        for actor in sorted(ready, key=lambda actor: len(actor.batches)):
            while self.waiting and len(actor.batches) < BATCHES:
                if actor.batches and (self.waiting[0].deaths or actor.batches[-1].pieces[0].deaths):
                    break  # what was at a death goes alone, to tell which of them it is
                size = batch_size(self._item_s, len(self.waiting), len(ready))
                if self.waiting[0].deaths:
                    size = 1
                pieces = [self.waiting.popleft() for _ in range(size)]
                if not actor.batches:
                    actor.since = time.monotonic()
                reference = actor.handle.do.remote([piece.item for piece in pieces])
                actor.batches.append(Batch(pieces, reference))

    def _overdue(self, actor: Actor[Item]) -> bool:
        items = len(actor.batches[0].pieces)
        return time.monotonic() > actor.since + items * (self._timeout_s or float("inf"))

    def _bury(
        self, actor: Actor[Item], reason: str, *, last: bool = False
    ) -> Generator[tuple[Piece[Item], Loss], None, None]:
        """Put back what an actor had; yield what was at too many deaths, or at its ``last``."""
        self._actors.remove(actor)
        self._looked = float("-inf")
        first = actor.batches[0].pieces[0]
        again: list[Piece[Item]] = []
        # A batch may have been done without its results having come; so all are under suspicion.
        for piece in (piece for batch in actor.batches for piece in batch.pieces):
            piece.deaths += 1
            if piece.deaths == MAX_DEATHS or (last and piece is first):
                yield piece, Loss(reason)
            else:
                again.append(piece)
        self.waiting.extendleft(reversed(again))

    def stop(self) -> None:
        """End all actors, whatever they are at."""
        for actor in self._actors:
            with suppress(Exception):  # the cluster may be gone
                self._ray.kill(actor.handle)


def batch_size(item_s: float, items: int, actors: int) -> int:
    """Return how many of ``items`` that take ``item_s`` each go to one of ``actors`` at once."""
    batch_s = max(BATCH_S, actors / BATCHES_A_S)
    share = items / (BATCHES * actors)  # towards the end smaller ones, so that all end together
    return max(1, round(min(batch_s / max(item_s, 1e-9), MAX_BATCH, share)))


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError:
        return False
    return True


def _connect(address: str) -> tuple[Any, bool]:
    """Return Ray, connected, and whether the connection is ours to end."""
    # Its own defaults tell a server which functions are used.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("a cluster", "cluster") from error
    if ray.is_initialized():
        return ray, False
    options: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    try:
        host, _, port = address.rpartition("://")[2].rpartition(":")
        if host:  # Ray itself would wait for minutes
            socket.create_connection((host, int(port)), CONNECT_S).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise InvalidInputError(
            f"cluster {address}: not reached ({first_line(error)}); start one with ray start"
            " --head, set RAY_AUTH_MODE=token for one that wants a token, or take"
            f" {LOCAL!r} for this machine alone"
        ) from error
    return ray, True
