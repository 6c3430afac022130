"""PCM in pipes: raw samples, and WAV whose length nobody knows yet.

A pipe cannot seek as a file can (:mod:`overtone.audio.reader`), so here is just enough of WAV
(Microsoft/IBM RIFF, with WAVE_FORMAT_EXTENSIBLE) to read one from its start and to write one
without an end, as ffmpeg and sox do: with sizes of 0xFFFFFFFF.
"""

from __future__ import annotations

import functools
import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from overtone.errors import AudioFileError

FloatArray = NDArray[np.float32]

UNKNOWN_BYTES = 0xFFFFFFFF
# Some writers that do not know the length put these instead.
OPEN_ENDED_BYTES = 0x7FFFFF00
_INTEGER, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_ENCODINGS = {
    (_INTEGER, 8): "u8",
    (_INTEGER, 16): "s16",
    (_INTEGER, 24): "s24",
    (_INTEGER, 32): "s32",
    (_FLOAT, 32): "f32",
    (_A_LAW, 8): "alaw",
    (_MU_LAW, 8): "ulaw",
}
# libsndfile's names of those that have a value for each byte.
_BYTE_SUBTYPES = {"u8": "PCM_U8", "alaw": "ALAW", "ulaw": "ULAW"}
# A header with more than this before its samples is no audio.
_MOST_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class PcmFormat:
    """Interleaved little-endian samples.

    ``encoding`` is s16, s24, s32 or f32, or, to be decoded only, u8, alaw or ulaw.
    """

    encoding: str
    sample_rate: int
    channels: int

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of one channel."""
        return 1 if self.encoding in _BYTE_SUBTYPES else int(self.encoding[1:]) // 8

    @property
    def writable_encoding(self) -> str:
        """What to write after such input: the same, but 16 bits where it has 8.

        In 8 bits the noise would drown what is added.
        """
        return "s16" if self.encoding in _BYTE_SUBTYPES else self.encoding

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.sample_bytes * self.channels

    def decode(self, data: bytes) -> FloatArray:
        """Whole frames as ``[channels, samples]``, full scale 1."""
        if self.encoding in _BYTE_SUBTYPES:
            flat = _byte_values(_BYTE_SUBTYPES[self.encoding])[np.frombuffer(data, np.uint8)]
        elif self.encoding == "f32":
            flat = np.frombuffer(data, "<f4").astype(np.float32)
        elif self.encoding == "s24":
            # The three bytes become the upper ones of four.
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            flat = (wide.reshape(-1).view("<i4") / 2.0**31).astype(np.float32)
        else:
            bits = 8 * self.sample_bytes
            integers = np.frombuffer(data, f"<i{self.sample_bytes}")
            flat = (integers / 2.0 ** (bits - 1)).astype(np.float32)
        return np.ascontiguousarray(flat.reshape(-1, self.channels).T)

    def encode(self, samples: FloatArray) -> bytes:
        """``[channels, samples]`` as bytes; integers are rounded, and limited to full scale."""
        flat = np.ascontiguousarray(samples.T).reshape(-1)
        if self.encoding == "f32":
            return flat.astype("<f4").tobytes()
        steps = 2.0 ** (8 * self.sample_bytes - 1)
        integers = np.clip(np.rint(flat.astype(np.float64) * steps), -steps, steps - 1)
        if self.encoding == "s24":
            wide = (integers.astype("<i4")).view(np.uint8).reshape(-1, 4)
            return np.ascontiguousarray(wide[:, :3]).tobytes()
        return integers.astype(f"<i{self.sample_bytes}").tobytes()

    def wav_header(self) -> bytes:
        """The start of a WAV stream of unknown length."""
        tag = _FLOAT if self.encoding == "f32" else _INTEGER
        fields = struct.pack(
            "<HHIIHH",
            tag,
            self.channels,
            self.sample_rate,
            self.sample_rate * self.frame_bytes,
            self.frame_bytes,
            8 * self.sample_bytes,
        )
        unknown = struct.pack("<I", UNKNOWN_BYTES)
        size = struct.pack("<I", len(fields))
        return b"RIFF" + unknown + b"WAVEfmt " + size + fields + b"data" + unknown


@functools.cache
def _byte_values(subtype: str) -> FloatArray:
    """Return the sample that each byte stands for, ``[256]``."""
    values, _ = soundfile.read(
        io.BytesIO(bytes(range(256))),
        dtype="float32",
        format="RAW",
        subtype=subtype,
        samplerate=8000,
        channels=1,
    )
    table: FloatArray = values
    return table


def read_wav_header(stream: BinaryIO, name: str) -> tuple[PcmFormat, int | None]:
    """Read a WAV stream up to its first sample.

    Returns the format, and the bytes of samples that follow (None: until the end).

    Raises:
        AudioFileError: it is not WAV, or of an encoding other than PCM of 8, 16, 24 or 32 bits,
            float of 32 bits, A-law and mu-law.
    """
    start = _read(stream, 12, name, "is empty")
    if start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
        raise AudioFileError(
            f"{name}: does not start as WAV; for raw samples give their format, rate and channels"
        )
    found: PcmFormat | None = None
    passed = 0
    while True:
        kind, size = struct.unpack("<4sI", _read(stream, 8, name))
        if kind == b"data":
            if found is None:
                raise AudioFileError(f"{name}: a WAV stream without a format before its samples")
            return found, None if size == 0 or size >= OPEN_ENDED_BYTES else size
        passed += 8 + size
        if passed > _MOST_HEADER_BYTES:
            raise AudioFileError(f"{name}: a damaged WAV header, no samples in its first MiB")
        content = _read(stream, size + size % 2, name)  # chunks are padded to even sizes
        if kind == b"fmt ":
            found = _parse_format(content, name)


def _parse_format(content: bytes, name: str) -> PcmFormat:
    if len(content) < 16:
        raise AudioFileError(f"{name}: a damaged WAV header")
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
    if tag == _EXTENSIBLE and len(content) >= 26:
        (tag,) = struct.unpack("<H", content[24:26])
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None:
        raise AudioFileError(
            f"{name}: WAV of format {tag:#x} with {bits} bits cannot be streamed; send 8, 16, 24 or"
            " 32 bit PCM, 32 bit float, A-law or mu-law"
        )
    if channels == 0 or rate == 0:
        raise AudioFileError(f"{name}: a damaged WAV header")
    return PcmFormat(encoding, rate, channels)


def _read(stream: BinaryIO, count: int, name: str, if_nothing: str | None = None) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        short = "ends within its WAV header"
        raise AudioFileError(f"{name}: {short if data else if_nothing or short}")
    return data
