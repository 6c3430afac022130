"""Tables: written once, rendered for the terminal, Markdown, CSV or JSON.

A table carries the settings behind its numbers into every format.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from overtone.errors import InvalidInputError

NOT_DEFINED = "n/a"


@dataclass(frozen=True, slots=True)
class Sound:
    """A cell to hear: the bytes of a FLAC file. Where nothing can be heard it is empty."""

    flac: bytes


Cell = str | int | float | Sound | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the key of its cells, its head, the decimals of its numbers.

    ``of`` makes a cell from one of the items that :meth:`Table.of` lists; without it the item's
    attribute ``key`` is the cell.
    """

    key: str
    label: str
    decimals: int = 2
    of: Callable[[Any], Cell] | None = None

    def text(self, cell: Cell) -> str:
        """Return a cell as printed; numbers that do not exist become ``n/a``."""
        if cell is None or isinstance(cell, Sound):
            return ""
        if isinstance(cell, float):
            return f"{cell:.{self.decimals}f}" if math.isfinite(cell) else NOT_DEFINED
        return str(cell)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of named cells, an optional summary row, and the settings that made the numbers.

    The first column names the row. ``None`` and ``nan`` cells are empty or ``n/a`` in print, empty
    in CSV, null in JSON, which both keep six decimals.
    """

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Cell]]
    summary: Mapping[str, Cell] | None = None
    settings: Sequence[str] = ()

    @classmethod
    def of(
        cls, items: Iterable[Any], columns: Sequence[Column], settings: Sequence[str] = ()
    ) -> "Table":
        """Return a table with a row for each item, its cells as the columns make them.

        Example:
            >>> half = lambda number: number / 2
            >>> table = Table.of([1, 2], [Column("n", "n", of=str), Column("h", "half", of=half)])
            >>> print(table.render("csv"), end="")
            n,h
            1,0.5
            2,1.0
        """
        rows = [
            {one.key: one.of(item) if one.of else getattr(item, one.key) for one in columns}
            for item in items
        ]
        return cls(columns, rows, settings=settings)

    def render(self, table_format: str) -> str:
        """Return the table as text: ``table``, ``markdown``, ``csv`` or ``json``."""
        renderers = {
            "table": self._plain,
            "markdown": self._markdown,
            "csv": self._csv,
            "json": self._json,
        }
        if table_format not in renderers:
            known = ", ".join(renderers)
            raise InvalidInputError(f"no table format {table_format!r}: choose one of {known}")
        return renderers[table_format]()

    def print(self, console: Console | None = None) -> None:
        """Print to a terminal; columns that do not fit its width continue in further blocks.

        Away from a terminal (a pipe, a file) nothing is folded. A single row is printed as a list.
        """
        console = console or Console()
        if not console.is_terminal:
            console.width = sum(map(self._width, self.columns))
        if len(self.rows) == 1 and self.summary is None:
            self._print_list(console)
        else:
            for columns in self._blocks(console.width):
                self._print_block(console, columns)
        for line in self.settings:
            console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)

    def _all_rows(self) -> list[Mapping[str, Cell]]:
        return [*self.rows, *([self.summary] if self.summary is not None else [])]

    def _blocks(self, width: int) -> list[list[Column]]:
        """Split the columns into blocks that fit ``width``, each led by the first column."""
        head, *others = self.columns
        blocks, room = [[head]], width - self._width(head)
        for column in others:
            if self._width(column) > room and len(blocks[-1]) > 1:
                blocks.append([head])
                room = width - self._width(head)
            blocks[-1].append(column)
            room -= self._width(column)
        return blocks

    def _width(self, column: Column) -> int:
        texts = [column.label, *(column.text(row.get(column.key)) for row in self._all_rows())]
        return max(map(len, texts)) + 3  # rich: a space on each side and one between columns

    def _print_block(self, console: Console, columns: Sequence[Column]) -> None:
        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for index, column in enumerate(columns):
            table.add_column(Text(column.label), justify="right" if index else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*(Text(column.text(row.get(column.key))) for column in columns))
        if self.summary is not None:
            table.add_section()
            cells = (column.text(self.summary.get(column.key)) for column in columns)
            table.add_row(*map(Text, cells), style="bold")
        console.print(table)
        console.print()

    def _print_list(self, console: Console) -> None:
        head, *others = self.columns
        texts = [column.text(self.rows[0].get(column.key)) for column in others]
        label_width = max((len(column.label) for column in others), default=0)
        value_width = max(map(len, texts), default=0)
        lines = [head.text(self.rows[0].get(head.key)), ""]
        for column, text in zip(others, texts, strict=True):
            lines.append(f"  {column.label:<{label_width}}  {text:>{value_width}}")
        for line in [*lines, ""]:
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _plain(self) -> str:
        text = io.StringIO()
        self.print(Console(file=text, color_system=None))
        return text.getvalue()

    def _markdown(self) -> str:
        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

        lines = [line([column.label for column in self.columns])]
        lines.append("|---|" + "---:|" * (len(self.columns) - 1))
        for row in self.rows:
            lines.append(line([column.text(row.get(column.key)) for column in self.columns]))
        if self.summary is not None:
            cells = [column.text(self.summary.get(column.key)) for column in self.columns]
            lines.append(line([f"**{cell}**" if cell else "" for cell in cells]))
        if self.settings:
            lines += ["", *(f"- {setting}" for setting in self.settings)]
        return "\n".join(lines) + "\n"

    def _csv(self) -> str:
        """Return CSV whose last column repeats the settings: comment lines would break parsers."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        settings = ["settings"] if self.settings else []
        writer.writerow([*(column.key for column in self.columns), *settings])
        for row in self._all_rows():
            cells = [_exact(row.get(column.key)) for column in self.columns]
            writer.writerow([*cells, *([" / ".join(self.settings)] if settings else [])])
        return text.getvalue()

    def _json(self) -> str:
        rows = [
            {column.key: _exact(row.get(column.key)) for column in self.columns}
            for row in self._all_rows()
        ]
        content: dict[str, object] = {"settings": list(self.settings), "rows": rows}
        if self.summary is not None:
            content |= {"rows": rows[:-1], "summary": rows[-1]}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _exact(cell: Cell) -> str | int | float | None:
    if isinstance(cell, Sound):
        return None
    if isinstance(cell, float):
        return round(cell, 6) if math.isfinite(cell) else None
    return cell
