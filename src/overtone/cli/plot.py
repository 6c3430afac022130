"""``overtone plot``: spectrograms of recordings side by side, on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overtone.cli.options import ForceOption, parse_hertz

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signals = Sequence[tuple[str, NDArray[np.float32], int]]

FOUND, UNMARKED = "auto", "none"


def _parse_mark(text: str) -> str:
    """Read what to mark: a frequency, which stays text until it is known to be wanted."""
    word = text.strip().lower()
    if word not in (FOUND, UNMARKED):
        parse_hertz(text)
    return word


def plot(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Recordings, left to right.")],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="OUT", help="Picture to write: .png, .pdf or .svg."),
    ],
    cutoff: Annotated[
        str,
        typer.Option(
            "--cutoff",
            metavar="HZ",
            parser=_parse_mark,
            help="Mark this frequency by a dashed line; 'auto' marks where each recording's own "
            "band is found to end, 'none' nothing.",
        ),
    ] = FOUND,
    force: ForceOption = False,
) -> None:
    """Draw spectrograms of recordings side by side.

    All have one time axis (s), one frequency axis (kHz) and one colour scale, and the cutoff is
    marked. Needs the extra 'plot': pip install 'overtone[plot]'.
    """
    from overtone.audio.reader import read_audio
    from overtone.report import check_picture_path, plot_spectrograms

    check_picture_path(output, overwrite=force)
    signals = []
    for file in files:
        samples, sample_rate = read_audio(file)
        signals.append((f"{file.name} ({sample_rate / 1000:g} kHz)", samples, sample_rate))
    plot_spectrograms(signals, output, cutoff_hz=_marks(cutoff, signals), overwrite=force)


def _marks(cutoff: str, signals: Signals) -> list[float | None]:
    """Return the frequency to mark in each recording, if any."""
    if cutoff != FOUND:
        return [None if cutoff == UNMARKED else parse_hertz(cutoff)] * len(signals)
    from overtone.dsp.bandwidth import estimate_cutoff

    estimates = [estimate_cutoff(samples, rate) for _, samples, rate in signals]
    return [one.cutoff_hz if one.verdict == "band-limited" else None for one in estimates]
