"""Audio files in, a block at a time, so that an hour of sound never sits in memory.

WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF, W64, RF64, CAF and AU are read by libsndfile
(:mod:`overtone.audio.sndfile`); what it cannot read, such as M4A and WebM, is left to PyAV
(:mod:`overtone.audio.pyav`). What a file is called decides nothing. Samples are float32
``[channels, samples]`` with full scale at 1.0.
"""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeGuard

import numpy as np
from numpy.typing import NDArray

from overtone.audio.carried import Carried, read_carried
from overtone.audio.formats import MAX_BLOCK_VALUES, MAX_MAGNITUDE, PYAV_EXTENSIONS, AudioInfo
from overtone.audio.mp3 import mp3_start
from overtone.audio.pyav import PyavDecoder, has_pyav
from overtone.audio.sndfile import SndfileDecoder, UnknownFormatError
from overtone.audio.views import Part, first_part
from overtone.errors import AudioFileError, InvalidInputError, MissingExtraError
from overtone.files import reason

# Streams that cannot seek are kept in memory up to this size.
_SPOOL_BYTES = 2**26


def probe(source: str | os.PathLike[str] | BinaryIO) -> AudioInfo:
    """Return what the header of an audio file says.

    Raises:
        AudioFileError: missing, a folder, empty, not audio, or not readable.
        MissingExtraError: the format needs PyAV, which is not installed.
    """
    with AudioReader(source) as reader:
        return reader.info


def read_audio(source: str | os.PathLike[str] | BinaryIO) -> tuple[NDArray[np.float32], int]:
    """Read a whole file: ``([channels, samples], sample rate in Hz)``.

    For short files; :class:`AudioReader` reads any length in bounded memory. Raises as it does.
    """
    with AudioReader(source) as reader:
        blocks = list(reader.blocks())
        if not blocks:
            return np.zeros((reader.info.channels, 0), np.float32), reader.info.sample_rate
        return np.concatenate(blocks, axis=1), reader.info.sample_rate


