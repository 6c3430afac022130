"""Writing results: whole or not at all, and over nothing that was not asked for."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from overtone.errors import InvalidInputError


def write_text(text: str, path: Path, *, overwrite: bool = False) -> None:
    """Write ``text`` as UTF-8 to ``path``, whole or not at all."""
    with new_file(path, overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def new_file(path: Path, overwrite: bool) -> Iterator[Path]:
    """Lend a temporary name beside ``path`` and rename it to ``path`` at the end."""
    refuse_existing(path, overwrite)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise InvalidInputError(f"{path}: cannot be written ({reason})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise :class:`~overtone.errors.InvalidInputError` if ``path`` must not be replaced."""
    if path.exists() and not overwrite:
        raise InvalidInputError(f"{path}: already exists; use --force to replace it")
