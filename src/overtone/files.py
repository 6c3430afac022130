"""Files, whatever is in them: written whole or not at all, found in folders, told apart by hash.

Everything overtone writes goes to a temporary name in the same folder first and is renamed when it
is complete. Nothing that exists is replaced unless asked.
"""

import contextlib
import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from overtone.errors import InvalidInputError, OvertoneError

TEMPORARY_SUFFIX = ".overtone-tmp"
# File systems allow 255 bytes; the temporary name keeps this much of the final one.
KEPT_NAME_BYTES = 128

_numbers = itertools.count()


def temporary_path(path: Path) -> Path:
    """Return a fresh temporary name beside ``path``: ``.NAME.PID-N.overtone-tmp``.

    The process id keeps processes apart, the running number the threads of one process.
    """
    kept = os.fsdecode(os.fsencode(path.name)[:KEPT_NAME_BYTES])
    return path.with_name(f".{kept}.{os.getpid()}-{next(_numbers)}{TEMPORARY_SUFFIX}")


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Lend a temporary name beside ``path``; rename what was written there when the block ends.

    If the block raises, nothing is left behind and ``path`` is as before. A symbolic link stays
    one: what it points to is replaced.

    Raises:
        InvalidInputError: ``path`` exists and ``overwrite`` is off, or the system cannot write it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_write(Path(folder, "scores.txt")) as temporary:
        ...         _ = temporary.write_text("9.5 dB")
        ...     os.listdir(folder)
        ['scores.txt']
    """
    path = Path(path)
    refuse_existing(path, overwrite=overwrite)
    try:
        target = path.resolve()
        temporary = temporary_path(target)
        try:
            yield temporary
            replace_file(temporary, target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be written ({reason(error)})") from error


def replace_file(temporary: Path, target: Path) -> None:
    """Rename ``temporary`` to ``target``; a file that was there leaves its permissions behind."""
    with contextlib.suppress(FileNotFoundError):
        temporary.chmod(stat.S_IMODE(target.stat().st_mode))
    temporary.replace(target)


def write_text(text: str, path: Path, *, overwrite: bool = False) -> None:
    """Write ``text`` as UTF-8 to ``path``, whole or not at all; raise as :func:`atomic_write`."""
    with atomic_write(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def refuse_existing(
    path: Path, overwrite: bool = False, *, error: type[OvertoneError] = InvalidInputError
) -> None:
    """Raise ``error`` if ``path`` exists and ``overwrite`` is off."""
    if path.exists() and not overwrite:
        raise error(f"{path}: already exists; use overwrite=True to replace it")


def find_files(
    folder: Path,
    extensions: Collection[str],
    *,
    exclude: Path | None = None,
    on_error: Callable[[OSError], None] | None = None,
) -> Iterator[Path]:
    """Yield the files below ``folder`` whose lower-case extension is one of ``extensions``.

    Sorted folder by folder. Hidden names and the folder ``exclude`` are left out. ``on_error`` is
    called for folders that cannot be read, which are otherwise skipped.
    """
    excluded = exclude.resolve() if exclude else None
    for place, folders, names in os.walk(folder, onerror=on_error):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (here / name).resolve() != excluded
        )
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in extensions:
                yield here / name


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reason(error: BaseException) -> str:
    """Return why, in the system's words and without the path: "No space left on device"."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
