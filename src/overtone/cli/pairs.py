"""Which file is scored against which: two files, two folders, or two patterns."""

from __future__ import annotations

import glob
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from overtone.errors import InvalidInputError

ENHANCED_MARK = ".enhanced"


class Pair(NamedTuple):
    """A reference, what is to be scored against it, and the name of their row."""

    name: str
    reference: Path
    estimate: Path


def pair_files(reference: str, estimate: str) -> tuple[list[Pair], list[str]]:
    """Return the pairs that two arguments name, and a message for each file left without.

    Two files are a pair. The files of two folders, searched through, pair by their path in them
    without its extension. The files that two patterns match (``*`` and ``?`` within a name, ``**``
    across folders) pair by what the wildcards stand for. A mark ``.enhanced`` before the extension
    does not count; where a recording lies beside its own enhanced version, the recording is the
    reference and the enhanced version the estimate.

    Raises :class:`~overtone.errors.InvalidInputError` if an argument names no audio file.
    """
    if Path(reference).is_file() and Path(estimate).is_file():
        return [Pair(Path(estimate).name, Path(reference), Path(estimate))], []
    problems: list[str] = []
    references = _files_by_key(reference, problems, enhanced=False)
    estimates = _files_by_key(estimate, problems, enhanced=True)
    pairs = []
    for key in sorted(references.keys() & estimates.keys()):
        if references[key].samefile(estimates[key]):
            problems.append(f"{references[key]}: nothing to score against but itself")
        else:
            pairs.append(Pair(key, references[key], estimates[key]))
    for key in sorted(references.keys() - estimates.keys()):
        problems.append(f"{references[key]}: nothing in {estimate} to score against it")
    for key in sorted(estimates.keys() - references.keys()):
        problems.append(f"{estimates[key]}: no reference for it in {reference}")
    return pairs, problems


def _files_by_key(argument: str, problems: list[str], *, enhanced: bool) -> dict[str, Path]:
    """Return the files that an argument names, by what they share with their partners.

    ``enhanced`` says which to take of a recording and its enhanced version: the latter or the
    former. Names that stay ambiguous become problems.
    """
    marked: dict[str, list[Path]] = defaultdict(list)
    plain: dict[str, list[Path]] = defaultdict(list)
    for key, path in _matches(argument):
        group = marked if key.endswith(ENHANCED_MARK) else plain
        group[key.removesuffix(ENHANCED_MARK)].append(path)
    groups = plain | marked if enhanced else marked | plain
    if not groups:
        raise InvalidInputError(f"{argument}: no audio file there")
    for key, paths in groups.items():
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            problems.append(f"{key}: {len(paths)} files of that name in {argument} ({names})")
    return {key: paths[0] for key, paths in groups.items() if len(paths) == 1}


def _matches(argument: str) -> Iterator[tuple[str, Path]]:
    """Yield the audio files of a folder or pattern, each with its key."""
    from overtone.audio.files import INPUT_EXTENSIONS

    root = Path(argument)
    if root.is_dir():
        files = (path for path in root.rglob("*") if path.is_file())
        found = [(str(path.relative_to(root)), path) for path in files]
    elif "*" in argument or "?" in argument:
        found = list(_pattern_matches(argument))
    elif root.exists():
        raise InvalidInputError(
            f"{argument} is a file and the other is not: pass two files, folders or patterns"
        )
    else:
        raise InvalidInputError(f"{argument}: no such file or folder; check the name")
    for key, path in sorted(found):
        if path.suffix.lower() in INPUT_EXTENSIONS and not path.name.startswith("."):
            yield key.removesuffix(path.suffix), path


def _pattern_matches(pattern: str) -> Iterator[tuple[str, Path]]:
    """Yield what a pattern matches; the key is what its wildcards stand for, joined by ``/``."""
    groups = {"**/": "(?:(.*)/)?", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    expression = re.compile("".join(groups.get(part) or re.escape(part) for part in parts))
    for name in glob.glob(pattern.replace("[", "[[]"), recursive=True):  # noqa: PTH207
        match = expression.fullmatch(name)
        if match and Path(name).is_file():
            yield "/".join(group for group in match.groups() if group), Path(name)
