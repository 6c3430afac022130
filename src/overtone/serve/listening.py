"""A page to send to somebody: one HTML file with a recording before and after in it."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

from overtone.audio.reader import AudioReader
from overtone.files import atomic_write

PAGE = Path(__file__).with_name("page")
SCRIPTS = ("fft.js", "view.js", "player.js", "transport.js", "report/listening.js")
LONGEST_S = 60.0
# FLAC holds no more; the page's players play no more.
MOST_CHANNELS = 2


def write_listening_page(
    path: Path,
    before: Path,
    after: Path,
    *,
    facts: str,
    cutoff_hz: float | None = None,
    overwrite: bool = False,
) -> None:
    """Write a page that needs no other file and no network.

    Both recordings are in it as 16-bit FLAC, their first minute and first two channels.

    Args:
        path: of the page.
        before: the recording as it was.
        after: the enhanced one.
        facts: a line on what was done.
        cutoff_hz: is marked in the spectrograms.
        overwrite: replace a page that is there.

    Raises:
        AudioFileError: a recording cannot be read.
        InvalidInputError: the page is there already, or cannot be written.
    """
    data = {
        "name": before.stem,
        "cutoff": cutoff_hz,
        "before": _sound(before),
        "after": _sound(after),
    }
    filled = {
        "TITLE": html.escape(before.name),
        "FACTS": html.escape(facts),
        "STYLE": (PAGE / "studio.css").read_text(encoding="utf-8"),
        # Nothing in it may end the script that holds it.
        "DATA": json.dumps(data).replace("<", "\\u003c"),
        "SCRIPT": "\n".join(_as_one(PAGE / script) for script in SCRIPTS),
    }
    text = _fill((PAGE / "report" / "listening.html").read_text(encoding="utf-8"), filled)
    with atomic_write(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _sound(path: Path) -> dict[str, str | int]:
    with AudioReader(path) as reader:
        rate = reader.info.sample_rate
        block = next(reader.blocks(round(LONGEST_S * rate)))[:MOST_CHANNELS]
    flac = io.BytesIO()
    steps = np.clip(np.rint(block.T * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    soundfile.write(flac, steps, rate, format="FLAC", subtype="PCM_16")
    return {"rate": rate, "sound": base64.b64encode(flac.getvalue()).decode("ascii")}


def _as_one(path: Path) -> str:
    """A module's text without what ties it to others, which come before it in the same script."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"^(import .*;\n|export (?=\w))", "", text, flags=re.MULTILINE)


def _fill(template: str, filled: Mapping[str, str]) -> str:
    return re.sub(r"%([A-Z]+)%", lambda found: filled[found[1]], template)
