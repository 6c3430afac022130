"""What libsndfile cannot read, read through PyAV (FFmpeg's libraries).

M4A, AAC, MP4, WebM, Matroska, WMA, AMR, AC-3, WavPack and more. PyAV is optional (extra
``formats``) and is imported only when such a file is opened. The first audio stream is decoded;
pictures and further streams are passed over.
"""

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone.audio.formats import AudioInfo
from overtone.audio.tags import Chapter, Tags
from overtone.audio.views import Part, next_part
from overtone.errors import AudioFileError, MissingExtraError

# Files that hold sound, and none that names others to fetch, as playlists do.
_FORMATS = (
    "aac ac3 aiff alp amr amrnb amrwb ape asf au avi caf dsf dts dtshd eac3 flac flv iff ircam "
    "latm loas matroska,webm mlp mov,mp4,m4a,3gp,3g2,mj2 mp3 mpc mpc8 mpeg mpegts nut ogg oma qcp "
    "rm shn sox tak truehd tta voc w64 wav wv xwma"
).replace(" ", ",")
# Their headers say how long the sound is; other durations are estimates from the bit rate.
_PROMISING = frozenset(
    ("aiff", "asf", "ape", "caf", "flac", "matroska", "mov", "tta", "w64", "wav", "wv")
)
_TO_THE_SAMPLE = frozenset(("mov", "tta", "wv"))
# Durations are given in milliseconds, and in whole packets.
_DURATION_TOLERANCE_S = 0.1
# Packets of one size but for padding: a last one that is smaller was cut. Their decoders drop it.
_EVEN_CODECS = frozenset(("mp1", "mp2", "ac3", "eac3"))
_EVEN = 0.98
_TS_PACKET_BYTES = (188, 192, 204)


