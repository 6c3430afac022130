"""What a file carries besides sound: tags, cover art, chapters, BWF data, cue points, loops.

:func:`read_carried` takes it from the source, :func:`write_carried` puts into the finished
destination what its format has a place for, and names the rest. WAV to WAV keeps every chunk;
positions in samples are scaled with the rate.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from overtone.audio.riff import Chunk, read_chunks
from overtone.audio.tags import INFO, Chapter, Tags, has_mutagen, info_list, read_tags, write_tags

# Chunks of a WAV file that describe the samples as they lie there, and padding.
_OF_THE_SOUND = (b"fmt ", b"data", b"fact", b"ds64", b"PEAK", b"JUNK", b"junk", b"FLLR", b"PAD ")
_TAG_CHUNKS = (b"id3 ", b"ID3 ", b"LIST", b"cue ")
_NAMES = {
    b"bext": "BWF data (bext)",
    b"smpl": "loops (smpl)",
    b"iXML": "production data (iXML)",
    b"axml": "XML (axml)",
    b"inst": "instrument data (inst)",
}
_NEEDS_MUTAGEN = "they need pip install 'overtone[formats]'"
# Loops and points are small; a chunk of more than this is not worth the memory.
_MAX_CHUNK_BYTES = 1 << 24


@dataclass
class Carried:
    """What is in a file besides its sound; ``chunks`` are a WAV file's, by name, unscaled."""

    sample_rate: int
    tags: Tags = field(default_factory=Tags)
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    unread: str = ""  # what there may be besides, and why it was not read

    @property
    def empty(self) -> bool:
        """Whether there is nothing to carry over or to tell of."""
        tags = self.tags
        in_tags = tags.texts or tags.pictures or tags.chapters or tags.frames
        return not (in_tags or self.chunks or self.unread)


def read_carried(file: BinaryIO, sample_rate: int, start: int = 0) -> Carried:
    """Return what an audio file carries.

    ``sample_rate`` is its own, in Hz, and ``start`` where its header lies.
    """
    carried = Carried(sample_rate)
    file.seek(start)
    magic = file.read(4)
    is_wav = magic in (b"RIFF", b"RF64", b"BW64")
    for chunk in list(read_chunks(file, start)) if is_wav else ():
        if chunk.name not in _OF_THE_SOUND and chunk.size <= _MAX_CHUNK_BYTES:
            content = chunk.read(file)
            if len(content) == chunk.size:
                carried.chunks.append((chunk.name, content))
    if has_mutagen():
        if magic not in (b"RF64", b"BW64"):  # which mutagen takes for MP3
            _add_tags(carried, file)
    elif not is_wav:
        carried.unread = _unread_tags(file, start)
    _add_from_chunks(carried)
    return carried


def _unread_tags(file: BinaryIO, start: int) -> str:
    """Return what is to be said of tags that nothing here can copy."""
    import soundfile

    file.seek(start)
    try:
        with soundfile.SoundFile(file) as sound:
            any_texts = bool(sound.copy_metadata().keys() - {"software"})
    except soundfile.SoundFileError:  # what libsndfile does not read may well have some
        return f"tags, if there are any ({_NEEDS_MUTAGEN})"
    return f"tags ({_NEEDS_MUTAGEN})" if any_texts else ""


def _add_tags(carried: Carried, file: BinaryIO) -> None:
    import mutagen

    # mutagen's parsers raise whatever a damaged tag leads them to.
    try:
        carried.tags = read_tags(file)
    except (mutagen.MutagenError, ValueError, KeyError, struct.error, EOFError):
        carried.unread = "damaged tags"


def _add_from_chunks(carried: Carried) -> None:
    """Read INFO texts and cue points of a WAV file as tags, for formats without such chunks."""
    positions: dict[int, int] = {}
    labels: dict[int, str] = {}
    names = {chunk: name for name, chunk in INFO.items()}
    for name, content in carried.chunks:
        if name == b"cue ":
            for at in range(4, len(content) - 23, 24):
                number, _, position = struct.unpack("<II12xI", content[at : at + 24])
                positions[number] = position
        elif name == b"LIST":
            for kind, text in _list_items(content):
                if (
                    content[:4] == b"INFO"
                    and kind in names
                    and names[kind] not in carried.tags.texts
                ):
                    carried.tags.add(names[kind], _text(text))
                elif content[:4] == b"adtl" and kind == b"labl" and len(text) >= 4:
                    labels[struct.unpack("<I", text[:4])[0]] = _text(text[4:])
    carried.tags.chapters += [
        Chapter(position / carried.sample_rate, labels.get(number, ""))
        for number, position in positions.items()
    ]
    carried.tags.chapters.sort(key=lambda chapter: chapter.start_s)


