"""Folders that are watched: a file is handed on once it has stopped growing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from overtone.audio.sources import ENHANCED_MARK, Source, find_sources
from overtone.errors import InvalidInputError, MissingExtraError
from overtone.stores import names_store

SETTLED_S = 2.0  # a file that has not changed for so long is whole


def arrivals(
    folders: list[str], output: str | None, mark: str | None
) -> Iterator[tuple[list[str], str | None]]:
    """Yield names of new files, those that are there first, and where their results go; for ever.

    Raises:
        InvalidInputError: one of ``folders`` is none.
        MissingExtraError: watchfiles is not installed.
    """
    try:
        from watchfiles import watch
    except ModuleNotFoundError as error:
        raise MissingExtraError("--watch", "watch") from error
    for folder in folders:
        if names_store(folder) or not Path(folder).is_dir():
            raise InvalidInputError(f"{folder}: no folder of this machine, which --watch needs")
    changes = watch(*folders, yield_on_timeout=True, rust_timeout=1000)
    for sources in settled(folders, output, mark, changes):
        for place, group in groupby(sources, _place):
            target = output if output is None else f"{output.rstrip('/')}/{place}/"
            yield [str(source.path) for source in group], target


def settled(
    folders: list[str], output: str | None, mark: str | None, changes: Iterable[Any]
) -> Iterator[list[Source]]:
    """Yield the files that have stopped growing, each once for each of its states.

    ``changes`` says when to look: it yields what has changed, and nothing from time to time.
    """
    exclude = Path(output) if output is not None else None
    growing: dict[Path, tuple[tuple[int, int], float]] = {}
    done: dict[Path, tuple[int, int]] = {}
    for changed in chain([True], changes):
        if not (changed or growing):
            continue
        ready = []
        for source in find_sources(folders, exclude=exclude, mark=mark or ENHANCED_MARK)[0]:
            try:
                stat = source.path.stat()
            except OSError:
                continue  # gone again
            state = stat.st_size, stat.st_mtime_ns
            if not stat.st_size or done.get(source.path) == state:
                continue
            before, since = growing.get(source.path, (None, 0.0))
            if before != state:
                growing[source.path] = state, time.monotonic()
            elif time.monotonic() - since >= SETTLED_S:
                del growing[source.path]
                done[source.path] = state
                ready.append(source)
        if ready:
            yield ready


def _place(source: Source) -> str:
    return source.path.parent.relative_to(source.root).as_posix()
