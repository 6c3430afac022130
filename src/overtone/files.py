"""Files, whatever is in them: written whole or not at all, found in folders, told apart by hash.

Everything overtone writes goes to a temporary name in the same folder first and is renamed when it
is complete. Nothing that exists is replaced unless asked, and nothing but a regular file ever. What
a killed process left under a temporary name is removed by the next that writes to the folder.
"""

import contextlib
import errno
import functools
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import tomllib
import unicodedata
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from overtone.errors import InvalidInputError, OvertoneError

TEMPORARY_SUFFIX = ".overtone-tmp"
# File systems allow 255 bytes; the temporary name keeps this much of the final one.
KEPT_NAME_BYTES = 128
MAX_TEXT_BYTES = 1 << 24

ON_WINDOWS = os.name == "nt"
# There call.wav and Call.wav are one file, whichever way an accent is written.
FOLDS_NAMES = ON_WINDOWS or sys.platform == "darwin"

_RESERVED = re.compile(r"CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]")
_TEMPORARY = re.compile(rf"\.([0-9a-f]{{8}})-(\d+)-\w+{re.escape(TEMPORARY_SUFFIX)}$")
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}
_numbers = itertools.count()


def temporary_path(path: Path) -> Path:
    """Return a fresh temporary name beside ``path``: ``.NAME.MACHINE-PID-N.overtone-tmp``.

    The process id keeps processes apart, the running number the threads of one process. The first
    time in a folder, what dead processes left there is removed.
    """
    _sweep_once(os.getpid(), path.parent)
    kept = os.fsdecode(os.fsencode(path.name)[:KEPT_NAME_BYTES])
    name = f".{kept}.{_machine()}-{os.getpid()}-{next(_numbers)}{TEMPORARY_SUFFIX}"
    return path.with_name(name)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Lend an empty folder among the system's temporary ones; set TMPDIR to have it elsewhere.

    Raises:
        InvalidInputError: it cannot be made.
    """
    try:
        _sweep_once(os.getpid(), Path(tempfile.gettempdir()))
        prefix = f".overtone.{_machine()}-{os.getpid()}-"
        folder = Path(tempfile.mkdtemp(TEMPORARY_SUFFIX, prefix))
    except OSError as error:
        raise InvalidInputError(f"no temporary folder ({reason(error)}); set TMPDIR") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _sweep_once(pid: int, folder: Path) -> None:
    del pid  # a forked process is another one
    sweep(folder)


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that are gone left in ``folder``."""
    if os.name != "posix":  # elsewhere there is no harmless way to ask for a process
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _TEMPORARY.search(entry.name)
            if found and found[1] == _machine() and not _is_alive(int(found[2])):
                with contextlib.suppress(OSError):
                    is_folder = entry.is_dir(follow_symlinks=False)
                    (shutil.rmtree if is_folder else os.unlink)(entry.path)


@functools.cache
def _machine() -> str:
    """Tell machines and containers that share a folder apart: each counts its own processes."""
    where = platform.node()
    with contextlib.suppress(OSError):
        where += os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    return f"{zlib.crc32(where.encode()):08x}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Lend a temporary name beside ``path``; rename what was written there when the block ends.

    If the block raises, nothing is left behind and ``path`` is as before. A symbolic link stays
    one: what it points to is replaced.

    Raises:
        InvalidInputError: ``path`` exists and ``overwrite`` is off, it is no regular file, or the
            system cannot write it.

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
        cure = (
            "give another name" if path.parent.is_dir() else f"make the folder {path.parent} first"
        )
        raise InvalidInputError(f"{path}: cannot be written ({reason(error)}); {cure}") from error


def replace_file(temporary: Path, target: Path) -> None:
    """Rename ``temporary`` to ``target``; a file that was there leaves its permissions behind."""
    with contextlib.suppress(FileNotFoundError):
        temporary.chmod(stat.S_IMODE(target.stat().st_mode))
    temporary.replace(target)


