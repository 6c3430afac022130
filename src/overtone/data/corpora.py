"""Corpora of recordings and the store of samples that training reads crops from.

A :class:`Corpus` is a folder, its true bandwidth and its licence. Files are split by sorted name
before anything else: the last tenth is validation. :class:`SampleStore` decodes and resamples
every file once, at the training rate, into one memory-mapped int16 file, so that a crop during
training costs a copy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from overtone.audio.files import INPUT_EXTENSIONS, read_audio
from overtone.audio.level import active_rms
from overtone.audio.resample import resample
from overtone.errors import AudioFileError, ConfigError

Split = Literal["train", "validation"]
STORE_VERSION = 2


class Corpus(BaseModel):
    """One folder of recordings with what they can teach.

    ``bandwidth_hz``: recordings hold nothing real above it; losses stop there.
    ``weight``: relative share of the training crops.
    ``exclude``: files whose path contains any of these are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    path: str
    glob: str = "**/*"
    bandwidth_hz: float = Field(gt=0)
    weight: float = Field(default=1.0, gt=0)
    licence: str
    exclude: tuple[str, ...] = ()

    def files(self, root: Path) -> list[Path]:
        """The corpus's recordings sorted by name.

        Raises:
            ConfigError: the folder is missing or holds no audio.
        """
        folder = root / self.path
        if not folder.is_dir():
            raise ConfigError(
                f"corpus {self.name!r}: no folder {folder}; give its parent with --data-root"
            )
        found = sorted(
            path
            for path in folder.glob(self.glob)
            if path.suffix.lower() in INPUT_EXTENSIONS
            and not any(part in path.as_posix() for part in self.exclude)
        )
        if len(found) < 2:
            raise ConfigError(
                f"corpus {self.name!r}: {len(found)} recordings match {self.glob!r} in {folder};"
                " at least 2 are needed, one to train on and one to validate"
            )
        return found

    def split(self, root: Path, split: Split) -> list[Path]:
        """The files of one split: validation is the last tenth by name, at least one."""
        files = self.files(root)
        held_out = max(1, len(files) // 10)
        return files[-held_out:] if split == "validation" else files[:-held_out]


@dataclass(frozen=True)
class StoredFile:
    """Where one recording lies in the store, and what scales its int16 back to RMS 1."""

    name: str
    corpus: int
    split: Split
    offset: int
    length: int
    gain: float


class SampleStore:
    """All corpora as mono int16 at one rate, memory-mapped.

    Build it with :meth:`build`, which does nothing when the folder already holds the same
    corpora. ``bandwidth_hz`` and ``weight`` are read from the configuration, so changing them
    does not rebuild.
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        self.files = [StoredFile(**entry) for entry in index["files"]]
        self.samples: NDArray[np.int16] = np.memmap(folder / "samples.int16", np.int16, mode="r")

    def select(self, corpus: int, split: Split) -> list[StoredFile]:
        """The files of one corpus and split."""
        return [f for f in self.files if f.corpus == corpus and f.split == split]

    def crop(self, file: StoredFile, start: int, length: int) -> NDArray[np.float32]:
        """``[length]`` samples at unit RMS from ``start``; zeros past the end."""
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
    ) -> SampleStore:
        """Decode every file of ``corpora`` under ``root`` into ``folder`` unless it is there.

        Files that cannot be decoded are named through ``log`` and left out.
        """
        listing: list[tuple[int, Split, Path]] = []
        splits: tuple[Split, Split] = ("train", "validation")
        for number, corpus in enumerate(corpora):
            for split in splits:
                listing += [(number, split, path) for path in corpus.split(root, split)]
        key = _key(listing, root, sample_rate)
        try:
            if json.loads((folder / "index.json").read_text())["key"] == key:
                return cls(folder)
        except (OSError, ValueError, KeyError):
            pass
        folder.mkdir(parents=True, exist_ok=True)
        files: list[StoredFile] = []
        offset = 0
        with (folder / "samples.int16").open("wb") as out:
            for number, split, path in listing:
                try:
                    samples = _load_mono(path, sample_rate)
                except AudioFileError as error:
                    log(f"left out: {error}")
                    continue
                peak, rms = float(np.abs(samples).max(initial=0)), active_rms(samples, sample_rate)
                if rms == 0:
                    continue
                scale = 32000 / peak
                out.write(np.round(samples * scale).astype(np.int16).tobytes())
                name = path.relative_to(root).as_posix()
                files.append(
                    StoredFile(name, number, split, offset, samples.size, 1 / (rms * scale))
                )
                offset += samples.size
        index = {"key": key, "files": [asdict(f) for f in files]}
        temporary = folder / "index.json.part"
        temporary.write_text(json.dumps(index))
        temporary.replace(folder / "index.json")
        return cls(folder)


def _key(listing: list[tuple[int, Split, Path]], root: Path, sample_rate: int) -> str:
    """Changes whenever the files, their order, their sizes or the rate change."""
    rows = [
        (number, split, path.relative_to(root).as_posix(), path.stat().st_size)
        for number, split, path in listing
    ]
    return hashlib.sha256(json.dumps([STORE_VERSION, sample_rate, rows]).encode()).hexdigest()


def _load_mono(path: Path, sample_rate: int) -> NDArray[np.float32]:
    samples, rate = read_audio(path)
    if samples.shape[1] == 0:
        raise AudioFileError(f"{path}: no samples; remove it from the corpus")
    return resample(samples.mean(axis=0, keepdims=True), rate, sample_rate)[0]
