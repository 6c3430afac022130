"""The state of a running service: its folder, its pool, its jobs, its figures."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from overtone.files import temporary_folder
from overtone.inference.model import list_models
from overtone.serve import work
from overtone.serve.jobs import Job, Jobs, State
from overtone.serve.options import Options, Report
from overtone.serve.pool import BusyError, CrashError, Pool
from overtone.serve.settings import Settings
from overtone.serve.uploads import Upload, receive
from overtone.serve.work import Enhance, Refused, Task

Result = TypeVar("Result")
INPUT = "input"
RETRY_S = "5"
SWEEP_S = 10.0
CLIENT_CLOSED = 499  # as nginx logs a client that has gone


class Service:
    """What the routes share."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.limits = settings, settings.limits
        self.models = frozenset({"auto", *(info.name for info in list_models())})
        self.jobs = Jobs(self.limits.jobs, self.limits.expire_s)
        self.streams = 0
        self.folder: Path
        self.pool: Pool
        self.registry = CollectorRegistry()
        self._define_metrics()

    def _define_metrics(self) -> None:
        registry = self.registry
        labels = ["method", "route", "status"]
        self._requests = Counter("overtone_requests", "Answers.", labels, registry=registry)
        self._seconds = Histogram(
            "overtone_request_seconds", "Time to answer.", ["route"], registry=registry
        )
        self._audio = Counter("overtone_audio_seconds", "Audio enhanced.", registry=registry)
        for name, about, value in (
            ("workers_busy", "Worker processes at work.", lambda: self.pool.busy),
            ("waiting", "Requests that wait for a worker.", lambda: self.pool.waiting),
            ("streams", "Open streams.", lambda: self.streams),
            ("jobs_running", "Jobs at work.", lambda: self.jobs.count(State.RUNNING)),
        ):
            Gauge(f"overtone_{name}", about, registry=registry).set_function(value)

    def observe(self, scope: Any, status: int, seconds: float) -> None:
        """Count an answer, by its route: paths are the client's and without end."""
        route = getattr(scope.get("route"), "path", "none")
        self._requests.labels(scope["method"], route, status).inc()
        self._seconds.labels(route).observe(seconds)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the pool, and at the end stop it and leave nothing behind."""
        with temporary_folder() as self.folder:
            self.pool = Pool(
                work.start,
                work.work,
                workers=self.limits.workers,
                queue=self.limits.queue,
                timeout_s=self.limits.work_s,
            )
            sweeping = asyncio.create_task(self._sweep())
            try:
                yield
            finally:
                sweeping.cancel()
                self.jobs.close()
                await self.pool.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP_S, self.limits.expire_s))
            self.jobs.expire()

    @contextmanager
    def new_folder(self) -> Any:
        """A folder for one request; it goes if the request fails."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    async def upload(self, request: Request, folder: Path, options: Options) -> Enhance:
        """Receive a request's file and say what is to be done to it."""
        upload: Upload = await receive(request, folder / INPUT, self.limits)
        options = options.merged(upload.fields)
        return self.enhance(folder / INPUT, folder, upload.name, options)

    def enhance(self, source: Path, folder: Path, name: str, options: Options) -> Enhance:
        """Say what is to be done to a file, and that the result goes into ``folder``."""
        if options.model not in self.models:
            known = ", ".join(sorted(self.models))
            raise HTTPException(422, f"no model {options.model!r}; there are {known}")
        return Enhance(source, name, self.limits, folder / f"output.{options.format}", options)

    async def do(self, task: Task, report: Callable[[float], None] = lambda _: None) -> Any:
        """Have a task done by the pool.

        Raises:
            HTTPException: what kept it from being done.
        """
        try:
            done = await self.pool.run(task, report)
        except BusyError as error:
            raise HTTPException(429, str(error), {"Retry-After": RETRY_S}) from error
        except CrashError as error:
            raise HTTPException(500, f"{task.name}: {error}") from error
        if isinstance(done, Refused):
            raise HTTPException(done.status, done.detail)
        if isinstance(done, Report):
            self._audio.inc(done.duration_s)
        return done

    def start_job(self, task: Enhance, folder: Path) -> Job:
        """Begin a job and return at once."""
        job = Job(task, folder)
        self.jobs.add(job)
        job.running = asyncio.create_task(self._run(job))
        return job

    async def _run(self, job: Job) -> None:
        try:
            job.end(report=await self.do(job.task, job.advance))
        except HTTPException as error:
            job.end(error=error.detail)
        except Exception as error:
            job.end(error=f"{job.task.name}: internal error: {type(error).__name__}")
            raise
        finally:
            (job.folder / INPUT).unlink(missing_ok=True)  # the result alone is kept


async def unless_gone(request: Request, doing: Awaitable[Result]) -> Result:
    """Wait for ``doing``, but give it up when the client goes away. The body has been read."""
    work_ = asyncio.ensure_future(doing)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({work_, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work_.done():
            raise HTTPException(CLIENT_CLOSED, "the client has gone")
        return work_.result()
    finally:
        for task in (work_, gone):
            task.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
