"""``overtone plot``: spectrograms of recordings side by side, on one scale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overtone.cli.options import parse_hertz


def plot(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Recordings, left to right.")],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="OUT", help="Picture to write: .png, .pdf or .svg."),
    ],
    cutoff: Annotated[
        float | None,
        typer.Option(
            "--cutoff",
            metavar="HZ",
            parser=parse_hertz,
            help="Mark this frequency by a dashed line.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Overwrite a picture that exists.")
    ] = False,
) -> None:
    """Draw spectrograms of recordings side by side, with one frequency and one colour scale.

    Needs the extra 'plot': pip install 'overtone[plot]'.
    """
    from overtone.audio.files import read_audio
    from overtone.report import check_picture_path, plot_spectrograms

    check_picture_path(output, overwrite=force)
    signals = []
    for file in files:
        samples, sample_rate = read_audio(file)
        signals.append((f"{file.name} ({sample_rate / 1000:g} kHz)", samples, sample_rate))
    plot_spectrograms(signals, output, cutoff_hz=cutoff, overwrite=force)
