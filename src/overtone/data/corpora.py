"""Corpora of recordings and the store of samples that training reads crops from.

A :class:`Corpus` is a folder, its true bandwidth and its licence. Files are split by sorted name
before anything else: the last tenth is validation. :class:`SampleStore` decodes and resamples
every file once, at the training rate, into one memory-mapped int16 file, so that a crop during
training costs a copy. The file only grows: what a recipe names and the store lacks is appended.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from overtone.audio.formats import INPUT_EXTENSIONS
from overtone.audio.reader import read_audio
from overtone.dsp.level import active_rms
from overtone.dsp.resample import resample
from overtone.errors import AudioFileError, ConfigError
from overtone.files import write_text
from overtone.settings import Settings

Split = Literal["train", "validation"]
Channels = Literal["mix", "each"]
STORE_VERSION = 3
INDEX, SAMPLES = "index.json", "samples.int16"
# -140 dBFS: below it there is nothing to learn from.
SILENT_RMS = 1e-7
# How often it is said, and kept, what was decoded so far.
KEEP_S = 30.0


class Corpus(Settings):
    """One folder of recordings with what they can teach.

    ``bandwidth_hz``: recordings hold nothing real above it; losses stop there.
    ``weight``: how often its crops are drawn, relative to others'.
    ``exclude``: files are left out whose path inside the corpus, written ``/folder/name``,
    contains any of these.
    ``channels``: ``mix`` takes the mean of a recording's channels; ``each`` takes every channel
    for a recording of its own, as they are enhanced, and one that is a copy of another once.
    """

    renamed: ClassVar[dict[str, str]] = {"licence": "license"}

    name: str
    path: str
    glob: str = "**/*"
    bandwidth_hz: float = Field(gt=0)
    weight: float = Field(default=1.0, gt=0)
    license: str
    exclude: tuple[str, ...] = ()
    channels: Channels = "mix"

    def files(self, root: Path) -> list[Path]:
        """Return the corpus's recordings sorted by name.

        Raises:
            ConfigError: the folder is missing or holds fewer than two recordings.
        """
        folder = root / self.path
        if not folder.is_dir():
            raise ConfigError(
                f"corpus {self.name!r}: no folder {folder}; give its parent with --data-root"
            )
        try:
            matches = list(folder.glob(self.glob))
        except (ValueError, NotImplementedError) as error:
            raise ConfigError(
                f"corpus {self.name!r}: {self.glob!r} is no glob pattern inside {folder}: {error}"
            ) from error
        found = sorted(
            path
            for path in matches
            if path.suffix.lower() in INPUT_EXTENSIONS
            and not any(part in f"/{_name(path, folder)}" for part in self.exclude)
            and path.is_file()
        )
        if len(found) < 2:
            raise ConfigError(
                f"corpus {self.name!r}: {len(found)} recordings match {self.glob!r} in {folder};"
                " at least 2 are needed, one to train on and one to validate"
            )
        return found

    def split(self, root: Path, split: Split) -> list[Path]:
        """Return the files of one split: validation is the last tenth by name, at least one."""
        files = self.files(root)
        held_out = max(1, len(files) // 10)
        return files[-held_out:] if split == "validation" else files[:-held_out]


@dataclass(frozen=True)
class Track:
    """Where a recording, or a channel of it, lies in the store; ``gain`` scales it to RMS 1."""

    name: str
    offset: int
    length: int
    gain: float


@dataclass(frozen=True)
class Recording:
    """What became of a file: its tracks, and a line for each that was left out."""

    tracks: list[Track]
    left_out: list[str]

    @property
    def end(self) -> int:
        """Return how many samples the store must have."""
        return max((track.offset + track.length for track in self.tracks), default=0)


@dataclass(frozen=True)
class Source:
    """A file to decode, and which of its channels."""

    path: Path
    channels: Channels

    def key(self, root: Path) -> str:
        """Return what changes with the file and with how it is decoded."""
        status = self.path.stat()
        name = _name(self.path, root)
        return f"{name} {self.channels} {status.st_size} {status.st_mtime_ns}"


@dataclass(frozen=True)
class StoredFile(Track):
    """A track with its place in a recipe: the number of its corpus, and its split."""

    corpus: int
    split: Split


class SampleStore:
    """All corpora as mono int16 at one rate, memory-mapped.

    :meth:`build` makes it, and decodes what the folder does not hold yet. What a corpus says of
    ``channels`` decides what becomes of stereo. Recipes can share a folder; files that none names
    any longer stay in it.
    """

    def __init__(self, folder: Path, files: list[StoredFile]) -> None:
        self.files = files
        self.samples: NDArray[np.int16] = np.memmap(folder / SAMPLES, np.int16, mode="r")

    def select(self, corpus: int, split: Split) -> list[StoredFile]:
        """Return the files of one corpus and split."""
        return [f for f in self.files if f.corpus == corpus and f.split == split]

    def crop(self, file: StoredFile, start: int, length: int) -> NDArray[np.float32]:
        """Return ``[length]`` samples at unit RMS from ``start``; zeros past the end."""
        stop = min(start + length, file.length)
        out = np.zeros(length, np.float32)
        if stop > start:
            out[: stop - start] = self.samples[file.offset + start : file.offset + stop]
        return out * np.float32(file.gain)

    @classmethod
    def build(
        cls,
        folder: Path,
        corpora: list[Corpus],
        root: Path,
        sample_rate: int,
        log: Callable[[str], None] = print,
    ) -> "SampleStore":
        """Decode what of ``corpora`` under ``root`` is not in ``folder`` yet; returns all of it.

        Files that are damaged or silent are named through ``log`` and left out. What was decoded
        before an interruption is kept.

        Raises:
            ConfigError: a corpus is missing, nothing in it can be used, or ``folder`` cannot be
                written.
        """
        splits: tuple[Split, Split] = ("train", "validation")
        listing = [
            (number, split, Source(path, corpus.channels))
            for number, corpus in enumerate(corpora)
            for split in splits
            for path in corpus.split(root, split)
        ]
        sources = {source.key(root): source for _, _, source in listing}
        library = _read(folder, sample_rate)
        if not sources.keys() <= library.keys():
            # Training needs it, and nothing else that reads this module.
            from filelock import FileLock

            try:
                folder.mkdir(parents=True, exist_ok=True)
                # Of runs that start together, one decodes.
                with FileLock(folder / "lock"):
                    library = _read(folder, sample_rate)
                    missing = {k: s for k, s in sources.items() if k not in library}
                    if missing:
                        log(f"decoding {len(missing)} of {len(sources)} recordings into {folder}")
                        _append(folder, library, missing, root, sample_rate, log)
            except OSError as error:
                raise ConfigError(
                    f"{folder}: cannot keep the decoded samples there ({error.strerror}); give"
                    " another folder with --cache"
                ) from error
        for key in sources:
            for line in library[key].left_out:
                log(f"left out: {line}")
        files = [
            StoredFile(**asdict(track), corpus=number, split=split)
            for number, split, source in listing
            for track in library[source.key(root)].tracks
        ]
        if not files:
            raise ConfigError("no recording of any corpus can be used; see what was left out")
        return cls(folder, files)


def _read(folder: Path, sample_rate: int) -> dict[str, Recording]:
    """Return what the store in ``folder`` holds; nothing if it is damaged, or of another rate."""
    try:
        index = json.loads((folder / INDEX).read_text())
        if (index["version"], index["sample_rate"]) != (STORE_VERSION, sample_rate):
            return {}
        library = {
            key: Recording([Track(**track) for track in entry["tracks"]], entry["left_out"])
            for key, entry in index["recordings"].items()
        }
        size = (folder / SAMPLES).stat().st_size // 2
        return library if max((r.end for r in library.values()), default=0) <= size else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # nothing there, or damaged


def _append(
    folder: Path,
    library: dict[str, Recording],
    missing: dict[str, Source],
    root: Path,
    sample_rate: int,
    log: Callable[[str], None],
) -> None:
    """Decode ``missing`` to the end of the store, and add it to ``library`` and to the index."""
    samples, index = folder / SAMPLES, folder / INDEX
    head = {"version": STORE_VERSION, "sample_rate": sample_rate}

    def keep() -> None:
        recordings = {key: asdict(recording) for key, recording in library.items()}
        write_text(json.dumps(head | {"recordings": recordings}), index, overwrite=True)

    if not library:
        # Never an index beside samples of another one; a run that reads the old samples keeps
        # them.
        index.unlink(missing_ok=True)
        samples.unlink(missing_ok=True)
    end = max((recording.end for recording in library.values()), default=0)
    with samples.open("r+b" if samples.exists() else "w+b") as out:
        out.truncate(2 * end)  # what a process left that was killed
        out.seek(2 * end)
        kept = time.monotonic()
        try:
            for done, (key, source) in enumerate(missing.items()):
                if time.monotonic() - kept > KEEP_S:
                    log(f"decoded {done} of {len(missing)}")
                    out.flush()
                    keep()
                    kept = time.monotonic()
                library[key] = recording = _decode(source, root, sample_rate, out, end)
                end = max(end, recording.end)
        finally:
            out.flush()
            keep()


def _decode(source: Source, root: Path, sample_rate: int, out: BinaryIO, offset: int) -> Recording:
    """Write the tracks of a file to ``out``, which is at sample ``offset``."""
    try:
        tracks = _load(source.path, sample_rate, source.channels)
    except AudioFileError as error:
        return Recording([], [str(error)])
    found, left_out, blocks = [], [], []
    for channel, samples in enumerate(tracks, start=1):
        which = f" channel {channel}" if len(tracks) > 1 else ""
        rms = active_rms(samples, sample_rate)
        if not rms > SILENT_RMS:
            cure = "" if which else "; remove it from the corpus"
            left_out.append(f"{source.path}{which}: silent{cure}")
            continue
        scale = 32000 / float(np.abs(samples).max())
        blocks.append(np.round(samples * scale).astype(np.int16))
        name = _name(source.path, root) + which
        found.append(Track(name, offset, samples.size, 1 / (rms * scale)))
        offset += samples.size
    for block in blocks:
        out.write(block.tobytes())
    return Recording(found, left_out)


def _name(path: Path, root: Path) -> str:
    """Return ``path`` as seen from ``root``; a corpus may also lie elsewhere."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _load(path: Path, sample_rate: int, channels: Channels) -> NDArray[np.float32]:
    """Return ``[tracks, samples]`` at ``sample_rate``."""
    samples, rate = read_audio(path)
    if samples.shape[1] == 0:
        raise AudioFileError(f"{path}: no samples; remove it from the corpus")
    if channels == "mix":
        tracks = samples.mean(axis=0, keepdims=True)
    else:
        copies = [any(np.array_equal(c, o) for o in samples[:n]) for n, c in enumerate(samples)]
        tracks = samples[~np.array(copies)]
    return resample(tracks, rate, sample_rate)
