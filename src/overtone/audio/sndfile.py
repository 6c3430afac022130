"""libsndfile, made safe to rely on: a decoder that notices damage, a sink that notices failure.

libsndfile is handed open files, not names. By name it would take "-" for the standard input and
any text called ``.au`` or ``.vox`` for headerless telephone sound; and a write error would reach
us as a short count without its reason.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from overtone.audio.formats import AudioInfo
from overtone.audio.mp3 import id3_bytes
from overtone.audio.views import FileView, Part, next_part
from overtone.errors import AudioFileError
from overtone.files import reason, replace_file, temporary_path


class UnknownFormatError(AudioFileError):
    """libsndfile does not know the format; another decoder may."""


class _StreamedSoundFile(soundfile.SoundFile):  # type: ignore[misc]
    """A SoundFile that is only ever read or written onwards.

    soundfile seeks to the present position after each read and write. Near the end of an Opus
    file libsndfile 1.2 then decodes garbage (a tail at -3 dB SNR instead of 20 dB); a file that
    calls itself not seekable is spared.
    """

    def seekable(self) -> bool:
        return False


class SndfileDecoder:
    """Decodes a part of a file with libsndfile.

    ``may_stop_early`` marks an MP3 file without index (Xing, Info or VBRI): libsndfile guesses
    its length from the first frames' bit rate and stops there, which for a variable bit rate can
    be half way. ``needs_pyav`` marks these and others that PyAV reads better, if it is there.

    Raises:
        AudioFileError: the file cannot be opened or is not audio libsndfile knows.
    """

    def __init__(self, part: Part) -> None:
        self._path = path = part.path
        self._part = part
        self._stream = part.open()
        try:
            self._file = _StreamedSoundFile(self._stream)
        except soundfile.SoundFileError as error:
            self._stream.close()
            raise UnknownFormatError(
                f"{path}: is not audio in a format overtone knows, or its header is damaged; "
                "convert it to .wav or .flac, or pip install 'overtone[formats]' to read more"
            ) from error
        self.may_stop_early = self._file.format == "MP3" and not _has_mp3_index(self._stream)
        # libsndfile 1.2 also calls some whole Opus files malformed, one in twelve of a real corpus.
        self.needs_pyav = self.may_stop_early or self._file.subtype == "OPUS"
        # A streamed FLAC does not say how long it is; libsndfile then answers 2**63 - 1.
        known = self._file.frames < 2**62 and not self.may_stop_early
        self.info = AudioInfo(
            path=path,
            sample_rate=self._file.samplerate,
            channels=self._file.channels,
            frames=self._file.frames if known else None,
            format=self._file.format,
            subtype=self._file.subtype,
        )

    def blocks(self, block_frames: int, dtype: str = "float32") -> Iterator[NDArray[Any]]:
        """Yield the sound from its start as ``[channels, block_frames]``, the last one shorter.

        Samples of 32 bits and of double precision are whole as ``float64`` only. Raises
        AudioFileError where decoding fails or the file is shorter than its header says.
        """
        self._require_whole()
        self._file.close()
        self._stream.seek(0)
        self._file = _StreamedSoundFile(self._stream)
        position = 0
        # Asked for more than the header promises, libsndfile runs on through FLAC to its end.
        promised = 2**62 if self.info.frames is None else self.info.frames
        while count := min(block_frames, promised - position):
            try:
                block = self._file.read(count, dtype=dtype, always_2d=True)
            except soundfile.SoundFileError as error:
                if position < self._part.skip_frames:
                    break  # what seemed to follow the promised end was no sound
                raise self._damage(position) from error
            if not len(block):
                break
            position += len(block)
            yield np.ascontiguousarray(block.T)
        self._position = position
        self._check_end(position)

    def piece(self, start: int, count: int) -> NDArray[np.float32]:
        """Return ``[channels, count]`` from sample ``start`` on, without reading what is before.

        Raises AudioFileError where decoding fails.
        """
        self._require_whole()
        try:
            self._file.seek(start)
            samples = self._file.read(count, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise self._damage(start) from error
        if len(samples) < count:
            raise self._damage(start + len(samples))
        return np.ascontiguousarray(samples.T)

    def _require_whole(self) -> None:
        if self._part.cut_off or _is_cut_off(self._file):
            raise self._damage(self._file.frames)

    def next_part(self) -> Part | None:
        """Return what of the file follows, once :meth:`blocks` has come to its end."""
        return next_part(self._part, self._stream.tell(), self._position)

    def _check_end(self, position: int) -> None:
        promised = self.info.frames
        # The index of an MP3 file may count a frame or two that the decoder leaves out.
        spare = 2 * 1152 if self.info.subtype.startswith("MPEG") else 0
        # A shortened Ogg stream is a complete stream, unless it ends within a page.
        if promised is not None and position < promised - spare and self.info.format != "OGG":
            raise self._damage(position)
        unread_bytes = self._stream.size - self._stream.tell()
        if self.may_stop_early and unread_bytes > _MAX_MP3_TAIL_BYTES:
            raise AudioFileError(
                f"{self._path}: an MP3 without index, of which only the first "
                f"{position / self.info.sample_rate:.1f} s can be read; to read all of it: "
                "pip install 'overtone[formats]'"
            )

    def _damage(self, position: int) -> AudioFileError:
        position_s = position / self.info.sample_rate
        cure = "get a whole copy, or convert what is there to a new file"
        if self.needs_pyav:
            cure = "if other players play it all, pip install 'overtone[formats]'; else " + cure
        return AudioFileError(f"{self._path}: damaged or cut off at {position_s:.3f} s; {cure}")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._stream.close()


# Tags and an unfinished last frame may follow the sound.
_MAX_MP3_TAIL_BYTES = 8192


def _has_mp3_index(stream: FileView) -> bool:
    """Tell whether the first frame of an MP3 file counts the frames of the whole."""
    stream.seek(0)
    head = stream.read(10)
    stream.seek(10 + id3_bytes(head) if head.startswith(b"ID3") else 0)
    first_frames = stream.read(4096)
    return any(mark in first_frames for mark in (b"Xing", b"Info", b"VBRI"))


def _is_cut_off(file: Any) -> bool:
    """Tell whether the header promises more than the file holds.

    libsndfile shortens ``frames`` to what is there and mentions the difference in its log only.
    """
    # One name for the size in each of WAV, AU, AIFF, W64 and RF64.
    size = r"^\s*(?:data|Data Size|SSND|riff|Riff size)\s*: (\d+) \(should be (\d+)\)"
    found = re.search(size, file.extra_info, re.M)
    if found is None:
        return False
    promised, present = int(found[1]), int(found[2])
    # Programs that write into a pipe put the greatest size they can, as they cannot come back
    # to correct it: such a number promises nothing.
    streamed = any(abs(promised - limit) < 2**16 for limit in (2**31, 2**32))
    # Some programs count a padding byte or the chunk's own header.
    return not streamed and promised - present > 8


class SndfileSink:
    """A sound file being written under a temporary name in ``destination``'s folder.

    ``sound_settings`` go to soundfile.SoundFile. Every failure is an AudioFileError that names
    ``shown``.
    """

    def __init__(self, destination: Path, shown: Path, **sound_settings: Any) -> None:
        self._shown = shown
        # A link stays a link: what it points to is replaced.
        self._destination = destination.resolve()
        self.path = temporary_path(self._destination)
        try:
            self._stream = _ErrorKeepingFile(self.path.open("x+b"))
        except OSError as error:
            raise self._failure(error) from error
        try:
            self._file = _StreamedSoundFile(self._stream, "w", **sound_settings)
        except BaseException as error:
            with contextlib.suppress(OSError):
                self._stream.close()
            self.path.unlink()
            if isinstance(error, soundfile.SoundFileError):
                raise self._failure(self._stream.error or error) from error
            raise

    def write(self, frames: NDArray[np.floating]) -> None:
        """Append ``frames``, ``[samples, channels]``."""
        with self._failures_named():
            self._file.write(np.ascontiguousarray(frames))

    def close(self) -> None:
        """Complete the file, still under its temporary name."""
        with self._failures_named():
            self._file.close()
            self._stream.close()

    def rename(self) -> None:
        """Give the completed file its name."""
        try:
            replace_file(self.path, self._destination)
        except OSError as error:
            raise self._failure(error) from error

    def discard(self) -> None:
        """Close and remove what there is under the temporary name; always safe to call."""
        with contextlib.suppress(soundfile.SoundFileError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._stream.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        # soundfile asserts that everything was written.
        except (soundfile.SoundFileError, AssertionError, OSError) as error:
            raise self._failure(self._stream.error or error) from error
        if self._stream.error is not None:
            raise self._failure(self._stream.error)

    def _failure(self, error: BaseException) -> AudioFileError:
        return AudioFileError(
            f"{self._shown}: cannot be written ({reason(error)}); "
            "check the disk's space and permissions"
        )


class _ErrorKeepingFile:
    """A binary file that keeps the first error instead of raising it.

    It is called from inside libsndfile, where an exception cannot pass: libsndfile only learns
    that fewer bytes were written, some of its encoders ignore even that, and the reason (disk
    full, quota) would be lost.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            return self._keep(error)

    def read(self, count: int) -> bytes:
        try:
            return self._file.read(count)
        except OSError as error:
            self._keep(error)
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        # Moving away first writes out what is buffered, so this can find the disk full too.
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            return self._keep(error)

    def tell(self) -> int:
        try:
            return self._file.tell()
        except OSError as error:
            return self._keep(error)

    def close(self) -> None:
        self._file.close()

    def _keep(self, error: OSError) -> int:
        self.error = self.error or error
        return 0
