"""Reports: sections of text, notes, tables and figures, for people and for programs.

Pages that people and programs write together keep what people wrote: the made part stands between
two marks, HTML comments on lines of their own, and only that part is replaced.
"""

import base64
import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from overtone.errors import InvalidInputError
from overtone.report.provenance import provenance
from overtone.report.tables import Table

TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class Notes:
    """Lines beside the numbers, such as their settings; ``urgent`` ones are problems."""

    lines: Sequence[str]
    urgent: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture: a file beside a Markdown page, or the bytes of a PNG inside an HTML one."""

    caption: str
    path: Path | None = None
    png: bytes = b""


Block = str | Notes | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading (empty: none) and what stands below it; ``level`` is 1 for parts of a section."""

    title: str
    blocks: Sequence[Block]
    level: int = 0


@dataclass(frozen=True)
class Report:
    """What a measurement says: a title and its sections.

    ``emphasis`` names the rows (by their first cell) that HTML shows in bold.

    Example:
        >>> report = Report("Speed", [Section("Machine", [Notes(["cores: 2"])])])
        >>> print(report.markdown(), end="")
        # Speed
        <BLANKLINE>
        ## Machine
        <BLANKLINE>
        - cores: 2
    """

    title: str
    sections: Sequence[Section]
    emphasis: Collection[str] = field(default_factory=frozenset)

    def render(self, report_format: str) -> str:
        """Return it as ``table`` (plain text), ``markdown``, ``html``, ``json`` or ``csv``.

        The formats for programs, JSON and CSV, hold the tables only, one after another.
        """
        renderers = {
            "table": self._plain,
            "markdown": self.markdown,
            "html": self.html,
            "json": self._json,
            "csv": self._csv,
        }
        if report_format not in renderers:
            known = ", ".join(renderers)
            raise InvalidInputError(f"no format {report_format!r}: choose one of {known}")
        return renderers[report_format]()

    @property
    def tables(self) -> list[Table]:
        """All tables, in order."""
        return [block for one in self.sections for block in one.blocks if isinstance(block, Table)]

    def print(self, console: Console | None = None) -> None:
        """Print it to a terminal, as :meth:`Table.print` does; figures are left out."""
        console = console or Console()

        def say(text: str) -> None:
            console.print(text, highlight=False, markup=False, soft_wrap=True)

        for section in self.sections:
            if section.title:
                say(f"{section.title}\n")
            for block in section.blocks:
                if isinstance(block, Table):
                    block.print(console)
                elif isinstance(block, Notes):
                    say("\n".join(block.lines))
                elif isinstance(block, str):
                    say(block)

    def markdown(self, *, level: int = 2, titled: bool = True) -> str:
        """Return it as Markdown, sections with ``level`` signs; ``titled`` puts the title first."""
        parts = [f"# {self.title}\n"] if titled else []
        for section in self.sections:
            if section.title:
                parts.append(f"{'#' * (level + section.level)} {section.title}\n")
            parts += [_markdown(block) for block in section.blocks]
        return "\n".join(parts)

    def html(self) -> str:
        """Return it as one HTML page that needs no other file (jinja2)."""
        import jinja2

        environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
        environment.tests["kind"] = lambda value, name: type(value).__name__ == name
        template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
        return template.render(report=self)

    def _plain(self) -> str:
        text = io.StringIO()
        self.print(Console(file=text, color_system=None))
        return text.getvalue()

    def _csv(self) -> str:
        return "\n".join(table.render("csv") for table in self.tables)

    def _json(self) -> str:
        tables = [json.loads(table.render("json")) for table in self.tables]
        content = {"title": self.title, "tables": tables}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Table):
        return block.render("markdown")
    if isinstance(block, Notes):
        return "".join(f"- {line}\n" for line in block.lines)
    if isinstance(block, Figure):
        return f"![{block.caption}]({block.path.name})\n" if block.path else ""
    return f"{block}\n"


def bare(table: Table) -> Table:
    """Return a table without its settings, where the page says them once."""
    return replace(table, settings=())


# Parts of pages that people write ----------------------------------------------------------------


def around(page: Path, begin: str, end: str) -> tuple[str, str]:
    """Return what ``page`` holds up to the mark ``begin`` and from ``end`` on, both included.

    Raises:
        InvalidInputError: the page cannot be read, or does not hold both marks once, in order.
    """
    try:
        lines = page.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{page}: not a page that can be read ({error})") from error
    if not (lines.count(begin) == lines.count(end) == 1 and lines.index(begin) < lines.index(end)):
        raise InvalidInputError(
            f"{page}: has no part to replace; put these two lines into it, once: {begin} {end}"
        )
    first, last = lines.index(begin), lines.index(end)
    return "\n".join(lines[: first + 1]), "\n".join(lines[last:])


def renewed(page: Path, begin: str, end: str, made: str) -> str:
    """Return ``page`` with ``made`` between its marks; raise as :func:`around` does."""
    before, after = around(page, begin, end)
    return join(before, made, after)


def join(before: str, made: str, after: str) -> str:
    """Return a page of its three parts."""
    return f"{before}\n\n{made.rstrip()}\n\n{after}"


def made_by(command: str, facts: Mapping[str, str] | None = None) -> str:
    """Return what a made part opens with: its command, the day, the commit and the machine.

    ``facts`` replaces the day, commit and machine of :func:`provenance`.
    """
    facts = provenance() if facts is None else facts
    return f"Made by `{command}`:\n\n" + "".join(f"- {name}: {facts[name]}\n" for name in facts)
