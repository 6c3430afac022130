"""The lineage's table from several archives and models: prints it, or renews it in a page.

    python tools/lineage_table.py tools/lineage_table.toml --archives archives --into README.md

The TOML names data sets, their archives and the methods to score on each. ``--into`` replaces what
stands between the two marks ``<!-- lineage table -->`` and ``<!-- end of lineage table -->``;
``--csv`` writes every metric of every archive, with intervals.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from overtone.cli.options import in_options
from overtone.errors import InvalidInputError, OvertoneError
from overtone.evaluation.archive_tables import archive_table, summary_table
from overtone.evaluation.archives import ArchiveScores, evaluate_archive
from overtone.files import refuse_existing, write_text
from overtone.report.pages import around, renewed

START, END = "<!-- lineage table -->", "<!-- end of lineage table -->"


class Row(BaseModel):
    """One archive, what to call it, and what to score on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    archive: str
    methods: list[str] = Field(min_length=1)


class Rows(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: list[Row] = Field(min_length=1)


def read_rows(path: Path) -> list[Row]:
    """The rows of a TOML file, or one line on what is wrong with it."""
    try:
        return Rows.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).row
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInputError(f"{path}: cannot be read ({error})") from error
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise InvalidInputError(f"{path}: {key}: {problem['msg']}") from error


def score(rows: list[Row], folder: Path) -> list[tuple[str, ArchiveScores]]:
    """What each row's archive gives; says on stderr which is being done."""
    results = []
    for row in rows:
        print(f"{row.archive}: {', '.join(row.methods)}", file=sys.stderr)
        results.append((row.dataset, evaluate_archive(folder / row.archive, row.methods)))
    return results


def main() -> None:
    """Read, score, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", type=Path, metavar="TABLE.toml")
    parser.add_argument("--archives", type=Path, default=Path("archives"), metavar="FOLDER")
    parser.add_argument("--into", type=Path, metavar="PAGE.md", help="renew the table there")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every number there")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    options = parser.parse_args()
    if options.csv is not None:
        refuse_existing(options.csv, options.force)
    if options.into is not None:
        around(options.into, START, END)  # before the work, not after it
    results = score(read_rows(options.rows), options.archives)
    table = summary_table(results).render("markdown")
    if options.csv is not None:
        parts = [archive_table(scores, readable=False).render("csv") for _, scores in results]
        lines = [parts[0], *(part.partition("\n")[2] for part in parts[1:])]
        write_text("".join(lines), options.csv, overwrite=options.force)
    if options.into is not None:
        write_text(renewed(options.into, START, END, table), options.into, overwrite=True)
    else:
        print(table, end="")


if __name__ == "__main__":
    try:
        main()
    except OvertoneError as error:
        sys.exit(f"lineage_table: {in_options(str(error))}")
    except OSError as error:
        sys.exit(f"lineage_table: {error.filename}: {error.strerror}")
