"""Audio files in and out, a block at a time, so that an hour of sound never sits in memory.

WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF, W64, RF64, CAF and AU are read and written by libsndfile
(:mod:`overtone.audio.sndfile`); what it cannot read, such as M4A and WebM, is left to PyAV
(:mod:`overtone.audio.pyav`). What a file is called decides nothing when it is read. Samples are
float32 ``[channels, samples]`` with full scale at 1.0.

What is written appears under its name only when it is complete: the samples go to a temporary
name in the same folder, the result is checked, and then renamed. Whatever fails before that
leaves neither a partial file nor a damaged old one.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.audio.carried import Carried, read_carried, write_carried
from overtone.audio.formats import (
    FLOAT_SUBTYPES,
    INPUT_EXTENSIONS,
    INTEGER_BITS,
    OUTPUT_FORMATS,
    PYAV_EXTENSIONS,
    AudioInfo,
    check_limits,
    choose_subtype,
    output_format,
)
from overtone.audio.mp3 import mp3_start
from overtone.audio.pyav import PyavDecoder, has_pyav
from overtone.audio.sndfile import SndfileDecoder, SndfileSink, UnknownFormatError
from overtone.audio.views import Part, first_part
from overtone.errors import AudioFileError, InvalidInputError, MissingExtraError
from overtone.files import atomic_write, find_files, reason, refuse_existing

__all__ = [
    "INPUT_EXTENSIONS",
    "OUTPUT_FORMATS",
    "AudioInfo",
    "AudioReader",
    "AudioWriter",
    "copy_audio",
    "find_audio",
    "probe",
    "read_audio",
    "same_format",
]

# Streams that cannot seek are kept in memory up to this size.
_SPOOL_BYTES = 2**26
# WAV and AIFF count bytes in 32 bits; the margin is for headers and trailing chunks.
_MAX_32BIT_BYTES = 2**32 - 2**20


def find_audio(
    folder: Path,
    *,
    exclude: Path | None = None,
    on_error: Callable[[OSError], None] | None = None,
) -> Iterator[Path]:
    """Yield the audio files below ``folder``; see :func:`overtone.files.find_files`."""
    return find_files(folder, INPUT_EXTENSIONS, exclude=exclude, on_error=on_error)


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

    ``info`` holds what its header says. A video file gives its first audio stream. Streams that
    were joined into one file are read one after another. A file object is read from its start and
    stays open; one that cannot seek is copied first.

    Raises:
        AudioFileError: missing, a folder, empty, not audio, or not readable.
        MissingExtraError: the format needs PyAV, which is not installed.

    Example:
        >>> import io
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
                self.path = _name_of(source)
                file = self._seekable(source)
            self._file, part = file, first_part(file, self.path)
            self._start = part.start
            self._decoder = _open_decoder(part)
        except BaseException:
            self._opened.close()
            raise
        self.info = self._decoder.info

    def _seekable(self, stream: BinaryIO) -> BinaryIO:
        if stream.seekable():
            file: Any = stream
        else:
            file = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115
            self._opened.callback(file.close)
            shutil.copyfileobj(stream, file)
        if file.seek(0, os.SEEK_END) == 0:
            raise AudioFileError(f"{self.path}: is empty (0 bytes); get a whole copy")
        file.seek(0)
        return file  # type: ignore[no-any-return]

    def blocks(self, block_frames: int = 48000) -> Iterator[NDArray[np.float32]]:
        """Yield the file from its start as ``[channels, block_frames]``, the last block shorter.

        Raises:
            AudioFileError: a sample is NaN or infinite, or the file has no samples, or is damaged
                or shorter than its header promises; the message gives the position in seconds.
        """
        if block_frames < 1:
            raise InvalidInputError(f"block_frames must be at least 1, not {block_frames}")
        position = 0
        for block in _in_blocks(self._chunks(block_frames), block_frames):
            finite = np.isfinite(block)
            if not finite.all():
                first = position + int(np.argmin(finite.all(axis=0)))
                raise AudioFileError(
                    f"{self.path}: holds a sample that is not a finite number (NaN or Inf) "
                    f"at {first / self.info.sample_rate:.4f} s; repair the file first"
                )
            yield block
            position += block.shape[1]
        if position == 0:
            raise AudioFileError(
                f"{self.path}: holds no samples; get a whole copy, or leave it out"
            )

    def carried(self) -> Carried:
        """Return what the file carries besides sound: tags, cover art, cue points and so on."""
        carried = read_carried(self._file, self.info.sample_rate, self._start)
        if carried.empty and isinstance(self._decoder, PyavDecoder):
            carried.tags = self._decoder.tags()
        return carried

    def _chunks(self, block_frames: int) -> Iterator[NDArray[np.float32]]:
        """Yield the sound of all streams, in pieces of any size."""
        yield from self._decoder.blocks(block_frames)
        part = self._decoder.next_part()
        while part is not None:
            with contextlib.closing(_open_decoder(part)) as decoder:
                self._check_same_kind(decoder.info)
                skip = part.skip_frames
                for block in decoder.blocks(block_frames):
                    yield block[:, skip:]
                    skip = max(0, skip - block.shape[1])
                part = decoder.next_part()

    def _check_same_kind(self, info: AudioInfo) -> None:
        given = (info.sample_rate, info.channels)
        if given != (self.info.sample_rate, self.info.channels):
            raise AudioFileError(
                f"{self.path}: is joined from streams of {self.info.sample_rate} Hz, "
                f"{self.info.channels} channels and {given[0]} Hz, {given[1]} channels; "
                "split it into a file for each"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._decoder.close()
        self._opened.close()


def _open_binary(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise AudioFileError(
            f"{path}: cannot be opened ({reason(error)}); check its permissions"
        ) from error


def _name_of(stream: BinaryIO) -> Path:
    """What to call a file object in messages."""
    name = getattr(stream, "name", None)
    return Path(name if isinstance(name, str) else "stream")


def _in_blocks(
    chunks: Iterable[NDArray[np.float32]], block_frames: int
) -> Iterator[NDArray[np.float32]]:
    """Yield ``chunks`` of any length as blocks of ``block_frames``, the last one shorter."""
    pending: list[NDArray[np.float32]] = []
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
            raise AudioFileError(f"{path}: no such file; check the name")
        if not path.is_file():
            raise AudioFileError(f"{path}: is not a regular file; copy the audio to one")
        if path.stat().st_size == 0:
            raise AudioFileError(f"{path}: is empty (0 bytes); get a whole copy")
    except (OSError, ValueError) as error:
        raise AudioFileError(f"{path}: cannot be opened ({reason(error)})") from error


class AudioWriter:
    """Writes an audio file block by block; a context manager.

    The format follows the extension of ``destination`` (see ``OUTPUT_FORMATS``); for a binary file
    object it is ``file_format``, an extension without its dot. The bit depth is
    ``subtype`` ("PCM_16", "PCM_24", "FLOAT", ...) if given, else that of ``like`` as far as the
    format can hold it, else the format's default, 24 bit. A WAV file that passes 4 GB goes on as
    RF64, its 64-bit form.

    Clipping: floating-point files keep values over full scale as they are. Integer and lossy
    files are limited to full scale, never wrapped; ``clipped_samples`` counts the samples that
    were over it and ``peak`` is the greatest absolute value given, before limiting. Integers
    are rounded to the nearest, without dither.

    What a source carried besides sound is written too, if it is given as ``carried``;
    ``left_behind`` names what of it the format has no place for.

    Nothing exists under a name until the ``with`` block has ended well; then the complete file
    does. After an exception there is no trace of it. A file object gets all bytes at the end, need
    not seek, and stays open.

    Raises:
        AudioFileError: when made, for an extension, subtype, rate or channel count that cannot
            be written, a missing folder, or an existing file without ``overwrite``; later, when
            the disk is full or not writable.
    """

    def __init__(
        self,
        destination: str | os.PathLike[str] | BinaryIO,
        sample_rate: int,
        channels: int,
        *,
        subtype: str | None = None,
        like: AudioInfo | None = None,
        overwrite: bool = False,
        carried: Carried | None = None,
        file_format: str = "wav",
    ) -> None:
        self._opened = contextlib.ExitStack()
        self._stream: BinaryIO | None = None
        if isinstance(destination, (str, os.PathLike)):
            self.path = self._target = Path(destination)
        else:
            self._stream = destination
            self.path = Path(f"stream.{file_format}")
        self.sample_rate = sample_rate
        self.channels = channels
        self._output = output_format(self.path)
        self.subtype = choose_subtype(self.path, self._output, subtype, like)
        check_limits(self.path, self._output, self.subtype, sample_rate, channels)
        self._overwrite = overwrite
        if self._stream is None:
            _require_destination(self._target, overwrite)
        self.clipped_samples = 0
        self.peak = 0.0
        self.frames = 0
        self.left_behind: tuple[str, ...] = ()
        self._carried = carried
        self._container = self._output.container
        self._sink: SndfileSink | None = None

    def write(self, block: ArrayLike) -> None:
        """Append ``block``, floats ``[channels, samples]`` with full scale at 1.0.

        Raises:
            InvalidInputError: wrong shape, not floats, or not finite.
            AudioFileError: the disk is full or the file cannot be written.
        """
        sink = self._require_open()
        samples = self._checked(block)
        for start in range(0, samples.shape[1], self.sample_rate):
            # libsndfile crashes on long Vorbis writes, hence a second at a time.
            part = self._limited(samples[:, start : start + self.sample_rate])
            if self._outgrows_32_bits(part.shape[1]):
                sink = self._sink = self._continued_as_rf64(sink)
            sink.write(part.T)
            self.frames += part.shape[1]

    def _require_open(self) -> SndfileSink:
        if self._sink is None:
            raise InvalidInputError("AudioWriter.write works inside its 'with' block only")
        return self._sink

    def _checked(self, block: ArrayLike) -> NDArray[np.float32]:
        array = np.asarray(block)
        if array.ndim != 2 or array.shape[0] != self.channels:
            raise InvalidInputError(f"a block is [{self.channels}, samples], not {array.shape}")
        if not np.issubdtype(array.dtype, np.floating):
            raise InvalidInputError(f"a block holds floats, not {array.dtype}")
        if not np.isfinite(array).all():
            raise InvalidInputError(f"{self.path}: samples to write are not finite (NaN or Inf)")
        return array.astype(np.float32, copy=False)

    def _limited(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``samples`` as the file will hold them, and count what was over full scale."""
        magnitude = np.abs(samples)
        self.peak = max(self.peak, float(magnitude.max(initial=0.0)))
        if self.subtype in FLOAT_SUBTYPES:
            return samples
        self.clipped_samples += int(np.count_nonzero(magnitude > 1))
        bits = INTEGER_BITS.get(self.subtype)
        if bits is None or bits > 24:
            return np.clip(samples, -1, 1)
        # libsndfile would cut the fraction off: twice the error, and an offset of half a step.
        steps = np.float32(2 ** (bits - 1))
        limited: NDArray[np.float32] = np.clip(np.rint(samples * steps), -steps, steps - 1) / steps
        return limited

    def _outgrows_32_bits(self, frames: int) -> bool:
        if self._container not in ("WAV", "AIFF"):
            return False
        sample_bytes = {"FLOAT": 4, "DOUBLE": 8}.get(self.subtype) or INTEGER_BITS[
            self.subtype
        ] // 8
        if (self.frames + frames) * self.channels * sample_bytes <= _MAX_32BIT_BYTES:
            return False
        if self._container == "AIFF":
            raise AudioFileError(f"{self.path}: AIFF files end at 4 GB; write .wav or .flac")
        return True

    def _continued_as_rf64(self, full: SndfileSink) -> SndfileSink:
        """Copy what is in the full WAV file to an RF64 file and return that, open for more."""
        self._container = "RF64"
        sink = self._new_sink()
        try:
            full.close()
            with full.path.open("rb") as file:
                for block in SndfileDecoder(Part(file, full.path)).blocks(self.sample_rate):
                    sink.write(block.T)
        except BaseException:
            sink.discard()
            raise
        full.discard()
        return sink

    def _new_sink(self) -> SndfileSink:
        return SndfileSink(
            self._target,
            self.path,
            samplerate=self.sample_rate,
            channels=self.channels,
            format=self._container,
            subtype=self.subtype,
            compression_level=self._output.compression_level,
        )

    def __enter__(self) -> Self:
        if self._stream is not None:
            folder = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="overtone-"))
            self._target = Path(folder, self.path)
        try:
            self._sink = self._new_sink()
        except BaseException:
            self._opened.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        sink, self._sink = self._require_open(), None
        try:
            if kind is None:
                sink.close()
                self._verify(sink.path)
                self._add_carried(sink)
                _require_destination(self._target, self._overwrite)
                sink.rename()
                if self._stream is not None:
                    with self._target.open("rb") as whole:
                        shutil.copyfileobj(whole, self._stream)
        finally:
            sink.discard()
            self._opened.close()

    def _add_carried(self, sink: SndfileSink) -> None:
        if self._carried is None or self._carried.empty:
            return
        try:
            self.left_behind = write_carried(
                sink.path, self._container, self.subtype, self.sample_rate, self._carried
            )
        except OSError as error:
            raise AudioFileError(f"{self.path}: cannot be written ({reason(error)})") from error
        self._verify(sink.path)

    def _verify(self, written: Path) -> None:
        """Read the header back: some failures to write leave no error but a short file."""
        try:
            info = probe(written)
        except AudioFileError as error:
            if self.frames == 0:
                raise AudioFileError(
                    f"{self.path}: {self.path.suffix} files cannot hold 0 samples; write .wav"
                ) from error
            raise AudioFileError(f"{self.path}: could not be written completely") from error
        lossy = self.subtype not in INTEGER_BITS and self.subtype not in FLOAT_SUBTYPES
        if not lossy and info.frames != self.frames:
            raise AudioFileError(
                f"{self.path}: could not be written completely "
                f"({info.frames} of {self.frames} samples); check the disk"
            )


