"""A pool of worker processes behind asyncio: bounded, and one that dies is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from overtone.errors import OvertoneError
from overtone.executor import Raised, Ready, Worker, cause_of_death


class BusyError(OvertoneError):
    """All workers are at work, and as many requests wait as may."""


class CrashError(OvertoneError):
    """The process that worked on an item died; the message says how."""


class Pool:
    """Worker processes, an item each at a time.

    Args:
        init: makes what ``work`` needs, once in every process.
        work: does one item; see :func:`overtone.executor.map`.
        workers: processes.
        queue: how many items may wait for one.
        timeout_s: an item that takes longer is given up, and its process ended.
    """

    def __init__(
        self,
        init: Callable[[], Any],
        work: Callable[..., Any],
        *,
        workers: int,
        queue: int,
        timeout_s: float | None = None,
    ) -> None:
        self._init, self._work, self._queue = init, work, queue
        self._timeout_s = timeout_s
        self._idle: asyncio.Queue[Worker[Any]] = asyncio.Queue()
        self._all = {self._start() for _ in range(workers)}
        # A thread waits for each worker; a few more see the last messages of those that end.
        self._threads = ThreadPoolExecutor(2 * workers + 2, thread_name_prefix="overtone-pool")
        self.waiting = 0

    @property
    def busy(self) -> int:
        """Workers that are at work."""
        return len(self._all) - self._idle.qsize()

    async def run(self, item: Any, report: Callable[[float], None] = lambda _: None) -> Any:
        """Do ``item`` and return what the work gave; cancelled, its process is ended.

        Raises:
            BusyError: too many wait already.
            CrashError: the process died over it, or it took too long.
        """
        if self.waiting >= self._queue and self._idle.empty():
            raise BusyError(f"{self.waiting} requests wait already; try again later")
        self.waiting += 1
        try:
            worker = await self._idle.get()
        finally:
            self.waiting -= 1
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await self._converse(worker, item, report)
        except BaseException as error:
            self._replace(worker)
            if isinstance(error, TimeoutError):
                raise CrashError(f"not done within {self._timeout_s:g} s") from None
            raise
        self._idle.put_nowait(worker)
        return result

    async def _converse(
        self, worker: Worker[Any], item: Any, report: Callable[[float], None]
    ) -> Any:
        loop = asyncio.get_running_loop()
        worker.give(item)
        while True:
            try:
                message = await loop.run_in_executor(self._threads, worker.pipe.recv)
            except (EOFError, OSError):
                await loop.run_in_executor(self._threads, worker.process.join)
                raise CrashError(cause_of_death(worker.process.exitcode)) from None
            if isinstance(message, float):
                report(message)
            elif isinstance(message, Raised):
                raise message.error
            elif not isinstance(message, Ready):
                return message.value

    def _start(self) -> Worker[Any]:
        worker: Worker[Any] = Worker(self._init, self._work)
        self._idle.put_nowait(worker)
        return worker

    def _replace(self, worker: Worker[Any]) -> None:
        self._all.discard(worker)
        self._threads.submit(worker.stop)
        self._all.add(self._start())

    async def close(self) -> None:
        """End all workers, whatever they are at."""
        loop = asyncio.get_running_loop()
        stops = [loop.run_in_executor(self._threads, worker.stop) for worker in self._all]
        await asyncio.gather(*stops, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)
