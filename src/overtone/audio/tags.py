"""Tags, cover art and chapters, from one format's way of writing them to another's.

mutagen parses them (extra ``formats``, as it is under the GPL and the core install permissive).

Tags are named as in Vorbis comments ("title", "artist", "tracknumber"), in small letters.
"""

from __future__ import annotations

import base64
import importlib.util
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

# ID3 frames of one text each, and the chunks of a WAV file's INFO list, by tag.
_ID3 = {
    "title": "TIT2",
    "version": "TIT3",
    "artist": "TPE1",
    "albumartist": "TPE2",
    "conductor": "TPE3",
    "album": "TALB",
    "date": "TDRC",
    "originaldate": "TDOR",
    "tracknumber": "TRCK",
    "discnumber": "TPOS",
    "genre": "TCON",
    "composer": "TCOM",
    "lyricist": "TEXT",
    "copyright": "TCOP",
    "organization": "TPUB",
    "isrc": "TSRC",
    "bpm": "TBPM",
    "language": "TLAN",
    "grouping": "TIT1",
    "encoded-by": "TENC",
    "titlesort": "TSOT",
    "artistsort": "TSOP",
    "albumsort": "TSOA",
}
INFO = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "date": b"ICRD",
    "comment": b"ICMT",
    "genre": b"IGNR",
    "copyright": b"ICOP",
    "tracknumber": b"ITRK",
    "organization": b"IPUB",
}
_ASF = {"title": "Title", "artist": "Author", "copyright": "Copyright", "comment": "Description"}
_ASF |= {"album": "WM/AlbumTitle", "date": "WM/Year", "genre": "WM/Genre"}
_ASF |= {"tracknumber": "WM/TrackNumber", "albumartist": "WM/AlbumArtist"}
# These tell of the file that was read, not of the recording.
_OF_THE_FILE = frozenset(
    ("encoder", "encoder_options", "metadata_block_picture", "cuesheet", "duration")
) | frozenset(("major_brand", "minor_version", "compatible_brands", "creation_time"))
_CHAPTER = re.compile(r"chapter(\d{1,3})(name)?")


def has_mutagen() -> bool:
    """Tell whether mutagen is installed, which the extra ``formats`` brings."""
    return importlib.util.find_spec("mutagen") is not None


@dataclass(frozen=True)
class Chapter:
    """A named point in time."""

    start_s: float
    title: str = ""