def copy_audio(
    source: str | os.PathLike[str], destination: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Copy a file bit for bit.

    Raises:
        AudioFileError: ``destination`` exists and ``overwrite`` is off, or cannot be written.
    """
    path = Path(destination)
    _require_destination(path, overwrite)
    try:
        with atomic_write(path, overwrite=overwrite) as temporary:
            shutil.copyfile(source, temporary)
    except InvalidInputError as error:
        raise AudioFileError(str(error)) from error


def same_format(info: AudioInfo, destination: Path, subtype: str | None) -> bool:
    """Tell whether a file as ``info`` describes it is what would be written to ``destination``."""
    output = OUTPUT_FORMATS.get(destination.suffix.lower())
    container = "WAV" if info.format in ("WAVEX", "RF64") else info.format
    if output is None or container != output.container.replace("RF64", "WAV"):
        return False
    if container in ("OGG", "MP3") and info.subtype not in output.subtypes:
        return False
    return subtype is None or subtype.upper() == info.subtype


def _require_destination(path: Path, overwrite: bool) -> None:
    try:
        if path.is_dir():
            raise AudioFileError(f"{path}: is a folder; give a file name")
        refuse_existing(path, overwrite, error=AudioFileError)
        if not path.resolve().parent.is_dir():
            raise AudioFileError(f"{path}: the folder {path.parent} does not exist; create it")
    except (OSError, ValueError, RuntimeError) as error:
        raise AudioFileError(f"{path}: cannot be written ({reason(error)})") from error
