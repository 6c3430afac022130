"""``overtone benchmark archives``: several archives and systems in one table."""

from pathlib import Path
from typing import Annotated

import typer

from overtone.cli.options import ForceOption, IntoOption, laboratory
from overtone.errors import InvalidInputError


def archives(
    table: Annotated[
        Path,
        typer.Argument(metavar="TABLE.toml", help="Data sets, their archives, systems to score."),
    ],
    folder: Annotated[
        Path, typer.Option("--archives", metavar="FOLDER", help="Where the archives lie.")
    ] = Path("archives"),
    into: IntoOption = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write every metric with its interval."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Score systems on archives of patches, as the papers of AudioUNet and TFiLM do.

    Each row of the TOML file names a data set, an archive that 'overtone prepare' made, and
    systems: a shipped model, an .onnx file, a checkpoint, or a baseline. --into replaces what
    stands between the marks <!-- archive table --> and <!-- end of archive table -->.

    \b
    overtone benchmark archives suites/archives/audiounet.toml --into docs/results/audiounet.md
    """
    with laboratory("overtone benchmark archives"):
        from overtone.evaluation.archive_tables import archive_table, read_rows, summary_table
        from overtone.evaluation.archives import evaluate_archive
    from overtone.files import refuse_existing, write_text
    from overtone.report.pages import around, renewed

    marks = "<!-- archive table -->", "<!-- end of archive table -->"
    if csv is not None:
        refuse_existing(csv, force)
    if into is not None:
        around(into, *marks)  # before the work, not after it
    rows = read_rows(table)
    missing = [name for row in rows if not (folder / (name := row.archive)).is_file()]
    if missing:
        raise InvalidInputError(
            f"{folder}: no {', '.join(dict.fromkeys(missing))}; make them with overtone prepare, or"
            " give their folder with --archives"
        )
    results = []
    for row in rows:
        typer.echo(f"{row.archive}: {', '.join(row.systems)}", err=True)
        results.append((row.dataset, evaluate_archive(folder / row.archive, row.systems)))
    if csv is not None:
        parts = [archive_table(scores, readable=False).render("csv") for _, scores in results]
        lines = [parts[0], *(part.partition("\n")[2] for part in parts[1:])]
        write_text("".join(lines), csv, overwrite=force)
    summary = summary_table(results)
    if into is None:
        summary.print()
    else:
        text = renewed(into, *marks, summary.render("markdown"))
        write_text(text, into, overwrite=True)
