"""Where in a file the sound lies: tags in front, streams one after another, sizes left open.

Decoders want a file that starts with its header, holds one stream and says its size. Many do not:
a tag stands before the header, two files were joined into one, a recorder lost power before it
could write the size. :func:`first_part` and :func:`next_part` find each stream of such a file and
lend decoders a :class:`FileView` of it that is in order. The file itself is never touched.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from overtone.audio.mp3 import frame_bytes, id3_bytes, mp3_start
from overtone.audio.riff import BYTE_ORDER, SOUND_CHUNKS, Chunk, read_chunks

# Less than this after the end of the sound is a tag or padding, and not worth a look.
_MAX_TAIL_BYTES = 4096
# So little is read of FLAC at once that the position tells where its decoder stopped.
_FLAC_READ_BYTES = 1024
_FLAC_START = b"fLaC\0\0\0\x22"
_OGG_FIRST, _OGG_LAST = 0x02, 0x04
_VOC_START = b"Creative Voice File\x1a"
# How far behind one FLAC stream the next is looked for.
_MAX_GAP_BYTES = 1 << 20
# Programs that cannot come back to write a size put one of these or more.
_OPEN_END_BYTES = 0x7FFFF000
_NOTHING: Mapping[int, bytes] = MappingProxyType({})


class FileView(io.RawIOBase):
    """Bytes ``start`` to ``end`` of a file as a file of its own, some of them replaced.

    ``patches`` maps positions in the view to the bytes that are read there. Views of one file may
    be read in turns, and closing one leaves the file open.
    """

    def __init__(
        self,
        file: BinaryIO,
        start: int = 0,
        end: int | None = None,
        patches: Mapping[int, bytes] = _NOTHING,
    ) -> None:
        super().__init__()
        self.start = start
        self._file = file
        self.size = (size_of(file) if end is None else end) - start
        self._patches = patches
        self._most = _FLAC_READ_BYTES if self._magic() == b"fLaC" else None
        self._position = 0

    def _magic(self) -> bytes:
        self._file.seek(self.start)
        return self._file.read(4)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read on from the present position."""
        count = min(len(buffer), self.size - self._position)
        if count <= 0:
            return 0  # a damaged header may lead further than a file can be
        if self._most is not None:
            count = min(count, self._most)
        self._file.seek(self.start + self._position)
        data = bytearray(self._file.read(count))
        for place, patch in self._patches.items():
            at = place - self._position
            if -len(patch) < at < len(data):
                first, last = max(at, 0), min(at + len(patch), len(data))
                data[first:last] = patch[first - at : last - at]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position counted in the view."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position in the view."""
        return self._position


@dataclass(frozen=True)
class Part:
    """One stream of a file: where it lies, and how much of it has been read before.

    ``path`` is the name of ``file`` in messages; ``cut_off`` says that the stream plainly ends
    too soon, and ``doubt`` why it may.
    """

    file: BinaryIO
    path: Path
    start: int = 0
    end: int | None = None
    patches: Mapping[int, bytes] = field(default_factory=dict)
    skip_frames: int = 0
    cut_off: bool = False
    doubt: str = ""

    def open(self) -> FileView:
        """Return the bytes of this part."""
        return FileView(self.file, self.start, self.end, self.patches)


def size_of(file: BinaryIO) -> int:
    """Return the length of a file in bytes."""
    return file.seek(0, io.SEEK_END)


def first_part(file: BinaryIO, path: Path) -> Part:
    """Return the first stream of the file, which can seek and is called ``path``."""
    return _part_at(Part(file, path), 0)


def next_part(part: Part, stopped: int, frames: int) -> Part | None:
    """Return the stream that follows ``part``, if any.

    ``stopped`` is where in the part its decoder stopped reading, and ``frames`` the samples that
    it gave.
    """
    part.file.seek(part.start)
    magic = part.file.read(4)
    if magic == b"fLaC":
        return _next_flac(part, part.start + stopped, frames)
    if magic[:3] == b"ID3" or frame_bytes(magic):
        return _next_mp3(part, part.start + stopped)
    if part.end is None or part.end >= size_of(part.file):
        return None
    return _part_at(part, part.end)


