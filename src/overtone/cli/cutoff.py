"""``overtone benchmark cutoff``: how far the detected end of the band is off."""

import sys
from typing import Annotated

import typer

from overtone.cli.options import IntoOption, laboratory


def cutoff(
    kinds: Annotated[
        list[str], typer.Argument(metavar="KIND=FOLDER", help="Full-band recordings of a kind.")
    ],
    files: Annotated[int, typer.Option(min=1, metavar="N", help="Recordings a subfolder.")] = 12,
    whole: Annotated[
        list[str] | None,
        typer.Option("--whole", metavar="KIND", help="Measure all of it, not the last tenth."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, metavar="S", help="Of each excerpt.")] = 8.0,
    into: IntoOption = None,
) -> None:
    """Compare the detected cutoff with that of known filters, resamplers and codecs.

    The last tenth, by name, of each folder is filtered at cutoffs from 1 to 11 kHz and coded by
    MP3 and Opus. Half of the results are dithered to 16 bits.

    \b
    overtone benchmark cutoff speech=FOLDER --into docs/results/bandwidth.md
    """
    with laboratory("overtone benchmark cutoff"):
        from overtone.evaluation.cutoffs import MARKS, measure_kinds
    from overtone.files import write_text
    from overtone.report.pages import around, made_by, renewed

    if into is not None:
        around(into, *MARKS)  # before the work, not after it
    report = measure_kinds(
        kinds,
        files,
        whole or [],
        seconds,
        log=lambda line: print(f"overtone: {line}", file=sys.stderr),
    )
    if into is None:
        report.print()
        return
    words = [f"{kind.partition('=')[0]}=FOLDER" for kind in kinds]
    words += [f"--whole {kind}" for kind in whole or []]
    command = f"overtone benchmark cutoff {' '.join(words)} --into docs/results/bandwidth.md"
    made = made_by(command) + "\n" + report.markdown(level=3, titled=False)
    write_text(renewed(into, *MARKS, made), into, overwrite=True)
