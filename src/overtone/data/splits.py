"""The corpora of the AudioUNet family: where their files lie, and which are held out.

A :class:`Listing` names the files of one split of one corpus, in a fixed order. The rules are
data, ``splits.toml`` in this package; :func:`rules_text` gives them to be printed.
"""

import hashlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from overtone.audio.formats import INPUT_EXTENSIONS
from overtone.errors import InvalidInputError
from overtone.files import find_files

Split = Literal["train", "validation", "test", "all"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Listing:
    """The files of one split of one corpus.

    ``names`` are relative to ``folder`` and may repeat. ``left_out`` tells, a line each, what
    belongs to the split and is skipped, and why. ``rule`` says how the split was made.
    """

    corpus: str
    split: str
    folder: Path
    names: tuple[str, ...]
    rule: str
    left_out: tuple[str, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """The files, in order."""
        return [self.folder / name for name in self.names]


def rules_text() -> str:
    """Return the split rules as the TOML text they are kept in."""
    return (resources.files("overtone.data") / "splits.toml").read_text("utf-8")


def split_rules(corpus: str) -> dict[str, Any]:
    """Return the rules of one corpus: "vctk", "gtzan" or "piano"."""
    found: dict[str, Any] = tomllib.loads(rules_text())[corpus]
    return found


def listed_names(file_list: Path) -> tuple[str, ...]:
    """Return the names in a text file, one a line, as they stand there.

    Raises:
        InvalidInputError: the list cannot be read or is empty.
    """
    try:
        lines = file_list.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InvalidInputError(f"{file_list}: cannot be read ({reason})") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise InvalidInputError(f"{file_list}: names no files; write one a line")
    return names


def read_file_list(file_list: Path, folder: Path) -> Listing:
    """Return the recordings that a text file names, one a line, relative to ``folder``.

    Raises:
        InvalidInputError: the list cannot be read, is empty, or names what is missing or is no
            audio file; all of these are named.
    """
    names = listed_names(file_list)
    wrong = [
        name for name in dict.fromkeys(names) if Path(name).suffix.lower() not in INPUT_EXTENSIONS
    ]
    if wrong:
        raise InvalidInputError(
            f"{file_list}: not audio files: {', '.join(wrong)}; take these lines out"
        )
    missing = [name for name in dict.fromkeys(names) if not (folder / name).is_file()]
    if missing:
        raise InvalidInputError(
            f"{file_list}: {len(missing)} of {len(set(names))} files are not in {folder}:"
            f" {', '.join(missing)}; give their folder with --in-dir"
        )
    rule = f"as listed in {file_list.name}"
    return _without_damaged(Listing("files", file_list.stem, folder, names, rule))


def vctk(
    root: Path,
    split: Split,
    *,
    speaker: str | None = None,
    microphone: str = "mic1",
    once: bool = False,
) -> Listing:
    """VCTK 0.80 or 0.92: one ``speaker``, or all of them if None.

    ``root`` is the corpus or its folder of speakers; ``microphone`` chooses between the two
    recordings of each utterance in 0.92. ``once`` names no file twice (see the rules).
    """
    rules = split_rules("vctk")
    folder = _corpus_folder(root, rules["folders"], "VCTK")
    speakers = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if speaker is not None:
        if speaker not in speakers:
            raise InvalidInputError(
                f"{folder}: no speaker {speaker!r}; there are {', '.join(speakers) or 'none'}"
            )
        names = _utterances(folder, speaker, microphone)
        held = rules["single_speaker"]["held_out_utterances"]
        train, validation = names[:-held], names[-held:]
        if not once:
            validation = validation * rules["single_speaker"]["repeats"]
        rule = f"speaker {speaker}, the last {held} utterances held out"
    else:
        held_out = set(rules["multi_speaker"]["held_out_speakers"])
        named = {name: _utterances(folder, name, microphone) for name in speakers}
        train = [file for name in speakers if name not in held_out for file in named[name]]
        validation = [file for name in speakers if name in held_out for file in named[name]]
        rule = f"speakers {', '.join(sorted(held_out))} held out"
    return _listing("vctk", split, folder, train, validation, [], rule)


def gtzan(root: Path, split: Split, genre: str) -> Listing:
    """GTZAN: one ``genre``, the last tenth of its tracks held out."""
    rules = split_rules("gtzan")
    if genre not in rules["genres"]:
        raise InvalidInputError(f"no genre {genre!r} in GTZAN; known: {', '.join(rules['genres'])}")
    folder = _corpus_folder(root, rules["folders"], "GTZAN") / genre
    if not folder.is_dir():
        raise InvalidInputError(f"no folder {folder}; give the one that holds the genres")
    names = _audio_names(folder)
    held = _count(len(names), rules["held_out_fraction"])
    parts = {"train": names[:-held], "validation": names[-held:]}
    rule = f"genre {genre}, the last {held} of {len(names)} tracks held out"
    return _listing("gtzan", split, folder, parts["train"], parts["validation"], [], rule)


def piano(root: Path, split: Split, *, seed: int | None = None) -> Listing:
    """SampleRNN's arrays in ``root`` if they are there, else its recordings split 88/6/6."""
    rules = split_rules("piano")
    arrays: dict[str, str] = rules["arrays"]
    if root.is_file() and root.suffix == ".npy":
        split_of = {name: part for part, name in arrays.items()}
        return Listing(
            "piano", split_of.get(root.name, root.stem), root.parent, (root.name,), "the array's"
        )
    if any((root / name).is_file() for name in arrays.values()):
        wanted = list(arrays.values()) if split == "all" else [arrays[split]]
        missing = [name for name in wanted if not (root / name).is_file()]
        if missing:
            raise InvalidInputError(f"{root}: no {', '.join(missing)} beside the other arrays")
        return Listing("piano", split, root, tuple(wanted), "SampleRNN's arrays")
    return seeded(
        root,
        split,
        corpus="piano",
        seed=rules["seed"] if seed is None else seed,
        validation_fraction=rules["validation_fraction"],
        test_fraction=rules["test_fraction"],
    )


def seeded(
    root: Path,
    split: Split,
    *,
    corpus: str = "folder",
    seed: int = 0,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.0,
) -> Listing:
    """Return every recording below ``root``, split by whole files.

    Files are ordered by a hash of the seed and their name: adding one moves few others.
    """
    names = _checked_folder(root, validation_fraction, test_fraction)
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    test = _count(len(names), test_fraction)
    validation = _count(len(names), validation_fraction)
    rule = (
        f"by seed {seed}: {validation_fraction:g} validation, {test_fraction:g} test,"
        f" of {len(names)} files"
    )
    return _listing(
        corpus,
        split,
        root,
        sorted(order[test + validation :]),
        sorted(order[test : test + validation]),
        sorted(order[:test]),
        rule,
    )


def by_name(
    root: Path, split: Split, *, validation_fraction: float = 0.1, test_fraction: float = 0.0
) -> Listing:
    """Return every recording below ``root``: the last by name are for testing, those before them
    for validation.
    """
    names = _checked_folder(root, validation_fraction, test_fraction)
    test = len(names) - _count(len(names), test_fraction)
    validation = test - _count(len(names), validation_fraction)
    rule = (
        f"by name: the last {test_fraction:g} test, {validation_fraction:g} before it validation,"
        f" of {len(names)} files"
    )
    return _listing(
        "folder", split, root, names[:validation], names[validation:test], names[test:], rule
    )


def _checked_folder(root: Path, *fractions: float) -> list[str]:
    if min(fractions) < 0 or sum(fractions) >= 1:
        raise InvalidInputError(
            "the parts held out must be 0 or more and leave something to train on, not "
            + " and ".join(f"{fraction:g}" for fraction in fractions)
        )
    if not root.is_dir():
        raise InvalidInputError(f"no folder {root}; give one with recordings")
    return _audio_names(root)


def _listing(
    corpus: str,
    split: Split,
    folder: Path,
    train: Sequence[str],
    validation: Sequence[str],
    test: Sequence[str],
    rule: str,
) -> Listing:
    parts = {"train": train, "validation": validation, "test": test}
    parts["all"] = sorted({*train, *validation, *test})
    if not parts[split]:
        raise InvalidInputError(f"{folder}: the {split} split is empty ({rule}); choose another")
    return _without_damaged(Listing(corpus, split, folder, tuple(parts[split]), rule))


def _without_damaged(listing: Listing) -> Listing:
    """Leave out, and say so, what is known not to decode."""
    damaged = [n for n in listing.names if Path(n).stem in split_rules("gtzan")["damaged"]]
    return replace(
        listing,
        names=tuple(name for name in listing.names if name not in damaged),
        left_out=tuple(f"{name}: known to be damaged in GTZAN" for name in dict.fromkeys(damaged)),
    )


def _count(files: int, fraction: float) -> int:
    """Return how many files a part is: at least one where it is asked for."""
    return max(1, round(files * fraction)) if fraction else 0


def _utterances(folder: Path, speaker: str, microphone: str) -> list[str]:
    names = [f"{speaker}/{name}" for name in _audio_names(folder / speaker)]
    other = re.compile(r"_mic\d+$")
    return [
        name
        for name in names
        if not other.search(Path(name).stem) or Path(name).stem.endswith(f"_{microphone}")
    ]


def _corpus_folder(root: Path, inside: list[str], corpus: str) -> Path:
    """Return ``root`` or the folder in it that holds the speakers or genres."""
    if not root.is_dir():
        raise InvalidInputError(f"no folder {root}; give the one that holds {corpus}")
    return next((root / name for name in inside if (root / name).is_dir()), root)


def _audio_names(folder: Path) -> list[str]:
    names = sorted(
        path.relative_to(folder).as_posix() for path in find_files(folder, INPUT_EXTENSIONS)
    )
    if not names:
        raise InvalidInputError(
            f"{folder}: no recordings; see the layouts in docs/guide/corpora.md"
        )
    return names
