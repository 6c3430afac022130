"""Corpora of recordings and the store of samples that training reads crops from.

A :class:`Corpus` is a folder, its true bandwidth and its licence. Files are split by sorted name
before anything else: the last tenth is validation. :class:`SampleStore` decodes and resamples
every file once, at the training rate, into one memory-mapped int16 file, so that a crop during
training costs a copy.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from overtone.audio.formats import INPUT_EXTENSIONS
from overtone.audio.reader import read_audio
from overtone.dsp.level import active_rms
from overtone.dsp.resample import resample
from overtone.errors import AudioFileError, ConfigError
from overtone.settings import Settings

Split = Literal["train", "validation"]
Channels = Literal["mix", "each"]
STORE_VERSION = 2
INDEX, SAMPLES = "index.json", "samples.int16"
# -140 dBFS: below it there is nothing to learn from.
SILENT_RMS = 1e-7


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


Listed = tuple[int, Split, Path, Channels]
"""A recording to decode: the number of its corpus, its split, its path, which channels."""


@dataclass(frozen=True)
class StoredFile:
    """Where a recording, or a channel of it, lies in the store; ``gain`` scales it to RMS 1."""

    name: str
    corpus: int
    split: Split
    offset: int
    length: int
    gain: float


class SampleStore:
    """All corpora as mono int16 at one rate, memory-mapped.

    Build it with :meth:`build`, which does nothing when the folder already holds the same
    corpora. What a corpus says of ``channels`` decides what becomes of stereo. ``bandwidth_hz``
    and ``weight`` are read from the configuration, so changing them does not rebuild.
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        self.files = [StoredFile(**entry) for entry in index["files"]]
        self.samples: NDArray[np.int16] = np.memmap(folder / SAMPLES, np.int16, mode="r")
        if self.samples.size != sum(file.length for file in self.files):
            raise ValueError(f"{folder}: {SAMPLES} and {INDEX} do not belong together")

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
        """Decode every file of ``corpora`` under ``root`` into ``folder`` unless it is there.

        Files that are damaged or silent are named through ``log`` and left out.

        Raises:
            ConfigError: a corpus is missing, nothing in it can be used, or ``folder`` cannot be
                written.
        """
        listing: list[Listed] = []
        splits: tuple[Split, Split] = ("train", "validation")
        for number, corpus in enumerate(corpora):
            for split in splits:
                paths = corpus.split(root, split)
                listing += [(number, split, path, corpus.channels) for path in paths]
        # Training needs it, and nothing else that reads this module.
        from filelock import FileLock

        key = _key(listing, root, sample_rate)
        newest = max(path.stat().st_mtime for _, _, path, _ in listing)
        store = _current(folder, key, newest)
        if store is None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                # Of runs that start together, one decodes.
                with FileLock(folder / "lock"):
                    if _current(folder, key, newest) is None:
                        log(f"decoding {len(listing)} recordings into {folder}")
                        _fill(
                            folder,
                            {"key": key, "newest": newest},
                            lambda part: _decode(listing, root, sample_rate, part, log),
                        )
            except OSError as error:
                raise ConfigError(
                    f"{folder}: cannot keep the decoded samples there ({error.strerror}); give"
                    " another folder with --cache"
                ) from error
        return store or cls(folder)


def _current(folder: Path, key: str, newest: float) -> SampleStore | None:
    """Return the undamaged store in ``folder`` of the recordings of ``key``, if any."""
    try:
        index = json.loads((folder / INDEX).read_text())
        if index["key"] == key and index.get("newest", newest) >= newest:
            return SampleStore(folder)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing there, or damaged
    return None


def _fill(folder: Path, head: dict[str, Any], decode: Callable[[Path], list[StoredFile]]) -> None:
    """Replace the store in ``folder`` by what ``decode`` writes, once all of it is there."""
    samples, index = folder / f"{SAMPLES}.part", folder / f"{INDEX}.part"
    try:
        files = decode(samples)
        index.write_text(json.dumps(head | {"files": [asdict(file) for file in files]}))
        # Never an index beside samples of another one; a run that reads the old samples keeps
        # them.
        (folder / INDEX).unlink(missing_ok=True)
        samples.replace(folder / SAMPLES)
        index.replace(folder / INDEX)
    finally:
        samples.unlink(missing_ok=True)
        index.unlink(missing_ok=True)


def _decode(
    listing: list[Listed], root: Path, sample_rate: int, path: Path, log: Callable[[str], None]
) -> list[StoredFile]:
    """Write all samples, one file behind the other, to ``path``; returns where each lies."""
    files: list[StoredFile] = []
    offset = 0
    with path.open("wb") as out:
        for number, split, source, channels in listing:
            try:
                tracks = _load(source, sample_rate, channels)
            except AudioFileError as error:
                log(f"left out: {error}")
                continue
            for channel, samples in enumerate(tracks, start=1):
                which = f" channel {channel}" if len(tracks) > 1 else ""
                rms = active_rms(samples, sample_rate)
                if not rms > SILENT_RMS:
                    cure = "" if which else "; remove it from the corpus"
                    log(f"left out: {source}{which}: silent{cure}")
                    continue
                scale = 32000 / float(np.abs(samples).max())
                out.write(np.round(samples * scale).astype(np.int16).tobytes())
                name, gain = _name(source, root) + which, 1 / (rms * scale)
                files.append(StoredFile(name, number, split, offset, samples.size, gain))
                offset += samples.size
    if not files:
        raise ConfigError("no recording of any corpus can be used; see what was left out")
    return files


def _name(path: Path, root: Path) -> str:
    """Return ``path`` as seen from ``root``; a corpus may also lie elsewhere."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _key(listing: list[Listed], root: Path, sample_rate: int) -> str:
    """Return what changes with the files, their order, sizes and channels, and with the rate."""
    rows = [
        # "mix" is not written: stores from before there was a choice stay good.
        [number, split, _name(path, root), path.stat().st_size]
        + ([channels] if channels != "mix" else [])
        for number, split, path, channels in listing
    ]
    return hashlib.sha256(json.dumps([STORE_VERSION, sample_rate, rows]).encode()).hexdigest()


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
