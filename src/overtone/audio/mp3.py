"""Just enough of MP3 to find it: its frames (ISO 11172-3, ISO 13818-3) and the tags around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

# How far junk may reach before the first frame of an MP3 file.
_MAX_JUNK_BYTES = 1 << 20
_BITRATES = {  # kbit/s by MPEG version 1 and layer; those of versions 2 and 2.5 by layer
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def frame_bytes(head: bytes) -> int | None:
    """Return the length of the MPEG audio frame that ``head`` starts, if it does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_code, bitrate_code = head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or layer == 4 or rate_code == 3 or bitrate_code in (0, 15):
        return None
    rate = (44100, 48000, 32000)[rate_code] // {3: 1, 2: 2, 0: 4}[version]
    bitrate = 1000 * _BITRATES[version == 3, layer][bitrate_code - 1]
    padding = head[2] >> 1 & 1
    if layer == 1:
        return 4 * (12 * bitrate // rate + padding)
    half = layer == 3 and version != 3
    return (72 if half else 144) * bitrate // rate + padding


def mp3_start(file: BinaryIO, start: int = 0) -> int | None:
    """Return where the first three MPEG audio frames in a row lie at or after ``start``."""
    file.seek(start)
    content = file.read(_MAX_JUNK_BYTES)
    return next((start + place for place in _sync_places(content)), None)


def _sync_places(content: bytes) -> Iterator[int]:
    for found in re.finditer(rb"\xff[\xe0-\xff]", content):
        place = found.start()
        for _ in range(3):
            length = frame_bytes(content[place : place + 4])
            if length is None:
                break
            place += length
        else:
            yield found.start()


def id3_bytes(head: bytes) -> int:
    """Return the length of the ID3v2 tag that starts with ``head``, which is not counted."""
    # ID3v2 writes its length with seven bits a byte.
    return sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
