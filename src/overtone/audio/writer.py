"""Audio files out, block by block, by libsndfile; whole or not at all.

What is written appears under its name only when it is complete: the samples go to a temporary
name in the same folder, the result is checked, and then renamed. Whatever fails before that
leaves neither a partial file nor a damaged old one.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.audio.carried import Carried, write_carried
from overtone.audio.formats import (
    FLOAT_SUBTYPES,
    INTEGER_BITS,
    MAX_BLOCK_VALUES,
    AudioInfo,
    check_limits,
    choose_subtype,
    output_format,
)
from overtone.audio.reader import probe, require_binary
from overtone.audio.sndfile import SndfileDecoder, SndfileSink
from overtone.audio.views import Part
from overtone.errors import AudioFileError, InvalidInputError
from overtone.files import atomic_write, reason, refuse_existing

# WAV and AIFF count bytes in 32 bits; the margin is for headers and trailing chunks.
_MAX_32BIT_BYTES = 2**32 - 2**20


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
            require_binary(destination, "write")
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
        # No more than this is given to libsndfile at once.
        self._second = min(sample_rate, max(1, MAX_BLOCK_VALUES // channels))
        self._sink: SndfileSink | None = None

    def write(self, block: ArrayLike) -> None:
        """Append ``block``, floats ``[channels, samples]`` with full scale at 1.0.

        Raises:
            InvalidInputError: wrong shape, not floats, or not finite.
            AudioFileError: the disk is full or the file cannot be written.
        """
        sink = self._require_open()
        samples = self._checked(block)
        for start in range(0, samples.shape[1], self._second):
            # libsndfile crashes on long Vorbis writes, hence a second at a time.
            part = self._limited(samples[:, start : start + self._second])
            if self._outgrows_32_bits(part.shape[1]):
                sink = self._sink = self._continued_as_rf64(sink)
            sink.write(part.T)
            self.frames += part.shape[1]

    @property
    def is_lossless(self) -> bool:
        """Whether the file will hold what is written, to within a rounding."""
        return self.subtype in INTEGER_BITS or self.subtype in FLOAT_SUBTYPES

    def _require_open(self) -> SndfileSink:
        if self._sink is None:
            raise InvalidInputError("AudioWriter.write works inside its 'with' block only")
        return self._sink

    def _checked(self, block: ArrayLike) -> NDArray[np.floating]:
        array = np.asarray(block)
        if array.ndim != 2 or array.shape[0] != self.channels:
            raise InvalidInputError(f"a block is [{self.channels}, samples], not {array.shape}")
        if not np.issubdtype(array.dtype, np.floating):
            raise InvalidInputError(f"a block holds floats, not {array.dtype}")
        if not np.isfinite(array).all():
            raise InvalidInputError(f"{self.path}: samples to write are not finite (NaN or Inf)")
        precise = self.subtype in ("PCM_32", "DOUBLE") and array.dtype == np.float64
        samples: NDArray[Any] = array if precise else array.astype(np.float32, copy=False)
        return samples

    def _limited(self, samples: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return ``samples`` as the file will hold them, and count what was over full scale."""
        magnitude = np.abs(samples)
        self.peak = max(self.peak, float(magnitude.max(initial=0.0)))
        if self.subtype in FLOAT_SUBTYPES:
            return samples
        self.clipped_samples += int(np.count_nonzero(magnitude > 1))
        bits = INTEGER_BITS.get(self.subtype)
        if bits is None or bits > 24:
            return np.asarray(np.clip(samples, -1, 1))
        # libsndfile would cut the fraction off: twice the error, and an offset of half a step.
        steps = np.float32(2 ** (bits - 1))
        limited: NDArray[np.floating] = np.clip(np.rint(samples * steps), -steps, steps - 1) / steps
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
                for block in SndfileDecoder(Part(file, full.path)).blocks(self._second):
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
                    self._pass_on(self._stream)
        finally:
            sink.discard()
            self._opened.close()

    def _pass_on(self, stream: BinaryIO) -> None:
        with self._target.open("rb") as whole:
            try:
                shutil.copyfileobj(whole, stream)
            except BrokenPipeError:  # the reader has all that it wants
                raise
            except OSError as error:
                raise AudioFileError(f"the output cannot be written ({reason(error)})") from error

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
        if self.is_lossless and info.frames != self.frames:
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


def _require_destination(path: Path, overwrite: bool) -> None:
    try:
        refuse_existing(path, overwrite, error=AudioFileError)
        if not path.resolve().parent.is_dir():
            raise AudioFileError(f"{path}: the folder {path.parent} does not exist; create it")
    except (OSError, ValueError, RuntimeError) as error:
        raise AudioFileError(f"{path}: cannot be written ({reason(error)})") from error
