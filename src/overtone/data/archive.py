"""Archives of patches: one HDF5 file with AudioUNet's ``data`` (input) and ``label`` (target).

Both are float32. Patches are ``[patches, samples, 1]``; whole files (``dimension`` -1) lie one
behind the other in ``[samples, 1]``. ``patch_file`` and ``patch_start`` say which recording a
patch comes from and where it starts there, in samples of the full rate; ``patch_length`` how long
the target is. ``file_name`` and ``file_sha256`` name the recordings. Everything else is in the
attributes (:class:`ArchiveInfo`).

An archive gets its name only when it is complete. The same recordings and settings give the same
bytes: it holds no time, no path outside the corpus, and is written in the order of the list.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from overtone import __version__
from overtone.data.patches import PatchSettings
from overtone.dsp.decimation import FILTER_ORDER, FILTER_RIPPLE_DB
from overtone.errors import InvalidInputError, MissingExtraError
from overtone.files import atomic_write, first_line

SCHEMA, SCHEMA_VERSION = "overtone-patches", 2
LOW_PASS = (
    f"scipy.signal.decimate: Chebyshev I, order {FILTER_ORDER}, {FILTER_RIPPLE_DB} dB, zero phase"
)
SPLINE = "cubic B-spline, splrep and splev"
RESAMPLER = "soxr VHQ"

Samples = NDArray[np.float32]


class ArchiveInfo(BaseModel):
    """The attributes of an archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    overtone_version: str = __version__
    corpus: str
    split: str
    split_rule: str
    settings: PatchSettings

    def attributes(self) -> dict[str, str | int | float | bool]:
        """Return flat names and values, as they are stored."""
        settings = self.settings
        return {
            "schema": SCHEMA,
            "schema_version": self.schema_version,
            "overtone_version": self.overtone_version,
            "corpus": self.corpus,
            "split": self.split,
            "split_rule": self.split_rule,
            "resampler": RESAMPLER,
            "filter": LOW_PASS if settings.low_pass else "none",
            "interpolation": SPLINE if settings.interpolate else "none",
            **settings.model_dump(exclude={"interpolate", "low_pass"}),
        }

    @classmethod
    def from_attributes(cls, attributes: dict[str, Any]) -> Self:
        """Return the inverse of :meth:`attributes`; raises KeyError or ValidationError."""
        values = dict(attributes)
        settings = {
            "low_pass": values.pop("filter") != "none",
            "interpolate": values.pop("interpolation") != "none",
        }
        for name in PatchSettings.model_fields.keys() - settings.keys():
            settings[name] = values.pop(name)
        del values["schema"], values["resampler"]
        return cls(settings=PatchSettings(**settings), **values)