class AudioReader:
    """An open audio file, or a binary file object that holds one; a context manager.

    ``info`` holds what its header says, ``peak`` the greatest absolute value read so far, ``doubt``
    why the file may be but a part of one. A video file gives its first audio stream. Streams that
    were joined into one file are read one after another. A file object is read from its start and
    stays open; one that cannot seek is copied first.

    Raises:
        AudioFileError: missing, a folder, empty, not audio, or not readable.
        MissingExtraError: the format needs PyAV, which is not installed.

    Example:
        >>> import io
        >>> from overtone.audio.writer import AudioWriter
        >>> file = io.BytesIO()
        >>> with AudioWriter(file, 8000, 1) as writer:
        ...     writer.write(np.zeros((1, 4000)))
        >>> with AudioReader(file) as reader:
        ...     reader.info.duration_s
        0.5
    """

    def __init__(self, source: str | os.PathLike[str] | BinaryIO) -> None:
        self._opened = contextlib.ExitStack()
        try:
            if isinstance(source, (str, os.PathLike)):
                self.path = Path(source)
                _require_file(self.path)
                file = self._opened.enter_context(_open_binary(self.path))
            else:
                self.path = name_of(source)
                file = self._seekable(source)
            self._file, part = file, first_part(file, self.path)
            self._start, self._joined = part.start, part.end is not None
            self._decoder = _open_decoder(part)
        except BaseException:
            self._opened.close()
            raise
        self.info = self._decoder.info
        self.peak, self.doubt = 0.0, part.doubt

    def _seekable(self, stream: BinaryIO) -> BinaryIO:
        require_binary(stream, "read")
        if stream.seekable():
            file: Any = stream
        else:
            file = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115
            self._opened.callback(file.close)
            try:
                shutil.copyfileobj(stream, file)
            except OSError as error:
                raise AudioFileError(
                    f"{self.path}: cannot be kept in {tempfile.gettempdir()} ({reason(error)}); "
                    "set TMPDIR to a folder with room"
                ) from error
        if file.seek(0, os.SEEK_END) == 0:
            raise AudioFileError(f"{self.path}: is empty (0 bytes); get a whole copy")
        file.seek(0)
        return file  # type: ignore[no-any-return]

    def blocks(self, block_frames: int | None = None) -> Iterator[NDArray[np.float32]]:
        """Yield the file from its start as ``[channels, block_frames]``, the last block shorter.

        The default is 48000, less where that would take over 4 MB.

        Raises:
            AudioFileError: a sample is NaN, infinite or 1e18 and more, or the file has no samples,
                or is damaged or shorter than its header promises; the message gives the position
                in seconds.
        """
        if block_frames is None:
            block_frames = min(48000, max(1, MAX_BLOCK_VALUES // self.info.channels))
        if block_frames < 1:
            raise InvalidInputError(f"block_frames must be at least 1, not {block_frames}")
        return self._blocks(block_frames, "float32")

    def precise_blocks(self, block_frames: int) -> Iterator[NDArray[np.float64]]:
        """Yield what :meth:`blocks` does in double precision, which holds any sample exactly."""
        return self._blocks(block_frames, "float64")

    def _blocks(self, block_frames: int, dtype: str) -> Iterator[NDArray[Any]]:
        position = 0
        for block in _in_blocks(self._chunks(block_frames, dtype), block_frames):
            self._check_samples(block, position)
            yield block
            position += block.shape[1]
        if position == 0:
            raise AudioFileError(
                f"{self.path}: holds no samples; get a whole copy, or leave it out"
            )

    def excerpts(self, count: int, seconds: float) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """Yield ``count`` pieces spread evenly over the file, with where they start in seconds.

        No more is read than that. A file that is not longer is yielded whole, in pieces of a
        second; so is one whose length its header does not tell, or that was joined from several.

        Raises:
            AudioFileError: as :meth:`blocks`, if only in what is read.
        """
        rate, frames = self.info.sample_rate, self.info.frames
        size = round(seconds * rate)
        if frames is None or frames <= count * size or self._joined:
            for number, block in enumerate(self.blocks(rate)):
                yield float(number), block
            return
        for number in range(count):
            start = number * (frames - size) // (count - 1)
            block = self._decoder.piece(start, size)
            self._check_samples(block, start)
            yield start / rate, block

    def carried(self) -> Carried:
        """Return what the file carries besides sound: tags, cover art, cue points and so on."""
        carried = read_carried(self._file, self.info.sample_rate, self._start)
        if carried.empty and isinstance(self._decoder, PyavDecoder):
            carried.tags = self._decoder.tags()
        return carried

    def _chunks(self, block_frames: int, dtype: str) -> Iterator[NDArray[Any]]:
        """Yield the sound of all streams, in pieces of any size."""
        yield from self._decoder.blocks(block_frames, dtype)
        part = self._decoder.next_part()
        while part is not None:
            with contextlib.closing(_open_decoder(part)) as decoder:
                self._check_same_kind(decoder.info)
                self.doubt = part.doubt
                skip = part.skip_frames
                for block in decoder.blocks(block_frames, dtype):
                    yield _with_channels(block[:, skip:], self.info.channels)
                    skip = max(0, skip - block.shape[1])
                part = decoder.next_part()

    def _check_samples(self, block: NDArray[np.float32], start: int) -> None:
        """Note the peak of a block; refuse what is no sound. ``start`` is its first sample."""
        peak = float(np.abs(block).max(initial=0.0))
        if not peak < MAX_MAGNITUDE:  # nor is NaN
            first = start + int(np.argmin((np.abs(block) < MAX_MAGNITUDE).all(axis=0)))
            raise AudioFileError(
                f"{self.path}: holds a sample that is no sound (NaN or Inf, or 1e18 and more) "
                f"at {first / self.info.sample_rate:.4f} s; repair the file first"
            )
        self.peak = max(self.peak, peak)

    def _check_same_kind(self, info: AudioInfo) -> None:
        same_channels = info.channels == self.info.channels or 1 in (
            info.channels,
            self.info.channels,
        )
        if info.sample_rate != self.info.sample_rate or not same_channels:
            raise AudioFileError(
                f"{self.path}: is joined from streams of {self.info.sample_rate} Hz, "
                f"{self.info.channels} channels and {info.sample_rate} Hz, {info.channels} "
                "channels; split it into a file for each"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._decoder.close()
        self._opened.close()


def _with_channels(block: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Return mono as many channels, or the mean of many as mono."""
    if len(block) == channels:
        return block
    return block.mean(axis=0, keepdims=True) if channels == 1 else np.repeat(block, channels, 0)


def _open_binary(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise AudioFileError(
            f"{path}: cannot be opened ({reason(error)}); check its permissions"
        ) from error


def require_binary(stream: object, method: str) -> None:
    """Raise InvalidInputError unless this is an open binary file that has ``method``."""
    if isinstance(stream, io.TextIOBase):
        raise InvalidInputError(f"{name_of(stream)}: is open as text; open it in binary mode")
    if not hasattr(stream, method):
        kind = type(stream).__name__
        raise InvalidInputError(f"a file is a path or an open binary file, not {kind}")


def is_stream(given: object) -> TypeGuard[BinaryIO]:
    """Tell an open file from names."""
    return hasattr(given, "read")


def name_of(stream: object) -> Path:
    """Return what to call a file object in messages."""
    name = getattr(stream, "name", None)
    return Path(name if isinstance(name, str) else "stream")


def _in_blocks(chunks: Iterable[NDArray[Any]], block_frames: int) -> Iterator[NDArray[Any]]:
    """Yield ``chunks`` of any length as blocks of ``block_frames``, the last one shorter."""
    pending: list[NDArray[Any]] = []
    pending_frames = 0
    for chunk in chunks:
        pending.append(chunk)
        pending_frames += chunk.shape[1]
        if pending_frames < block_frames:
            continue
        joined = np.concatenate(pending, axis=1) if len(pending) > 1 else chunk
        whole = pending_frames - pending_frames % block_frames
        for start in range(0, whole, block_frames):
            yield np.ascontiguousarray(joined[:, start : start + block_frames])
        pending_frames -= whole
        pending = [joined[:, whole:]] if pending_frames else []
    if pending_frames:
        yield np.concatenate(pending, axis=1)


def _open_decoder(part: Part) -> SndfileDecoder | PyavDecoder:
    """Return libsndfile's decoder, or PyAV's for what libsndfile cannot read or not as well."""
    try:
        decoder = SndfileDecoder(part)
    except UnknownFormatError:
        if has_pyav():
            return _open_with_pyav(part)
        if part.path.suffix.lower() in PYAV_EXTENSIONS:
            what = f"reading {part.path.suffix.lower()} files"
            raise MissingExtraError(what, "formats") from None
        raise
    if decoder.needs_pyav and has_pyav():
        decoder.close()
        return PyavDecoder(part)
    return decoder


def _open_with_pyav(part: Part) -> SndfileDecoder | PyavDecoder:
    decoder = PyavDecoder(part)
    # libsndfile does not look for the first frame of an MP3 file behind junk; but from there on
    # it finds the index, and with it the file's true length and start.
    start = mp3_start(part.file, part.start) if decoder.container == "mp3" else None
    if start is None or start == part.start:
        return decoder
    decoder.close()
    return _open_decoder(replace(part, start=start))


def _require_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise AudioFileError(f"{path}: is a folder; give an audio file")
        if not path.exists():
            if path.is_symlink():
                raise AudioFileError(f"{path}: is a link to nothing, or to itself; check it")
            raise AudioFileError(f"{path}: no such file; check the name")
        if not path.is_file():
            raise AudioFileError(f"{path}: is not a regular file; copy the audio to one")
        if path.stat().st_size == 0:
            raise AudioFileError(f"{path}: is empty (0 bytes); get a whole copy")
    except (OSError, ValueError) as error:
        raise AudioFileError(f"{path}: cannot be opened ({reason(error)})") from error
