"""The chunks of WAV (RIFF, RF64, BW64, RIFX) and AIFF files.

IFF files are a row of chunks, each a name of four characters, a size and that many bytes, padded
to an even number. RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088) keep sizes over 32 bits in a chunk
``ds64``.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

#: What IFF files start with, and the byte order of their sizes.
BYTE_ORDER = {b"RIFF": "<", b"RF64": "<", b"BW64": "<", b"RIFX": ">", b"FORM": ">"}
#: The chunk that holds the samples.
SOUND_CHUNKS = (b"data", b"SSND")
_IN_DS64 = 0xFFFFFFFF


@dataclass(frozen=True)
class Chunk:
    """A chunk: its name, where its content starts in the file, and the size it claims."""

    name: bytes
    start: int
    size: int

    @property
    def end(self) -> int:
        """Where the next chunk starts."""
        return self.start + self.size + self.size % 2

    def read(self, file: BinaryIO) -> bytes:
        """Return the content."""
        file.seek(self.start)
        return file.read(self.size)


def read_chunks(file: BinaryIO, start: int = 0) -> Iterator[Chunk]:
    """Yield the chunks of the IFF file that starts at ``start``, as far as they make sense.

    The last one may claim more than there is. Anything that is not an IFF file has no chunks.
    """
    size_of_file = file.seek(0, io.SEEK_END)
    file.seek(start)
    head = file.read(12)
    order = BYTE_ORDER.get(head[:4])
    if order is None or len(head) < 12:
        return
    position, sound_bytes = start + 12, None
    while position < size_of_file:
        file.seek(position)
        header = file.read(8)
        name = header[:4]
        if len(header) < 8 or not _is_name(name):
            return
        (size,) = struct.unpack(f"{order}I", header[4:])
        if name == b"ds64":
            sound_bytes = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))[0]
        elif name == b"data" and size == _IN_DS64 and sound_bytes is not None:
            size = sound_bytes
        chunk = Chunk(name, position + 8, size)
        yield chunk
        position = chunk.end


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in name) and name != b"    "
