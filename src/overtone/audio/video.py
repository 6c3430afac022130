"""Films: their pictures copied packet by packet, their sound replaced (PyAV, extra ``formats``)."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from overtone.audio.pyav import has_pyav
from overtone.errors import AudioFileError, MissingExtraError
from overtone.files import reason, refuse_existing, replace_file, temporary_path

#: Extension of a film -> FFmpeg's name of the container, and the codec of the sound in it.
VIDEO_FORMATS = {
    ".mp4": ("mp4", "aac"),
    ".m4v": ("mp4", "aac"),
    ".mov": ("mov", "aac"),
    ".mkv": ("matroska", "flac"),
    ".webm": ("webm", "libopus"),
}
_RATES = {
    "aac": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
    "libopus": (8000, 12000, 16000, 24000, 48000),
}
_CHANNEL_BIT_RATE = 128_000
# Of sound that does not say which channel is where.
_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo", "6 channels": "5.1", "8 channels": "7.1"}


def has_pictures(path: Path) -> bool:
    """Tell whether the file is a film: moving pictures, not a cover, beside its sound."""
    if path.suffix.lower() not in VIDEO_FORMATS or not has_pyav():
        return False
    av = importlib.import_module("av")
    try:
        with av.open(str(path.absolute()), metadata_errors="replace") as container:
            return bool(container.streams.audio) and any(
                not stream.disposition & av.stream.Disposition.attached_pic
                for stream in container.streams.video
            )
    except (av.FFmpegError, OSError):
        return False


class VideoWriter:
    """Writes a film with new sound, block by block; a context manager.

    Everything in ``source`` but its first sound is copied as it is; the sound comes from
    :meth:`write` and starts when the old one did. The container follows the extension of ``path``,
    and the sound's codec the container: AAC in MP4 and MOV, FLAC in Matroska, Opus in WebM.
    Nothing exists under ``path`` until the ``with`` block has ended well. ``left_behind`` names
    what the container has no place for.

    Raises:
        AudioFileError: a rate that the codec lacks, an existing file without ``overwrite``, or
            one that cannot be written.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(
        self,
        path: Path,
        source: Path,
        sample_rate: int,
        channels: int,
        *,
        overwrite: bool = False,
        tags: bool = True,
    ) -> None:
        self.path, self._source = path, source
        refuse_existing(path, overwrite, error=AudioFileError)
        self.sample_rate, self.channels = sample_rate, channels
        if not has_pyav():
            raise MissingExtraError(f"writing {path.suffix.lower()} files", "formats")
        self._kind, self._codec = VIDEO_FORMATS[path.suffix.lower()]
        rates = _RATES.get(self._codec)
        if rates is not None and sample_rate not in rates:
            listed = ", ".join(map(str, rates))
            raise AudioFileError(
                f"{path}: the sound of {path.suffix} files cannot have a rate of {sample_rate} Hz; "
                f"choose {listed} Hz (output_rate), or write the sound alone to .flac"
            )
        self._tags = tags
        self.clipped_samples = 0
        self.left_behind: tuple[str, ...] = ()
        self._frames = 0
        self._next: Any = None  # the next packet of a picture to be copied

    def write(self, block: NDArray[np.float32]) -> None:
        """Append ``block``, floats ``[channels, samples]`` with full scale at 1.0."""
        if not block.shape[1]:
            return
        self.clipped_samples += int(np.count_nonzero(np.abs(block) > 1))
        flat = np.clip(np.ascontiguousarray(block.T, np.float32), -1, 1).reshape(1, -1)
        frame = self._av.AudioFrame.from_ndarray(flat, "flt", self._layout)
        frame.sample_rate = self.sample_rate
        frame.pts = self._start + self._frames
        frame.time_base = Fraction(1, self.sample_rate)
        self._frames += block.shape[1]
        with self._failures_named():
            self._mux_sound(self._sound.encode(frame))

    def _mux_sound(self, packets: list[Any]) -> None:
        for packet in packets:
            if packet.dts is not None:
                self._mux_pictures(float(packet.dts * packet.time_base))
            self._out.mux(packet)

    def _mux_pictures(self, until_s: float) -> None:
        """Copy the packets of all other streams up to a time, so that they lie side by side."""
        while self._next is not None and float(self._next.dts * self._next.time_base) <= until_s:
            self._next.stream = self._copies[self._next.stream.index]
            self._out.mux(self._next)
            self._next = next(self._packets, None)

    def _open(self) -> None:
        av: Any = importlib.import_module("av")
        self._av = av
        self._in: Any = av.open(str(self._source.absolute()), metadata_errors="replace")
        self._out: Any = av.open(str(self._temporary), "w", format=self._kind)
        old = self._in.streams.audio[0]
        self._copies: dict[int, Any] = {}
        left = []
        for stream in self._in.streams:
            if stream.index == old.index:
                self._sound = self._out.add_stream(self._codec, rate=self.sample_rate)
                copy = self._sound
            else:
                try:
                    copy = self._copies[stream.index] = self._out.add_stream_from_template(stream)
                except (ValueError, av.FFmpegError):
                    left.append(f"a stream of {stream.type}")
                    continue
            if self._tags:
                copy.metadata.update(stream.metadata)
        self.left_behind = tuple(left)
        layout = old.codec_context.layout.name
        self._layout = _LAYOUTS.get(layout, layout)
        self._sound.codec_context.layout = self._layout
        self._sound.bit_rate = _CHANNEL_BIT_RATE * self.channels
        if self._tags:
            self._out.metadata.update(self._in.metadata)
            self._out.set_chapters(self._in.chapters())
        start_s = float((old.start_time or 0) * old.time_base)
        self._start = max(0, round(start_s * self.sample_rate))
        self._packets = self._picture_packets()
        self._next = next(self._packets, None)

    def _picture_packets(self) -> Iterator[Any]:
        streams = [stream for stream in self._in.streams if stream.index in self._copies]
        for packet in self._in.demux(streams) if streams else ():
            if packet.dts is not None:
                yield packet

    @contextlib.contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except (self._av.FFmpegError, OSError) as error:
            raise AudioFileError(f"{self.path}: cannot be written ({reason(error)})") from error

    def __enter__(self) -> Self:
        self._temporary = temporary_path(self.path.resolve())
        try:
            self._open()
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                self._temporary.unlink()
            raise AudioFileError(f"{self.path}: cannot be written ({reason(error)})") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with self._failures_named():
                if kind is None:
                    self._mux_sound(self._sound.encode(None))
                    self._mux_pictures(float("inf"))
                    self._out.close()
                    replace_file(self._temporary, self.path.resolve())
        finally:
            with contextlib.suppress(self._av.FFmpegError, OSError):
                self._out.close()
            self._in.close()
            with contextlib.suppress(OSError):
                os.unlink(self._temporary)  # noqa: PTH108
