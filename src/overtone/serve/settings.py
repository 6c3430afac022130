"""What bounds the service: each limit is an option of ``overtone serve`` with a safe default."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

MEGABYTE = 10**6
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Limits:
    """Bounds on one request and on all of them; beyond each the answer is a 4xx that names it.

    ``upload_timeout_s`` is the longest silence of a client that sends, and also how long it may
    stay below ``upload_floor`` bytes a second. A file that takes longer than ``work_s`` is given
    up. Results are deleted after ``expire_s``.
    """

    upload_bytes: int = 1000 * MEGABYTE
    duration_s: float = 2 * 3600
    channels: int = 8
    sample_rate: int = 192_000
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    queue: int = 64
    jobs: int = 100
    streams: int = 8
    work_s: float = 3600
    expire_s: float = 3600
    upload_timeout_s: float = 20
    upload_floor: int = 1000
    idle_stream_s: float = 60
    connections: int = 256


@dataclass(frozen=True)
class Settings:
    """How the service runs. ``token`` is needed by all but clients of this machine."""

    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in LOOPBACK
