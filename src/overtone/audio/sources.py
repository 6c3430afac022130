"""Which audio files are meant by the names, folders and patterns that a user gives."""

from __future__ import annotations

import glob
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from overtone.audio.formats import INPUT_EXTENSIONS
from overtone.errors import AudioFileError, InvalidInputError
from overtone.files import find_files, real_path
from overtone.stores import is_remote, list_below, path_of, told

ENHANCED_MARK = ".enhanced"

Failure = tuple[Path, str]  # what was asked for, and why there is none


@dataclass(frozen=True)
class Source:
    """An input file, and the folder its place in an output tree is counted from."""

    path: Path
    root: Path


def describe_os_error(error: OSError) -> str:
    """Return an operating system's error as words: ``No space left on device: out.wav``."""
    what = error.strerror or str(error) or type(error).__name__
    return f"{what}: {error.filename}" if error.filename else what


def find_sources(
    arguments: Sequence[str],
    *,
    exclude: Path | None = None,
    results: bool = False,
    mark: str = ENHANCED_MARK,
) -> tuple[list[Source], list[Failure]]:
    """Resolve files, folders and glob patterns to the audio files they mean.

    Folders are searched through and through, hidden names left out; patterns work where the shell
    has not expanded them. Files named ``*.enhanced.*``, or with another ``mark``, are results of an
    earlier run and left out, unless such a file is the only argument, or ``results`` are wanted.
    ``exclude`` is a folder (the output) not to search.

    Returns the files in order, each once, and a failure for each argument that means none.
    """
    found: dict[str, Source] = {}
    failures: list[Failure] = []
    for argument in arguments:
        path = path_of(argument)
        try:
            with told(path, "not reached"):
                meant = _meant_by(argument, exclude, failures)
            for source in meant:
                alone = len(arguments) == 1 and source.path == path
                if alone or results or not is_enhanced(source.path, mark):
                    found.setdefault(real_path(source.path), source)
        except (AudioFileError, ValueError) as error:
            failures.append((path, str(error)))
        except OSError as error:
            failures.append((path, describe_os_error(error)))
    return list(found.values()), failures


def _meant_by(argument: str, exclude: Path | None, failures: list[Failure]) -> list[Source]:
    path = path_of(argument)
    if not argument:
        raise InvalidInputError('"": an empty name; give that of a file or folder')
    if not argument.isascii() and not is_remote(path) and not path.exists():
        path = _as_spelled(path)
    if path.is_dir():
        sources = [Source(file, path) for file in _audio_in(path, exclude, failures)]
    elif glob.has_magic(argument) and not path.exists():
        root = _fixed_part(path)
        sources = [Source(file, root) for file in _matching(argument, exclude, failures)]
    elif path.exists():
        return [Source(path, path.parent)]
    elif path.is_symlink():
        raise InvalidInputError("a link to nothing, or to itself; check where it leads")
    else:
        raise InvalidInputError("no such file or folder")
    if not sources:
        raise InvalidInputError("no audio file found here")
    return sources


def _as_spelled(path: Path) -> Path:
    """Return the file of this name whose accents are spelled otherwise, as macOS does it."""
    wanted = unicodedata.normalize("NFC", path.name)
    with suppress(OSError):
        for other in path.parent.iterdir():
            if unicodedata.normalize("NFC", other.name) == wanted:
                return other
    return path


def is_enhanced(path: Path, mark: str = ENHANCED_MARK) -> bool:
    """Tell whether the name says that the file is a result, as in ``call.enhanced.wav``."""
    return path.stem.endswith((mark, ENHANCED_MARK))


def _audio_in(folder: Path, exclude: Path | None, failures: list[Failure]) -> Iterator[Path]:
    if is_remote(folder):
        return (path for path in list_below(folder) if _is_audio_name(path.name))

    def note(error: OSError) -> None:
        failures.append((Path(error.filename), describe_os_error(error)))

    return find_files(folder, INPUT_EXTENSIONS, exclude=exclude, on_error=note)


def _matching(pattern: str, exclude: Path | None, failures: list[Failure]) -> Iterator[Path]:
    root = _fixed_part(path_of(pattern))
    if is_remote(root):
        rest = pattern.removeprefix(str(root)).lstrip("/")
        yield from (path for path in sorted(root.glob(rest), key=str) if _is_audio_name(path.name))
        return
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 (absolute patterns too)
        path = Path(match)
        if path.is_dir():
            yield from _audio_in(path, exclude, failures)
        elif _is_audio_name(path.name):
            yield path


def _is_audio_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in INPUT_EXTENSIONS


def _fixed_part(pattern: Path) -> Path:
    """Return the folders of a pattern that hold no wildcard: ``a/b`` for ``a/b/*/c*.wav``."""
    while glob.has_magic(str(pattern)):
        pattern = pattern.parent
    return pattern