def write_text(text: str, path: Path, *, overwrite: bool = False) -> None:
    """Write ``text`` as UTF-8 to ``path``, whole or not at all; raise as :func:`atomic_write`."""
    with atomic_write(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: Path) -> str:
    """Return the text of a file that people write, UTF-8.

    Raises:
        OSError: it cannot be read, is no regular file (a pipe would never end) or over 16 MB.
        UnicodeDecodeError: it is not UTF-8.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode) or state.st_size > MAX_TEXT_BYTES:
        kind = _KINDS.get(stat.S_IFMT(state.st_mode), "file of over 16 MB")
        raise OSError(errno.EINVAL, f"a {kind}, not a file of text", str(path))
    return path.read_text(encoding="utf-8")


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds; raises as :func:`read_text`, and ValueError."""
    tables: dict[str, Any] = _parsed(tomllib.loads, read_text(path))
    return tables


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; raises as :func:`read_text`, and ValueError."""
    return _parsed(json.loads, read_text(path))


def _parsed(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def name_problem(name: str) -> str:
    """Return why Windows would not write a file of this name, or write another one; else "".

    Example:
        >>> name_problem("aux.enhanced.wav")
        'Windows keeps the name AUX for itself'
        >>> name_problem("call.wav")
        ''
    """
    if name.endswith((".", " ")):
        return "Windows drops a dot or space at the end"
    if found := set(name) & set('<>:"/\\|?*') or {c for c in name if c < " "}:
        return f"Windows has no {min(found)!r} in names"
    stem = name.partition(".")[0].rstrip().upper()
    return f"Windows keeps the name {stem} for itself" if _RESERVED.fullmatch(stem) else ""


def one_place(path: str) -> str:
    """Return the same text for all spellings of a path that the system takes for one file."""
    if not FOLDS_NAMES:
        return path
    return unicodedata.normalize("NFC", path).casefold()


def refuse_existing(
    path: Path,
    overwrite: bool = False,
    *,
    inputs: Iterable[str | Path | None] = (),
    error: type[OvertoneError] = InvalidInputError,
) -> None:
    """Raise ``error`` unless ``path`` may be written.

    A file that exists may be with ``overwrite``, if it is none of ``inputs``; a folder, device,
    pipe or socket never, nor a link to one. On Windows a name that it would not keep is refused,
    too.
    """
    if ON_WINDOWS and (problem := name_problem(path.name)):
        raise error(f"{path}: {problem}; give another name")
    try:
        own = path.stat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as failure:
        raise error(f"{path}: cannot be written ({reason(failure)})") from failure
    if not stat.S_ISREG(own.st_mode):
        kind = _KINDS.get(stat.S_IFMT(own.st_mode), "special file")
        raise error(f"{path}: is a {kind}, not a file; give another name")
    if not overwrite:
        raise error(f"{path}: already exists; use overwrite=True to replace it")
    if any(other and _is_that(other, own) for other in inputs):
        raise error(f"{path}: is also an input, which it would replace; give another name")


def _is_that(path: str | Path, that: os.stat_result) -> bool:
    try:
        return os.path.samestat(Path(path).stat(), that)
    except (OSError, ValueError):
        return False


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
    # realpath says something even of links that lead back to themselves.
    excluded = os.path.realpath(exclude) if exclude else None
    for place, folders, names in os.walk(folder, onerror=on_error):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(here / name) != excluded
        )
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in extensions:
                yield here / name


def real_path(path: Path) -> str:
    """Return where a path leads through all links, also through one that leads to itself.

    A path in a store, which has no links, leads to itself.

    Raises:
        InvalidInputError: it is relative to a working folder that is gone.
    """
    if not isinstance(path, (str, os.PathLike)):
        return str(path)
    try:
        return os.path.realpath(path)
    except FileNotFoundError as error:
        raise InvalidInputError("the working folder is gone; change to another one") from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reason(error: BaseException) -> str:
    """Return why, in the system's words and without the path: "No space left on device"."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says, or its name."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
