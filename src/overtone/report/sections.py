"""Pages that people and programs write together: the made part stands between two marks.

The marks are HTML comments, each on a line of its own. What stands outside them is never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from overtone.errors import InvalidInputError
from overtone.report.provenance import provenance


def around(page: Path, begin: str, end: str) -> tuple[str, str]:
    """What ``page`` holds up to the mark ``begin`` and from the mark ``end`` on, both included.

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
    """The text of ``page`` with ``made`` between its marks. Raises as :func:`around` does."""
    before, after = around(page, begin, end)
    return join(before, made, after)


def join(before: str, made: str, after: str) -> str:
    """A page of its three parts."""
    return f"{before}\n\n{made.rstrip()}\n\n{after}"


def made_by(command: str, facts: Mapping[str, str] | None = None) -> str:
    """What a made part opens with: its command, the day, the commit and the machine.

    ``facts`` replaces the day, commit and machine of :func:`provenance`.
    """
    facts = provenance() if facts is None else facts
    return f"Made by `{command}`:\n\n" + "".join(f"- {name}: {facts[name]}\n" for name in facts)