@dataclass(frozen=True)
class SourceFile:
    """One recording of an archive: its name in the corpus and the SHA-256 of its file."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Piece:
    """Some patches of one recording: ``low`` and ``high`` ``[patches, samples]``."""

    file_number: int
    starts: NDArray[np.int64]
    low: Samples
    high: Samples


def _h5py() -> Any:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtraError("an archive of patches", "train") from error
    return h5py


def write_archive(
    path: Path,
    info: ArchiveInfo,
    sources: Sequence[SourceFile],
    lengths: Sequence[int],
    pieces: Iterator[Piece],
) -> None:
    """Write an archive to ``path``, replacing what is there, from a stream of patches.

    ``lengths`` are the patches' lengths at the full rate, in order; ``pieces`` give exactly those.
    Nothing is left when anything fails.

    Raises:
        InvalidInputError: the disk is full or the folder cannot be written.
    """
    h5py = _h5py()
    with atomic_write(path, overwrite=True) as part:
        with h5py.File(part, "w") as file:
            _fill(file, info, sources, np.array(lengths, np.int64), pieces)
        with part.open("rb") as written:
            os.fsync(written.fileno())


def _fill(
    file: Any,
    info: ArchiveInfo,
    sources: Sequence[SourceFile],
    lengths: NDArray[np.int64],
    pieces: Iterator[Piece],
) -> None:
    # Strings have a fixed length: variable ones may differ in bytes that nobody reads, and lie in
    # a heap over which the HDF5 library can loop for ever, once it is damaged.
    for name, value in info.attributes().items():
        file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
    names = np.array([source.name.encode() for source in sources])
    file.create_dataset("file_name", data=names)
    file.create_dataset("file_sha256", data=np.array([s.sha256.encode() for s in sources]))
    file.create_dataset("patch_length", data=lengths)
    settings, count = info.settings, len(lengths)
    low_lengths = lengths // settings.low_step
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    if settings.whole_files:
        shapes = ((int(low_lengths.sum()), 1), (int(lengths.sum()), 1))
    else:
        low_length = settings.dimension // settings.low_step
        shapes = ((count, low_length, 1), (count, settings.dimension, 1))
    data = file.create_dataset("data", shapes[0], np.float32)
    label = file.create_dataset("label", shapes[1], np.float32)
    numbers, starts = np.zeros(count, np.int32), np.zeros(count, np.int64)
    done = low_at = high_at = 0
    for piece in pieces:
        stop = done + len(piece.starts)
        numbers[done:stop], starts[done:stop] = piece.file_number, piece.starts
        low, high = piece.low, piece.high
        if settings.whole_files:
            low, high = low.reshape(-1), high.reshape(-1)
        data[low_at : low_at + len(low)] = low[..., None]
        label[high_at : high_at + len(high)] = high[..., None]
        low_at, high_at, done = low_at + len(low), high_at + len(high), stop
    if done != count:
        raise AssertionError(f"{done} patches came, {count} were announced")
    file.create_dataset("patch_file", data=numbers)
    file.create_dataset("patch_start", data=starts)


class PatchArchive:
    """An archive to read; a sequence of ``(low, high)`` patches, each ``[samples]``.

    The file is opened anew in every process that reads: an open HDF5 handle does not survive a
    fork, and pickling an archive carries only its path.

    Raises:
        InvalidInputError: no such file, cut short, not HDF5, or not an archive of this schema.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: Any = None
        self._pid = 0
        file = self._open()
        self.info = _read_info(self.path, file)
        try:
            lengths = _own(file, "patch_length", "i", 1)[()].astype(np.int64)
            self.file_names = [name.decode() for name in _own(file, "file_name", "S", 1)[()]]
            self.file_sha256 = [name.decode() for name in _own(file, "file_sha256", "S", 1)[()]]
            self.patch_file: NDArray[np.int32] = _own(file, "patch_file", "i", 1)[()]
            self.patch_start: NDArray[np.int64] = _own(file, "patch_start", "i", 1)[()]
            axes = 2 if self.info.settings.whole_files else 3
            shapes = tuple(_own(file, name, "f", axes).shape for name in ("data", "label"))
            self._check_lists(lengths, most=max(shapes[1]))
        except (KeyError, OSError, ValueError, RuntimeError, TypeError) as error:
            raise InvalidInputError(f"{self.path}: damaged ({error}); prepare it again") from error
        self.patch_length: NDArray[np.int64] = lengths
        self._check_shapes(*shapes)
        step = self.info.settings.low_step
        self._high_at = np.concatenate([[0], np.cumsum(lengths)])
        self._low_at = np.concatenate([[0], np.cumsum(lengths // step)])

    def _check_lists(self, lengths: NDArray[np.int64], most: int) -> None:
        if not len(lengths) == len(self.patch_file) == len(self.patch_start):
            raise ValueError("not as many lengths as files and starts")
        if len(self.file_names) != len(self.file_sha256):
            raise ValueError("not as many names as hashes")
        limits = ((lengths, most), (self.patch_file, len(self.file_names) - 1))
        if any(values.size and not 0 <= values.min() <= values.max() <= n for values, n in limits):
            raise ValueError("a patch of no file, or of no possible length")

    def _check_shapes(self, data: tuple[int, ...], label: tuple[int, ...]) -> None:
        settings, lengths = self.info.settings, self.patch_length
        expected: tuple[tuple[int, ...], tuple[int, ...]]
        if settings.whole_files:
            total = int(lengths.sum())
            expected = (total // settings.low_step, 1), (total, 1)
        else:
            low = settings.dimension // settings.low_step
            expected = (len(lengths), low, 1), (len(lengths), settings.dimension, 1)
        if (data, label) != expected:
            raise InvalidInputError(
                f"{self.path}: data {data} and label {label} should be {expected[0]} and"
                f" {expected[1]}; prepare it again"
            )

    def _open(self) -> Any:
        if self._file is None or self._pid != os.getpid():
            h5py = _h5py()
            if not self.path.is_file():
                raise InvalidInputError(f"{self.path}: no such file; make it with overtone prepare")
            try:
                self._file, self._pid = h5py.File(self.path, "r"), os.getpid()
            except OSError as error:
                raise InvalidInputError(
                    f"{self.path}: cut short or not HDF5; prepare it again"
                ) from error
        return self._file

    def __len__(self) -> int:
        return len(self.patch_length)

    def __getitem__(self, index: int) -> tuple[Samples, Samples]:
        """Patch ``index``: ``(low, high)``, each ``[samples]`` float32."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: no patch {index}, there are {len(self)}")
        index %= len(self)
        file = self._open()
        if not self.info.settings.whole_files:
            return file["data"][index, :, 0], file["label"][index, :, 0]
        low = file["data"][self._low_at[index] : self._low_at[index + 1], 0]
        return low, file["label"][self._high_at[index] : self._high_at[index + 1], 0]

    def close(self) -> None:
        """Close the file; reading opens it again."""
        if self._file is not None and self._pid == os.getpid():
            self._file.close()
        self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}


def _own(file: Any, name: str, kind: str, axes: int) -> Any:
    """Return a dataset that lies in the file itself as it says, and not behind a link.

    Raises ValueError for any other: external files, virtual datasets, and sizes without content.
    """
    h5py = _h5py()
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is missing, or a link")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ValueError(f"{name} does not lie in the file")
    if dataset.dtype.kind != kind or dataset.ndim != axes:
        raise ValueError(f"{name} is {dataset.dtype} {dataset.shape}")
    if kind == "f" and dataset.dtype != np.float32:
        raise ValueError(f"{name} is {dataset.dtype}")
    if dataset.id.get_storage_size() < dataset.size * dataset.dtype.itemsize:
        raise ValueError(f"{name} says to be larger than it is")
    return dataset


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode() if isinstance(value, bytes) else value


def _read_info(path: Path, file: Any) -> ArchiveInfo:
    try:
        # What has no fixed length is not read; see _fill.
        attributes = {
            name: _plain(file.attrs[name]) if file.attrs.get_id(name).dtype.kind != "O" else None
            for name in file.attrs
        }
    except (KeyError, OSError, ValueError, RuntimeError, TypeError) as error:
        raise InvalidInputError(f"{path}: damaged ({error}); prepare it again") from error
    version = attributes.get("schema_version", SCHEMA_VERSION)
    if version == SCHEMA_VERSION and attributes.get("schema") != SCHEMA:
        raise InvalidInputError(
            f"{path}: an HDF5 file, but no archive of overtone's (no attribute schema ="
            f" {SCHEMA!r}); make one with overtone prepare"
        )
    if version != SCHEMA_VERSION:
        raise InvalidInputError(
            f"{path}: schema version {version}, this overtone reads {SCHEMA_VERSION}; prepare it"
            " again"
        )
    try:
        return ArchiveInfo.from_attributes(attributes)
    except (KeyError, ValueError, TypeError) as error:
        raise InvalidInputError(
            f"{path}: its attributes are damaged ({first_line(error)}); prepare it again"
        ) from error


def describe(archive: PatchArchive) -> list[str]:
    """Return lines that say what is inside."""
    settings = archive.info.settings
    seconds = float(archive.patch_length.sum()) / settings.sample_rate
    unit = "whole files" if settings.whole_files else "patches"
    distinct = len(set(archive.file_sha256))
    used = len(set(archive.patch_file.tolist()))
    lines = [f"{name}: {value}" for name, value in archive.info.attributes().items()]
    file = archive._open()
    lines += [f"{name}: {file[name].shape} {file[name].dtype}" for name in ("data", "label")]
    lines.append(
        f"{len(archive)} {unit}, {seconds / 60:.1f} minutes with overlaps, from {used} of"
        f" {len(archive.file_names)} files listed ({distinct} distinct)"
    )
    return lines
