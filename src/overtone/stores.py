"""Object stores: files of ``s3://``, ``gs://`` and whatever fsspec knows, brought here to work.

Names become paths of universal_pathlib, which do what pathlib's do. Decoders and encoders want real
files: :func:`fetched` lends a copy of a source, :func:`store` puts a finished result in its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from overtone.errors import AudioFileError, InvalidInputError, MissingExtraError, OvertoneError
from overtone.files import first_line, temporary_folder

_STORE = re.compile(r"[^/\\]{2,}://")  # one letter would be a drive


def names_store(name: str) -> bool:
    """Tell whether a name lies in an object store.

    Example:
        >>> names_store("s3://bucket/call.wav"), names_store("C://calls/call.wav")
        (True, False)
    """
    return _STORE.match(name) is not None


def path_of(name: str | os.PathLike[str]) -> Path:
    """Return the path that a name means, on this machine or, with ``://``, in a store.

    Raises:
        MissingExtraError: fsspec, or what it needs for this store, is not installed.
        InvalidInputError: there is no such kind of store.
    """
    if not isinstance(name, str) or not names_store(name):
        return Path(name)
    try:
        from upath import UPath
    except ImportError as error:
        raise MissingExtraError(f"{name}: an object store", "cluster") from error
    try:
        path = UPath(name)
        _ = path.fs
    except ImportError as error:
        raise InvalidInputError(f"{name}: {first_line(error)}") from error
    except ValueError as error:
        raise InvalidInputError(f"{name}: no such kind of store ({first_line(error)})") from error
    # It does what a path does, though its class is not one.
    return Path(path.path) if path.protocol in ("", "file", "local") else cast("Path", path)


def is_remote(path: Any) -> bool:
    """Tell whether a path lies in a store."""
    return hasattr(path, "fs") and not hasattr(path, "read")


@contextmanager
def fetched(path: Path) -> Iterator[Path]:
    """Lend a file under its own name: itself, or a copy of what lies in a store.

    Raises:
        AudioFileError: it cannot be had.
    """
    if not is_remote(path):
        yield path
        return
    with temporary_folder() as folder:
        copy = folder / path.name
        with told(path, "not fetched"):
            cast("Any", path).fs.get_file(cast("Any", path).path, str(copy))
        yield copy


def store(file: Path, path: Path, *, overwrite: bool = False) -> None:
    """Put a finished file into a store, which takes it whole or not at all.

    Raises:
        AudioFileError: the store does not take it, or there is one and ``overwrite`` is off.
    """
    with told(path, "not stored"):
        if not overwrite and path.exists():
            raise AudioFileError(f"{path}: already exists; use overwrite=True to replace it")
        cast("Any", path).fs.put_file(str(file), cast("Any", path).path)


def list_below(folder: Path) -> list[Path]:
    """Return the names below a folder of a store, sorted."""
    with told(folder, "not listed"):
        return sorted(folder.rglob("*"), key=str)


@contextmanager
def told(path: Path, what: str) -> Iterator[None]:
    """Name the file in a store, if it lies in one: each store has exceptions of its own.

    Raises:
        AudioFileError: the store failed.
    """
    if not is_remote(path):
        yield
        return
    try:
        yield
    except OvertoneError:
        raise
    except FileNotFoundError as error:
        raise AudioFileError(f"{path}: {what} (no such file, folder or bucket)") from error
    except Exception as error:
        raise AudioFileError(f"{path}: {what} ({first_line(error)})") from error
