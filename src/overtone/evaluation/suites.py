"""Suites of cases to compare systems on: folders of published clips, or rules for making clips.

A folder holds ``SET/CLIP/`` or ``CLIP/``, where the set is what stands before the clip's last
``-``. In each clip's folder lie ``reference.*``, optionally ``low.*``, and other systems' outputs
by name. A TOML file describes such folders, or says how clips are cut from a corpus and degraded::

    [[suite]]
    folder = "published"          # relative to the data root
    decimate = 4                  # make every input from the reference

    [[suite]]
    name = "held out"
    corpus = "speech/kathleen"    # relative to the data root
    split = "validation"          # the last tenth by name; or "train", "all"
    rate = 48000
    low_rates = [8000, 16000]
    filters = ["decimate", "butterworth"]
    seeds = [0]
    clips = 20
    seconds = 3.0

One suite alone needs no ``[[suite]]``.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from overtone.audio.formats import INPUT_EXTENSIONS
from overtone.data.corpora import Corpus
from overtone.errors import ConfigError, InvalidInputError
from overtone.evaluation.cases import DECIMATE, FILTERS, LOW, REFERENCE, Case, Degradation
from overtone.settings import Settings, problems, read_toml


@dataclass(frozen=True)
class Suite:
    """Cases, what was wrong with others (a line each), and how inputs are made."""

    cases: Sequence[Case]
    problems: Sequence[str] = ()
    settings: Sequence[str] = ()


class FolderSuite(Settings):
    """A folder of clips; ``decimate`` makes every input from the reference."""

    folder: str
    name: str = ""
    decimate: Annotated[int, Field(ge=2)] | None = None


class CorpusSuite(Settings):
    """Clips cut from a corpus, the same for every filter and rate. Rates in Hz."""

    name: str = Field(min_length=1)
    corpus: str
    glob: str = "**/*"
    exclude: tuple[str, ...] = ()
    split: Literal["validation", "train", "all"] = "validation"
    rate: int = Field(ge=1000, le=384_000)
    low_rates: tuple[Annotated[int, Field(ge=1000)], ...] = Field(min_length=1)
    filters: tuple[str, ...] = Field(default=(DECIMATE,), min_length=1)
    edge: float = Field(default=1.0, gt=0, le=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    clips: int = Field(default=20, ge=1)
    seconds: float = Field(default=3.0, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.filters:
            if name not in FILTERS:
                raise ValueError(f"filters: no filter {name!r}; known: {', '.join(FILTERS)}")
        for low_rate in self.low_rates:
            if low_rate >= self.rate:
                raise ValueError(f"low_rates: {low_rate} must lie below rate {self.rate}")
            if DECIMATE in self.filters and self.rate % low_rate:
                raise ValueError(
                    f"low_rates: 'decimate' needs a divisor of rate {self.rate}, not {low_rate}"
                )
        return self


def read_suite(path: Path, data_root: Path = Path(), scale: int | None = None) -> Suite:
    """Read a folder of cases or a TOML file; ``scale`` is the ``decimate`` of a folder.

    Raises:
        InvalidInputError: there is nothing at ``path``, or no case in it.
        ConfigError: the TOML file has an unknown or impossible key, or names a folder that is
            missing.
    """
    if path.is_dir():
        return read_folder(path, "", scale)
    if not path.is_file():
        raise InvalidInputError(f"{path}: no such folder or TOML file; check the name")
    if scale is not None:
        raise InvalidInputError(
            f"{path}: --decimate is for folders; write decimate = {scale} in it"
        )
    return joined(_read_described(one, path, data_root) for one in _parse(path))


def read_suites(paths: Sequence[Path], data_root: Path = Path(), scale: int | None = None) -> Suite:
    """Read several suites as one; of several folders each gives its name to its sets.

    Raises InvalidInputError, too, if two cases would have one name.
    """
    if len(paths) == 1:
        suite = read_suite(paths[0], data_root, scale)
    else:
        suite = joined(
            read_folder(path, path.name, scale)
            if path.is_dir()
            else read_suite(path, data_root, scale)
            for path in paths
        )
    labels = [case.label for case in suite.cases]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise InvalidInputError(f"{twice}: two cases of that name; give their suites other names")
    return suite


def joined(suites: Iterable[Suite]) -> Suite:
    """Return several suites as one."""
    parts = list(suites)
    return Suite(
        [case for part in parts for case in part.cases],
        [line for part in parts for line in part.problems],
        list(dict.fromkeys(line for part in parts for line in part.settings)),
    )


def _parse(path: Path) -> list[FolderSuite | CorpusSuite]:
    content = read_toml(path)
    if not isinstance(tables := content.pop("suite", [content]), list) or not tables:
        raise ConfigError(f"{path}: suite: must be one or several tables [[suite]]")
    if content and tables[0] is not content:
        raise ConfigError(f"{path}: {next(iter(content))}: belongs inside a [[suite]]")
    return [_validate(table, path) for table in tables]


def _validate(table: Any, path: Path) -> FolderSuite | CorpusSuite:
    if not isinstance(table, dict) or ("folder" in table) == ("corpus" in table):
        raise ConfigError(f"{path}: a suite names either a folder or a corpus")
    kind: type[FolderSuite | CorpusSuite] = FolderSuite if "folder" in table else CorpusSuite
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        known = ", ".join(kind.model_fields)
        raise ConfigError(f"{path}: {problems(error)} (known keys: {known})") from error


def _read_described(suite: FolderSuite | CorpusSuite, path: Path, data_root: Path) -> Suite:
    if isinstance(suite, CorpusSuite):
        return _cut(suite, data_root)
    folder = data_root / suite.folder
    if not folder.is_dir():
        raise ConfigError(f"{path}: no folder {folder}; give its parent with --data-root")
    return read_folder(folder, suite.name or Path(suite.folder).name, suite.decimate)


def _cut(suite: CorpusSuite, data_root: Path) -> Suite:
    """Return the cases of a corpus: the same clips once for every rate and filter."""
    corpus = Corpus(
        name=suite.name,
        path=suite.corpus,
        glob=suite.glob,
        exclude=suite.exclude,
        bandwidth_hz=suite.rate / 2,
        license="",
    )
    files = (
        corpus.files(data_root) if suite.split == "all" else corpus.split(data_root, suite.split)
    )
    cases: list[Case] = []
    settings: list[str] = []
    for low_rate in suite.low_rates:
        for name in suite.filters:
            how = Degradation(name, Fraction(suite.rate, low_rate), suite.edge)
            group = f"{suite.name}, {low_rate / 1000:g} to {suite.rate / 1000:g} kHz, {name}"
            cases += _cut_group(suite, data_root / suite.corpus, files, group, how)
            settings.append(f"inputs of {group}: {how.describe()}")
    settings.append(
        f"{suite.name}: {suite.split} split, {suite.clips} clips of {suite.seconds:g} s a seed,"
        f" seeds {', '.join(map(str, suite.seeds))}"
    )
    return Suite(cases, (), settings)


def _cut_group(
    suite: CorpusSuite, folder: Path, files: Sequence[Path], group: str, how: Degradation
) -> Iterator[Case]:
    for seed in suite.seeds:
        chosen = np.random.default_rng(seed).permutation(len(files))[: suite.clips]
        for number in sorted(map(int, chosen)):
            path = files[number]
            name = path.relative_to(folder).with_suffix("").as_posix()
            yield Case(
                group,
                f"{name} seed {seed}",
                name,
                path,
                how,
                piece=(suite.seconds, seed, number),
                rate=suite.rate,
            )


def read_folder(folder: Path, name: str = "", scale: int | None = None) -> Suite:
    """Return the cases of a folder; ``name`` stands before the names of its sets.

    Raises InvalidInputError if there is no case.
    """
    cases: list[Case] = []
    problems: list[str] = []
    how = None if scale is None else Degradation(DECIMATE, Fraction(scale))
    for clip, files in _clip_folders(folder):
        group = clip.parent.name if clip.parent != folder else clip.name.rpartition("-")[0]
        group = "/".join(part for part in (name, group) if part) or folder.name
        try:
            cases.append(_case(clip, files, group, how))
        except InvalidInputError as error:
            problems.append(str(error))
    if not cases and not problems:
        raise InvalidInputError(
            f"{folder}: no case there; a case is a folder with a {REFERENCE}.wav (or .flac, ...)"
        )
    problems += _missing_outputs(cases)
    settings = [f"inputs{f' of {name}' if name else ''}: {how.describe()}"] if how else []
    return Suite(cases, problems, settings)


def _clip_folders(folder: Path) -> list[tuple[Path, list[Path]]]:
    """Return every folder with audio files, and these, sorted."""
    found: dict[Path, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        audio = path.suffix.lower() in INPUT_EXTENSIONS and not path.name.startswith(".")
        if audio and path.is_file():
            found[path.parent].append(path)
    return sorted(found.items())


def _case(clip: Path, files: Sequence[Path], group: str, how: Degradation | None) -> Case:
    by_name = {path.stem: path for path in files}
    if len(by_name) < len(files):
        twice = next(path for path in files if by_name[path.stem] != path)
        raise InvalidInputError(f"{twice}: beside {by_name[twice.stem].name}; remove one of them")
    if REFERENCE not in by_name:
        raise InvalidInputError(f"{clip}: skipped, no file {REFERENCE}.* there")
    if how is None and LOW not in by_name:
        raise InvalidInputError(
            f"{clip}: skipped, no file {LOW}.* there; --decimate 4 makes one from the reference"
        )
    outputs = {stem: path for stem, path in by_name.items() if stem not in (REFERENCE, LOW)}
    return Case(group, clip.name, clip.name, by_name[REFERENCE], how or by_name[LOW], outputs)


def _missing_outputs(cases: Sequence[Case]) -> Iterator[str]:
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.group].append(case)
    for group, members in groups.items():
        for system in dict.fromkeys(name for case in members for name in case.outputs):
            missing = [case.name for case in members if system not in case.outputs]
            if missing:
                have = len(members) - len(missing)
                yield (
                    f"{group}: no output of {system} for {', '.join(missing)}; its means are over"
                    f" {have} of {len(members)} cases"
                )
