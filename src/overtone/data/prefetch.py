"""Reading ahead: the next batch is drawn while this one is in use."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(draw: Callable[[int], T], step: int) -> Generator[T]:
    """Yield ``draw(step)``, ``draw(step + 1)`` and so on; a thread draws one ahead.

    Example:
        >>> squares = prefetch(lambda step: step * step, 3)
        >>> next(squares), next(squares)
        (9, 16)
        >>> squares.close()
    """
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(draw, step)
        while True:
            batch = upcoming.result()
            step += 1
            upcoming = thread.submit(draw, step)
            yield batch
