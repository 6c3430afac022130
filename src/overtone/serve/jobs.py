"""Jobs: work that outlives its request. They are watched, fetched, deleted, or expire."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, Field

from overtone.serve.options import Report
from overtone.serve.work import Enhance


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class JobState(BaseModel):
    """What a client is told of a job."""

    id: str
    name: str = Field(description="The file's name, as the client gave it.")
    state: State
    progress: float = Field(ge=0, le=1, description="The part that is done.")
    error: str | None = Field(description="Why it failed.")
    report: Report | None = Field(description="What was done, at the end.")


@dataclass
class Job:
    """One piece of work, in a folder of its own."""

    task: Enhance
    folder: Path
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    state: State = State.QUEUED
    progress: float = 0.0
    error: str | None = None
    report: Report | None = None
    running: asyncio.Task[None] | None = None
    ended_at: float | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def advance(self, fraction: float) -> None:
        """Note progress."""
        self.state, self.progress = State.RUNNING, min(1.0, fraction)
        self._notify()

    def end(self, *, report: Report | None = None, error: str | None = None) -> None:
        """Note how it ended."""
        self.report, self.error, self.ended_at = report, error, time.monotonic()
        self.state = State.FAILED if report is None else State.DONE
        self.progress = self.progress if report is None else 1.0
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def told(self) -> JobState:
        """The state, for a client."""
        return JobState(
            id=self.id,
            name=self.task.name,
            state=self.state,
            progress=self.progress,
            error=self.error,
            report=self.report,
        )

    async def changes(self, heartbeat_s: float = 15) -> AsyncIterator[JobState]:
        """The state now and whenever it changes (or nothing did for long), until the end."""
        while True:
            changed = self._changed
            yield self.told()
            if self.ended_at is not None:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(heartbeat_s):
                    await changed.wait()


class Jobs:
    """All jobs by their ids."""

    def __init__(self, most: int, expire_s: float) -> None:
        self._most, self._expire_s = most, expire_s
        self._jobs: dict[str, Job] = {}

    @property
    def full(self) -> bool:
        """Whether there is no room for another."""
        return len(self._jobs) >= self._most

    def add(self, job: Job) -> None:
        """Keep a job."""
        self._jobs[job.id] = job

    def get(self, key: str) -> Job | None:
        """The job of that id, if it is there still."""
        return self._jobs.get(key)

    def remove(self, job: Job) -> None:
        """Forget a job: what still runs is cancelled, its files are deleted."""
        self._jobs.pop(job.id, None)
        if job.running is not None:
            job.running.cancel()
        if job.ended_at is None:
            job.end(error="deleted")
        shutil.rmtree(job.folder, ignore_errors=True)

    def expire(self) -> None:
        """Forget what ended too long ago."""
        oldest = time.monotonic() - self._expire_s
        for job in list(self._jobs.values()):
            if job.ended_at is not None and job.ended_at < oldest:
                self.remove(job)

    def close(self) -> None:
        """Forget all."""
        for job in list(self._jobs.values()):
            self.remove(job)

    def count(self, state: State) -> int:
        """How many are in a state."""
        return sum(job.state is state for job in self._jobs.values())