def _part_at(whole: Part, start: int) -> Part:
    file = whole.file
    start = _after_id3(file, start)
    part = Part(file, whole.path, start)
    file.seek(start)
    magic = file.read(4)
    if magic == b"OggS":
        return _ogg_part(part)
    if magic in BYTE_ORDER:
        return _iff_part(part)
    if magic == _VOC_START[:4]:
        return replace(part, cut_off=_is_cut_off_voc(file, start))
    if magic == b"caff":
        return replace(part, cut_off=_is_cut_off_caf(file, start))
    if magic == b".snd":
        return replace(part, patches=_open_end_of_au(file, start))
    if magic == b"fLaC":
        end = start + _without_tail_tags(file, start)
        return replace(part, end=end if end < size_of(file) else None)
    return part


def _after_id3(file: BinaryIO, start: int) -> int:
    """Pass over an ID3v2 tag, unless MP3 follows, whose decoder knows what to do with it."""
    file.seek(start)
    head = file.read(10)
    if len(head) < 10 or head[:3] != b"ID3":
        return start
    end = start + 10 + id3_bytes(head)
    file.seek(end)
    return end if file.read(4) in (*BYTE_ORDER, b"fLaC", b"OggS") else start


def _without_tail_tags(file: BinaryIO, start: int) -> int:
    """Return the bytes from ``start`` to the end, or to the ID3v1 and APE tags at the end."""
    end = size_of(file)
    for _ in range(2):
        file.seek(max(start, end - 128))
        tail = file.read(min(128, end - start))
        if len(tail) == 128 and tail[:3] == b"TAG":
            end -= 128
        elif tail[-32:-24] == b"APETAGEX":
            size, flags = struct.unpack("<I4xI", tail[-20:-8])
            end -= size + (32 if flags & 1 << 31 else 0)
    return max(end, start) - start


# Ogg ---------------------------------------------------------------------------------------------


def _ogg_part(part: Part) -> Part:
    """One link of a chain: it ends where, after others, a first page comes (RFC 3533)."""
    file = part.file
    size = size_of(file)
    begun, ended, position = False, False, part.start
    while position < size:
        file.seek(position)
        header = file.read(27)
        if header[:4] != b"OggS" or len(header) < 27:
            break
        if not header[5] & _OGG_FIRST:
            begun = True
        elif begun:
            return replace(part, end=position)
        ended = bool(header[5] & _OGG_LAST)
        lacing = file.read(header[26])
        position += 27 + len(lacing) + sum(lacing)
    # Some programs mark no page as the last, so this is no more than a doubt.
    doubt = "" if ended else "its last page is missing or not marked as such: perhaps cut off"
    return replace(part, cut_off=position > size, doubt=doubt)


# RIFF, AIFF, CAF and AU --------------------------------------------------------------------------


def _iff_part(part: Part) -> Part:
    file, start = part.file, part.start
    size = size_of(file)
    file.seek(start)
    head = file.read(8)
    if len(head) < 8:
        return replace(part, cut_off=True)
    magic = head[:4]
    order = BYTE_ORDER[magic]
    # BW64 is RF64 under another name, which libsndfile does not know yet.
    patches = {0: b"RF64"} if magic == b"BW64" else {}
    chunks = list(read_chunks(file, start))
    sound = next((chunk for chunk in chunks if chunk.name in SOUND_CHUNKS), None)
    end = start + 8 + struct.unpack(f"{order}I", head[4:])[0]
    if sound is None:
        return replace(part, patches=patches, cut_off=size < end < _OPEN_END_BYTES)
    if sound.end < size and _is_iff(file, sound.end):
        return replace(part, end=sound.end, patches=patches)
    if sound.end < end < size and _is_iff(file, end):
        return replace(part, end=end, patches=patches)
    if _goes_on(file, sound, chunks[-1].end):
        # Counted to the end of the file, however long that is.
        wanted = size - sound.start
        place = sound.start - start - 4
        if sound.name == b"data" and magic in (b"RF64", b"BW64"):
            ds64 = next((chunk for chunk in chunks if chunk.name == b"ds64"), None)
            if ds64 is not None:
                patches |= {place: b"\xff" * 4, ds64.start - start + 8: struct.pack("<Q", wanted)}
                patches |= {ds64.start - start: struct.pack("<Q", size - start - 8)}
        else:
            patches[place] = struct.pack(f"{order}I", min(wanted, 0xFFFFFFFF))
            patches[4] = struct.pack(f"{order}I", min(size - start - 8, 0xFFFFFFFF))
    return replace(part, patches=patches)


