"""Pairs of files, a reference and an estimate: found by name, brought together, scored, tabled."""

import glob
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from overtone import __version__
from overtone.audio.formats import INPUT_EXTENSIONS
from overtone.audio.reader import read_audio
from overtone.dsp.resample import resample
from overtone.errors import InvalidInputError, OvertoneError
from overtone.metrics import (
    describe,
    evaluate_pair,
    mean_scores,
    require_perceptual,
    settings_lines,
)
from overtone.report import Cell, Column, Table

ENHANCED_MARK = ".enhanced"
LENGTH_TOLERANCE_S = 0.1


class Pair(NamedTuple):
    """A reference, what is to be scored against it, and the name of their row."""

    name: str
    reference: Path
    estimate: Path


class Scored(NamedTuple):
    """The scores of a pair, the rate they were taken at, and the samples trimmed to align ends."""

    name: str
    scores: dict[str, float]
    sample_rate: int
    trimmed_samples: int


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


def score_pairs(
    pairs: Iterable[Pair],
    problems: list[str],
    *,
    rate: int | None = None,
    cutoff_hz: float | None = None,
    perceptual: bool = False,
) -> Table | None:
    """Return the table of all pairs that can be scored; ``problems`` gets a line for the others.

    ``rate`` resamples all recordings to it first; without it those of a pair must have one rate.
    """
    if perceptual:
        require_perceptual()
    scored = []
    for pair in pairs:
        try:
            scored.append(score(pair, rate, cutoff_hz, perceptual))
        except OvertoneError as error:
            problems.append(_named(pair, str(error)))
    return tabulate(scored, cutoff_hz=cutoff_hz, rate=rate) if scored else None


def score(pair: Pair, rate: int | None, cutoff_hz: float | None, perceptual: bool) -> Scored:
    """Read a pair, bring both to one rate and one length, and score it."""
    y, rate_y = read_audio(pair.reference)
    x, rate_x = read_audio(pair.estimate)
    if rate is not None:
        y, x = resample(y, rate_y, rate), resample(x, rate_x, rate)
        rate_y = rate_x = rate
    if rate_y != rate_x:
        raise InvalidInputError(
            f"sampled at {rate_x} Hz, its reference at {rate_y} Hz: "
            f"bring both to one rate with --rate {max(rate_y, rate_x)}"
        )
    if len(y) != len(x):
        raise InvalidInputError(
            f"{len(x)} channels, its reference {len(y)}: give both the same number"
        )
    length, longer = sorted((y.shape[1], x.shape[1]))
    if longer - length > LENGTH_TOLERANCE_S * rate_y:
        raise InvalidInputError(
            f"lasts {x.shape[1] / rate_y:.3f} s, its reference {y.shape[1] / rate_y:.3f} s: "
            f"align and trim them to within {LENGTH_TOLERANCE_S} s"
        )
    scores = evaluate_pair(
        y[:, :length], x[:, :length], rate_y, cutoff_hz=cutoff_hz, perceptual=perceptual
    )
    return Scored(pair.name, scores, rate_y, longer - length)


def tabulate(scored: Sequence[Scored], *, cutoff_hz: float | None, rate: int | None) -> Table:
    """Return the table of scores: a row a file, their mean if there are several, the settings."""
    means = mean_scores([file.scores for file in scored])
    columns = [Column("file", "file")]
    columns += [Column(name, describe(name).label, describe(name).decimals) for name in means]
    rates = sorted({file.sample_rate for file in scored})
    resampled = ", all resampled to it by soxr VHQ" if rate is not None else ""
    first = f"overtone {__version__}; sample rate {', '.join(map(str, rates))} Hz{resampled}"
    if cutoff_hz is not None:
        first += f"; cutoff {cutoff_hz:g} Hz"
    settings = [first + "; several channels: their mean", *settings_lines(means)]
    if trimmed := [file for file in scored if file.trimmed_samples]:
        most_s = max(file.trimmed_samples / file.sample_rate for file in trimmed)
        plural = "pair" if len(trimmed) == 1 else "pairs"
        settings.append(
            f"lengths differed in {len(trimmed)} {plural}, by {1000 * most_s:.3g} ms at most: "
            "ends trimmed to the shorter"
        )
    if any(value != value for file in scored for value in file.scores.values()):
        settings.append(
            "n/a: silent reference, estimate equal to it (no error to measure), no stereo side, no "
            "voice, or too little sound to judge; left out of the mean"
        )
    rows: list[dict[str, Cell]] = [{"file": file.name, **file.scores} for file in scored]
    summary: dict[str, Cell] | None = (
        {"file": f"mean of {len(scored)}", **means} if len(scored) > 1 else None
    )
    return Table(columns, rows, summary, settings)


def _named(pair: Pair, message: str) -> str:
    names_file = str(pair.reference) in message or str(pair.estimate) in message
    return message if names_file else f"{pair.estimate}: {message}"