def _list_items(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 4
    while at + 8 <= len(content):
        (size,) = struct.unpack("<I", content[at + 4 : at + 8])
        yield content[at : at + 4], content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _text(content: bytes) -> str:
    plain = content.partition(b"\0")[0]
    try:
        return plain.decode("utf-8")
    except UnicodeDecodeError:
        return plain.decode("latin-1")


def write_carried(
    path: Path, container: str, subtype: str, sample_rate: int, carried: Carried
) -> tuple[str, ...]:
    """Put what ``carried`` holds into the finished file, and name what found no place.

    ``container`` and ``subtype`` are libsndfile's names of what the file is, ``sample_rate`` its
    own in Hz.
    """
    left = [carried.unread] if carried.unread else []
    is_wav = container in ("WAV", "RF64")
    if is_wav and carried.chunks:
        ratio = sample_rate / carried.sample_rate
        append_chunks(
            path, [(name, scaled(name, content, ratio)) for name, content in carried.chunks]
        )
        return tuple(left)
    left += [
        _NAMES.get(name, f"data ({name.decode('ascii').strip()})")
        for name in dict.fromkeys(name for name, _ in carried.chunks)
        if name not in _TAG_CHUNKS
    ]
    tags = carried.tags
    if not (tags.texts or tags.pictures or tags.chapters or tags.frames):
        return tuple(left)
    if is_wav:
        chunks = [(b"LIST", info_list(tags)), *_cue_chunks(tags.chapters, sample_rate)]
        append_chunks(path, [(name, content) for name, content in chunks if content])
        tags = replace(tags, chapters=[])
    if not _written(path, container, subtype, tags):
        kinds = {"tags": tags.texts and not is_wav, "cover art": tags.pictures}
        kinds |= {"chapters": tags.chapters, "other tags": tags.frames}
        left += [kind for kind, there in kinds.items() if there]
    elif tags.frames and container not in ("MP3", "WAV", "AIFF"):
        left += [f"ID3 frames ({', '.join(sorted({f.FrameID for f in tags.frames}))})"]
    return tuple(left)


def _written(path: Path, container: str, subtype: str, tags: Tags) -> bool:
    if not has_mutagen():
        return False
    import mutagen

    try:
        return write_tags(path, container, subtype, tags)
    except (mutagen.MutagenError, ValueError, TypeError):
        return False


def _cue_chunks(chapters: list[Chapter], sample_rate: int) -> list[tuple[bytes, bytes]]:
    """Return chapters as a WAV file's cue points and their labels."""
    if not chapters:
        return []
    points, labels = struct.pack("<I", len(chapters)), b"adtl"
    for number, chapter in enumerate(chapters, 1):
        at = round(chapter.start_s * sample_rate)
        points += struct.pack("<II4sIII", number, at, b"data", 0, 0, at)
        text = struct.pack("<I", number) + chapter.title.encode("utf-8") + b"\0"
        labels += b"labl" + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
    return [(b"cue ", points), (b"LIST", labels)]


def scaled(name: bytes, content: bytes, ratio: float) -> bytes:
    """Return a WAV chunk with its positions in samples multiplied by ``ratio``."""
    out = bytearray(content)

    def scale(at: int, kind: str = "<I") -> None:
        if at + struct.calcsize(kind) <= len(out):
            (value,) = struct.unpack_from(kind, out, at)
            struct.pack_into(
                kind, out, at, min(round(value * ratio), 256 ** struct.calcsize(kind) - 1)
            )

    if name == b"bext":
        scale(338, "<Q")  # the time reference, in samples since midnight (EBU Tech 3285)
    elif name == b"cue ":
        for at in range(4, len(out) - 23, 24):
            scale(at + 4)
            scale(at + 20)
    elif name == b"smpl" and len(out) >= 36:
        (period_ns,) = struct.unpack_from("<I", out, 8)
        struct.pack_into("<I", out, 8, round(period_ns / ratio))
        for at in range(36, len(out) - 23, 24):
            scale(at + 8)
            scale(at + 12)
    elif name == b"LIST" and content[:4] == b"adtl":
        at = 4
        while at + 8 <= len(content):
            kind, size = struct.unpack_from("<4sI", content, at)
            if kind == b"ltxt":
                scale(at + 12)  # the length of a region
            at += 8 + size + size % 2
    return bytes(out)


def append_chunks(path: Path, chunks: list[tuple[bytes, bytes]]) -> None:
    """Append chunks to a finished WAV or RF64 file."""
    with path.open("r+b") as file:
        found: dict[bytes, Chunk] = {chunk.name: chunk for chunk in read_chunks(file)}
        end = file.seek(0, 2)
        if end % 2:
            file.write(b"\0")
        for name, content in chunks:
            file.write(
                name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
            )
        size = file.tell() - 8
        if b"ds64" in found:
            file.seek(found[b"ds64"].start)
            file.write(struct.pack("<Q", size))
        else:
            with contextlib.suppress(struct.error):
                file.seek(4)
                file.write(struct.pack("<I", size))