def _is_iff(file: BinaryIO, position: int) -> bool:
    file.seek(position)
    head = file.read(12)
    return len(head) == 12 and head[:4] in BYTE_ORDER and head[8:] in (b"WAVE", b"AIFF", b"AIFC")


def _goes_on(file: BinaryIO, sound: Chunk, chunks_end: int) -> bool:
    """Tell whether samples follow where, by the size in the header, they should have ended."""
    size = size_of(file)
    sound_end = sound.start + sound.size
    # Chunks that follow make a size that is right.
    if sound_end >= size or chunks_end > sound.end:
        return False
    if sound.size == 0:
        return True
    file.seek(sound_end)
    rest = file.read(2 * _MAX_TAIL_BYTES)
    is_tag = rest.lstrip(b"\0")[:3] in (b"TAG", b"ID3", b"APE")
    return len(rest) > _MAX_TAIL_BYTES and any(rest) and not is_tag


def _is_cut_off_voc(file: BinaryIO, start: int) -> bool:
    """Tell whether a block of Creative's format is longer than the file, or cut in its header."""
    size = size_of(file)
    file.seek(start)
    head = file.read(22)
    if len(head) < 22 or not head.startswith(_VOC_START):
        return False
    position: int = start + struct.unpack("<H", head[20:])[0]
    while position < size:
        file.seek(position)
        kind, *length = file.read(4)
        if kind == 0:
            return False
        position += 4 + int.from_bytes(bytes(length), "little")
    return position > size


def _is_cut_off_caf(file: BinaryIO, start: int) -> bool:
    size = size_of(file)
    position = start + 8
    while position + 12 <= size:
        file.seek(position + 4)
        (length,) = struct.unpack(">q", file.read(8))
        if length < 0:
            return False
        position += 12 + length
    return position > size


def _open_end_of_au(file: BinaryIO, start: int) -> dict[int, bytes]:
    file.seek(start + 8)
    return {8: b"\xff" * 4} if file.read(4) == bytes(4) else {}


# FLAC --------------------------------------------------------------------------------------------


def _next_flac(part: Part, stopped: int, frames: int) -> Part | None:
    """Another FLAC file after this one, or frames beyond the number that the header promises."""
    file = part.file
    if part.patches or stopped >= (part.end or size_of(file)):  # patched: read on already
        return None
    near = max(part.start + 4, stopped - _FLAC_READ_BYTES)
    file.seek(near)
    rest = file.read(_MAX_GAP_BYTES)
    joined = rest.find(_FLAC_START)
    if joined >= 0:
        return _part_at(part, near + joined)
    # Sync code, blocking strategy, block size and rate are the same in nearly all frames.
    position, is_last = part.start + 4, False
    while not is_last:
        file.seek(position)
        head = file.read(4)
        if len(head) < 4:
            return None
        is_last = bool(head[0] & 0x80)
        position += 4 + int.from_bytes(head[1:], "big")
    file.seek(position)
    if rest.find(file.read(3)) < 0:
        return None
    # The number of samples is the last 36 bits of bytes 18 to 25; 0 stands for unknown.
    file.seek(part.start + 21)
    unknown = bytes([file.read(1)[0] & 0xF0, 0, 0, 0, 0])
    return replace(part, patches={21: unknown}, skip_frames=frames)


# MP3 ---------------------------------------------------------------------------------------------


def _next_mp3(part: Part, stopped: int) -> Part | None:
    """Another MP3 file after this one, or frames beyond the number that the index promises."""
    if _without_tail_tags(part.file, stopped) <= _MAX_TAIL_BYTES:
        return None
    part.file.seek(stopped)
    if part.file.read(3) == b"ID3":
        return Part(part.file, part.path, stopped)
    found = mp3_start(part.file, stopped)
    return None if found is None else Part(part.file, part.path, found)
