"""What a run owes whoever waits for it: it stops when asked to, and is never silent for long."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from overtone.training.task import Log

SILENCE_S = 60.0


class Stopped(KeyboardInterrupt):
    """A run ended before its time, by the signal of this ``number``."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class StopRequest:
    """Hears SIGINT and SIGTERM while it is entered; ``asked`` is the number of the last, or 0.

    Example:
        >>> with StopRequest() as stop:
        ...     stop.asked
        0
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.asked, self._breakable = 0, False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._hear) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: object) -> None:
        del frame
        self.asked = number
        if self._breakable:
            self._breakable = False
            raise Stopped(number)

    @contextmanager
    def breakable(self) -> Iterator[None]:
        """Raise :class:`Stopped` in here as soon as a signal comes, not only when it is over."""
        if self.asked:
            raise Stopped(self.asked)
        self._breakable = True
        try:
            yield
        finally:
            self._breakable = False


class Heartbeat:
    """Says what a run is ``doing`` where nothing else was said for a minute."""

    def __init__(self, log: Log, silence_s: float = SILENCE_S) -> None:
        self.doing = "starting"
        self._log, self._silence_s = log, silence_s
        self._begun = self._spoken = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def say(self, line: str) -> None:
        """Log a line."""
        self._spoken = time.monotonic()
        self._log(line)

    def _beat(self) -> None:
        while not self._over.wait(self._silence_s / 60):
            now = time.monotonic()
            if now - self._spoken >= self._silence_s:
                self.say(f"{(now - self._begun) / 60:.0f} min: still {self.doing}")