@dataclass
class Tags:
    """Texts by name, pictures (``mutagen.flac.Picture``) and chapters."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    pictures: list[Any] = field(default_factory=list)
    chapters: list[Chapter] = field(default_factory=list)
    # Frames of ID3 that nothing above stands for; another ID3 tag takes them as they are.
    frames: list[Any] = field(default_factory=list)

    def add(self, name: str, *texts: str) -> None:
        """Add texts under a name, but none that tell of the file only."""
        kept = [text for text in map(str, texts) if text]
        if kept and name.lower() not in _OF_THE_FILE:
            self.texts.setdefault(name.lower(), []).extend(kept)


def read_tags(file: BinaryIO) -> Tags:
    """Return what tags the file has; of a file that mutagen does not know, none.

    Raises:
        mutagen.MutagenError: the tags are damaged.
    """
    import mutagen
    from mutagen import apev2, asf, flac, id3, mp4

    tags = Tags()
    file.seek(0)
    if file.read(3) == b"ID3":
        # Whatever follows it, even a format whose tags are others.
        file.seek(0)
        _read_id3(id3.ID3(file), tags)
        return tags
    file.seek(0)
    found = mutagen.File(file)
    if isinstance(found, mp4.MP4):
        _read_mp4(file, found, tags)
    elif found is None or found.tags is None:
        tags.pictures = list(getattr(found, "pictures", ()))
    elif isinstance(found.tags, id3.ID3):
        _read_id3(found.tags, tags)
    elif isinstance(found.tags, apev2.APEv2):
        _read_ape(found.tags, tags)
    elif isinstance(found.tags, asf.ASFTags):
        for name, key in _ASF.items():
            tags.add(name, *found.tags.get(key, []))
    else:
        for name, text in found.tags:
            tags.add(name, text)
        encoded = found.tags.get("metadata_block_picture", [])
        tags.pictures = [flac.Picture(base64.b64decode(text)) for text in encoded]
        tags.pictures += getattr(found, "pictures", [])
        _take_chapters(tags)
    return tags


def _take_chapters(tags: Tags) -> None:
    """Move CHAPTER001=00:01:02.500 and CHAPTER001NAME=title from the texts to the chapters."""
    starts, titles = {}, {}
    for name in [name for name in tags.texts if _CHAPTER.fullmatch(name)]:
        number, is_title = _CHAPTER.fullmatch(name).groups()  # type: ignore[union-attr]
        text = tags.texts.pop(name)[0]
        if is_title:
            titles[number] = text
        else:
            seconds = 0.0
            for part in text.split(":"):
                seconds = 60 * seconds + float(part)
            starts[number] = seconds
    for number, start_s in starts.items():
        tags.chapters.append(Chapter(start_s, titles.get(number, "")))


def _read_id3(found: Any, tags: Tags) -> None:
    from mutagen.flac import Picture

    names = {frame: name for name, frame in _ID3.items()}
    for frame in found.values():
        if frame.FrameID in names:
            tags.add(names[frame.FrameID], *frame.text)
        elif frame.FrameID == "TXXX":
            tags.add(frame.desc or "comment", *frame.text)
        elif frame.FrameID == "COMM":
            tags.add("comment", *frame.text)
        elif frame.FrameID == "USLT":
            tags.add("lyrics", frame.text)
        elif frame.FrameID == "APIC":
            picture = Picture()
            picture.data, picture.mime = frame.data, frame.mime
            picture.type, picture.desc = int(frame.type), frame.desc
            tags.pictures.append(picture)
        elif frame.FrameID == "CHAP":
            titles = frame.sub_frames.getall("TIT2")
            tags.chapters.append(Chapter(frame.start_time / 1000, str(titles[0]) if titles else ""))
        elif frame.FrameID not in ("TSSE", "TLEN", "CTOC"):
            tags.frames.append(frame)


def _read_mp4(file: BinaryIO, found: Any, tags: Tags) -> None:
    from mutagen import flac
    from mutagen.easymp4 import EasyMP4

    file.seek(0)
    for name, texts in EasyMP4(file).items():
        tags.add(name, *texts)
    for cover in (found.tags or {}).get("covr", []):
        picture = flac.Picture()
        picture.data, picture.type = bytes(cover), 3
        picture.mime = "image/png" if cover.imageformat == cover.FORMAT_PNG else "image/jpeg"
        tags.pictures.append(picture)
    for chapter in found.chapters or ():
        tags.chapters.append(Chapter(float(chapter.start), chapter.title))


def _read_ape(found: Any, tags: Tags) -> None:
    from mutagen import apev2, flac

    names = {"year": "date", "track": "tracknumber", "disc": "discnumber"}
    for name, value in found.items():
        if isinstance(value, apev2.APETextValue):
            tags.add(names.get(name.lower(), name), *value)
        elif name.lower() == "cover art (front)":
            picture = flac.Picture()
            picture.data = bytes(value.value).partition(b"\0")[2]
            picture.mime = "image/png" if picture.data[:4] == b"\x89PNG" else "image/jpeg"
            picture.type = 3
            tags.pictures.append(picture)


def write_tags(path: Path, container: str, subtype: str, tags: Tags) -> bool:
    """Write the tags into the finished file; return False where its format has no place.

    ``container`` and ``subtype`` are libsndfile's names of what the file is.

    Raises:
        mutagen.MutagenError, OSError: they cannot be written.
    """
    from mutagen import aiff, flac, mp3, oggopus, oggvorbis, wave

    kinds: dict[str, Any] = {
        "FLAC": flac.FLAC,
        "MP3": mp3.MP3,
        "WAV": wave.WAVE,
        "AIFF": aiff.AIFF,
        "OGG": oggopus.OggOpus if subtype == "OPUS" else oggvorbis.OggVorbis,
    }
    if container not in kinds:
        return False
    file = kinds[container](path)
    if file.tags is None:
        file.add_tags()
    if container in ("FLAC", "OGG"):
        _write_comments(file, tags, in_text=container == "OGG")
    else:
        _write_id3(file.tags, tags, file.info.length)
    file.save()
    return True


def _write_comments(file: Any, tags: Tags, *, in_text: bool) -> None:
    for name, texts in tags.texts.items():
        if re.fullmatch(r"[ -<>-}]+", name):
            file.tags[name] = texts
    for number, chapter in enumerate(tags.chapters, 1):
        minutes, seconds = divmod(chapter.start_s, 60)
        hours, minutes = divmod(round(minutes), 60)
        file.tags[f"CHAPTER{number:03}"] = f"{hours:02}:{minutes:02}:{seconds:06.3f}"
        file.tags[f"CHAPTER{number:03}NAME"] = chapter.title
    for picture in tags.pictures:
        if in_text:
            text = base64.b64encode(picture.write()).decode("ascii")
            file.tags["metadata_block_picture"] = [
                *file.tags.get("metadata_block_picture", []),
                text,
            ]
        else:
            file.add_picture(picture)


def _write_id3(id3_tags: Any, tags: Tags, length_s: float) -> None:
    from mutagen import id3

    for name, texts in tags.texts.items():
        if name in _ID3:
            id3_tags.add(getattr(id3, _ID3[name])(encoding=3, text=texts))
        elif name in ("comment", "description"):
            id3_tags.add(id3.COMM(encoding=3, lang="XXX", desc="", text=texts))
        elif name == "lyrics":
            id3_tags.add(id3.USLT(encoding=3, lang="XXX", desc="", text="\n".join(texts)))
        else:
            id3_tags.add(id3.TXXX(encoding=3, desc=name, text=texts))
    for picture in tags.pictures:
        id3_tags.add(
            id3.APIC(
                encoding=3,
                mime=picture.mime,
                type=picture.type,
                desc=picture.desc,
                data=picture.data,
            )
        )
    for frame in tags.frames:
        id3_tags.add(frame)
    ends_s = [*(chapter.start_s for chapter in tags.chapters[1:]), length_s]
    for number, (chapter, end_s) in enumerate(zip(tags.chapters, ends_s, strict=False)):
        id3_tags.add(
            id3.CHAP(
                element_id=f"chp{number}",
                start_time=round(1000 * chapter.start_s),
                end_time=round(1000 * end_s),
                sub_frames=[id3.TIT2(encoding=3, text=[chapter.title])],
            )
        )
    if tags.chapters:
        flags = id3.CTOCFlags.TOP_LEVEL | id3.CTOCFlags.ORDERED
        children = [f"chp{number}" for number in range(len(tags.chapters))]
        id3_tags.add(id3.CTOC(element_id="toc", flags=flags, child_element_ids=children))


def info_list(tags: Tags) -> bytes:
    """Return the texts as the content of a WAV file's LIST INFO chunk, empty if there are none."""
    content = b""
    for name, chunk in INFO.items():
        if name in tags.texts:
            text = "; ".join(tags.texts[name]).encode("utf-8") + b"\0"
            content += chunk + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
    return b"INFO" + content if content else b""