def has_pyav() -> bool:
    """Tell whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


class PyavDecoder:
    """Decodes the first audio stream of a part of a file.

    ``container`` is FFmpeg's first name for the format, such as "mov" or "mp3".

    Raises:
        MissingExtraError: PyAV is not installed.
        AudioFileError: the file is not a container FFmpeg knows, or has no sound.
    """

    def __init__(self, part: Part) -> None:
        self._part = part
        self._path = part.path
        try:
            import av
        except ImportError:
            what = f"reading {self._path.suffix.lower()} files"
            raise MissingExtraError(what, "formats") from None
        self._av: Any = av
        self._container = self._open()
        self.container: str = self._container.format.name.split(",")[0]
        try:
            self.info = self._read_info()
        except BaseException:
            self.close()
            raise

    def _open(self) -> Any:
        self._stream = self._part.open()
        try:
            return self._av.open(
                self._stream,
                metadata_errors="replace",
                options={"format_whitelist": _FORMATS},
            )
        except self._av.FFmpegError as error:
            self._stream.close()
            raise AudioFileError(
                f"{self._path}: is not audio that FFmpeg can read, or it is damaged or cut off "
                f"({error.strerror}); convert it to .wav or .flac"
            ) from error

    def _read_info(self) -> AudioInfo:
        streams = self._container.streams.audio
        if not streams:
            raise AudioFileError(f"{self._path}: has no sound in it; give a file with audio")
        stream = streams[0]
        context = stream.codec_context
        # An unknown codec has no context.
        if context is None or not context.sample_rate or not context.channels:
            raise AudioFileError(f"{self._path}: the audio stream is damaged; convert it to .wav")
        self._promised_s = self._promised_duration(stream)
        frames = None
        if self._promised_s is not None and self.container in _TO_THE_SAMPLE:
            frames = round(stream.duration * stream.time_base * context.sample_rate)
        # Of the samples that Opus starts with and that are to be left out, FFmpeg counts those of
        # a Matroska file at the rate of what was encoded, not at the 48 kHz they are counted in.
        self._skip_frames = 0
        head = context.extradata or b""
        if self.container == "matroska" and head[:8] == b"OpusHead":
            self._skip_frames = max(0, int.from_bytes(head[10:12], "little") - context.delay)
        subtype = context.codec.canonical_name.upper()
        if subtype == "ALAC":
            subtype = "ALAC_16" if context.format.bytes == 2 else "ALAC_24"
        return AudioInfo(
            path=self._path,
            sample_rate=context.sample_rate,
            channels=context.channels,
            frames=frames,
            format={"mov": "MP4"}.get(self.container, self.container.upper()),
            subtype=subtype,
        )

    def _promised_duration(self, stream: Any) -> float | None:
        """Return how long the header says the sound is, in seconds, if it does."""
        if self.container not in _PROMISING:
            return None
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        # Without a length of its own, a sound beside pictures may end before they do.
        if self._container.duration is None or len(self._container.streams) > 1:
            return None
        return float(self._container.duration / self._av.time_base)

    def blocks(self, block_frames: int, dtype: str = "float32") -> Iterator[NDArray[Any]]:
        """Yield the sound from its start, ``[channels, n]`` in pieces of the codec's own size.

        An AAC decoder runs on to the end of its last packet, so the sound is cut at the length
        the container states. Raises AudioFileError where decoding fails, or where the sound ends
        before the length that was promised.
        """
        del block_frames, dtype  # they are float32
        # FFmpeg skips the encoder's priming samples only at the start of a fresh container.
        self.close()
        self._container = self._open()
        decoded, skip = 0, self._skip_frames
        try:
            for chunk in self._decoded():
                kept, skip = chunk[:, skip:], max(0, skip - chunk.shape[1])
                if self.info.frames is not None:
                    kept = kept[:, : max(self.info.frames - decoded, 0)]
                decoded += kept.shape[1]
                yield kept
        # PyAV says ValueError where the layout or rate changes in mid-stream.
        except (self._av.FFmpegError, ValueError) as error:
            what = getattr(error, "strerror", None) or str(error)
            raise self._damage(decoded, what) from error
        seconds = decoded / self.info.sample_rate
        promised_s = self._promised_s
        if promised_s is not None and seconds < promised_s - _DURATION_TOLERANCE_S:
            raise self._damage(decoded, f"its header promises {promised_s:.3f} s")
        partial = self.container == "mpegts" and all(
            self._stream.size % size for size in _TS_PACKET_BYTES
        )
        if self._part.cut_off or self._ends_early or partial:
            raise self._damage(decoded, "it ends too soon")

    def piece(self, start: int, count: int) -> NDArray[np.float32]:
        """Return ``[channels, n]`` from about sample ``start`` on, ``n`` at most ``count``.

        Raises AudioFileError where decoding fails.
        """
        stream = self._container.streams.audio[0]
        at = int(start / self.info.sample_rate / stream.time_base) + (stream.start_time or 0)
        chunks: list[NDArray[np.float32]] = []
        try:
            self._container.seek(at, stream=stream)
            for chunk in self._decoded():
                chunks.append(chunk)
                count -= chunk.shape[1]
                if count <= 0:
                    break
        except (self._av.FFmpegError, ValueError) as error:
            what = getattr(error, "strerror", None) or str(error)
            raise self._damage(start, what) from error
        if not chunks:
            raise self._damage(start, "no sound follows")
        return np.concatenate(chunks, axis=1)

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        # Interleaved, since PyAV 18 takes the pointer after the eighth of separate channels for a
        # ninth and crashes the process.
        converter = self._av.AudioResampler(format="flt")
        even = self._container.streams.audio[0].codec_context.name in _EVEN_CODECS
        smallest, self._ends_early = None, False
        for packet in self._container.demux(audio=0):
            if packet.size:
                short = even and smallest is not None and packet.size < _EVEN * smallest
                self._ends_early = packet.is_corrupt or short
                smallest = min(packet.size, smallest or packet.size)
            for frame in packet.decode():
                for converted in converter.resample(frame):
                    flat: NDArray[np.float32] = converted.to_ndarray()
                    yield np.ascontiguousarray(flat.reshape(-1, self.info.channels).T)

    def tags(self) -> Tags:
        """Return the texts and chapters that FFmpeg finds, for containers unknown to mutagen."""
        tags = Tags()
        for name, text in self._container.metadata.items():
            tags.add(name, text)
        for chapter in self._container.chapters():
            start_s = float(chapter["start"] * chapter["time_base"])
            tags.chapters.append(Chapter(start_s, chapter["metadata"].get("title", "")))
        return tags

    def next_part(self) -> Part | None:
        """Return what of the file follows."""
        # FFmpeg reads to the end of what it is given.
        return next_part(self._part, self._stream.size, 0)

    def _damage(self, decoded: int, what: str) -> AudioFileError:
        return AudioFileError(
            f"{self._path}: damaged or cut off at {decoded / self.info.sample_rate:.3f} s "
            f"({what}); get a whole copy, or convert what is there to .wav"
        )

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        self._stream.close()
