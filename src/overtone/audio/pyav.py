"""Reading M4A, AAC, MP4, WebM, Matroska and WMA through PyAV (FFmpeg's libraries).

PyAV is optional (extra ``formats``) and is imported only when such a file is opened. The first
audio stream is decoded; pictures and further streams are passed over.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone.audio.formats import AudioInfo
from overtone.errors import AudioFileError, MissingExtraError


def has_pyav() -> bool:
    """Tell whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def _import_pyav(path: Path) -> Any:
    try:
        import av
    except ImportError:
        raise MissingExtraError(f"reading {path.suffix.lower()} files", "formats") from None
    return av


class PyavDecoder:
    """Decodes the first audio stream of ``path``.

    Raises:
        MissingExtraError: PyAV is not installed.
        AudioFileError: the file is not a container FFmpeg knows, or has no sound.
    """

    def __init__(self, path: Path) -> None:
        self._av = _import_pyav(path)
        self._path = path
        self._container = self._open()
        try:
            self.info = self._read_info()
        except BaseException:
            self.close()
            raise

    def _open(self) -> Any:
        try:
            # Absolute, because FFmpeg takes "talk: part 1.m4a" for an address.
            return self._av.open(str(self._path.absolute()), metadata_errors="replace")
        except self._av.FFmpegError as error:
            raise AudioFileError(
                f"{self._path}: not audio that FFmpeg can read, damaged, or cut off "
                f"({error.strerror}); convert it to .wav or .flac"
            ) from error

    def _read_info(self) -> AudioInfo:
        streams = self._container.streams.audio
        if not streams:
            raise AudioFileError(f"{self._path}: has no sound in it; give a file with audio")
        stream = streams[0]
        context = stream.codec_context
        if not context.sample_rate or not context.channels:
            raise AudioFileError(f"{self._path}: the audio stream is damaged; convert it to .wav")
        frames = None
        # Of these containers only MP4 and its kin know a stream's length to the sample; the
        # others round to milliseconds or guess from the bit rate.
        if stream.duration is not None and "mp4" in self._container.format.name:
            frames = round(stream.duration * stream.time_base * context.sample_rate)
        subtype = context.codec.canonical_name.upper()
        if subtype == "ALAC":
            subtype = "ALAC_16" if context.format.bytes == 2 else "ALAC_24"
        return AudioInfo(
            path=self._path,
            sample_rate=context.sample_rate,
            channels=context.channels,
            frames=frames,
            format=self._path.suffix[1:].upper(),
            subtype=subtype,
        )

    def blocks(self, block_frames: int) -> Iterator[NDArray[np.float32]]:
        """Yield the sound from its start as ``[channels, block_frames]``, the last one shorter.

        An AAC decoder runs on to the end of its last packet, so the sound is cut at the length
        the container states. Raises AudioFileError where decoding fails.
        """
        # FFmpeg skips the encoder's priming samples only at the start of a fresh container.
        self.close()
        self._container = self._open()
        pending: list[NDArray[np.float32]] = []
        pending_frames = 0
        for chunk in self._chunks():
            pending.append(chunk)
            pending_frames += chunk.shape[1]
            if pending_frames < block_frames:
                continue
            joined = np.concatenate(pending, axis=1)
            whole = pending_frames - pending_frames % block_frames
            for start in range(0, whole, block_frames):
                yield np.ascontiguousarray(joined[:, start : start + block_frames])
            pending, pending_frames = [joined[:, whole:]], pending_frames - whole
        if pending_frames:
            yield np.concatenate(pending, axis=1)

    def _chunks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the sound in pieces of the codec's own size, ``[channels, n]``."""
        converter = self._av.AudioResampler(format="fltp")
        decoded = 0
        try:
            for frame in self._container.decode(audio=0):
                for converted in converter.resample(frame):
                    chunk: NDArray[np.float32] = converted.to_ndarray()
                    if self.info.frames is not None:
                        chunk = chunk[:, : max(self.info.frames - decoded, 0)]
                    decoded += chunk.shape[1]
                    yield chunk
        # PyAV says ValueError where the layout or rate changes in mid-stream.
        except (self._av.FFmpegError, ValueError) as error:
            position_s = decoded / self.info.sample_rate
            raise AudioFileError(
                f"{self._path}: damaged or cut off at {position_s:.3f} s "
                f"({getattr(error, 'strerror', None) or error}); "
                "get a whole copy, or convert what is there to .wav"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._container.close()
