"""Build the documentation site in site/: ``python tools/build_site.py``, or ``make site``.

The site's pages are the repository's own, in the same folders, so that their links hold. They are
laid out in build/site, with the files that they link to, links to sounds as players, the notebooks
as pages, and a reference of the public names. MkDocs builds that, strictly; then every link,
picture and sound of every page must lead somewhere. mkdocs.yml has only what Zensical reads, too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import jupytext

import overtone

ROOT = Path(__file__).resolve().parent.parent
SOURCES, SITE = ROOT / "build" / "site", ROOT / "site"
LINK = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
# Sphinx's roles, as MkDocs renders them.
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):<code>(?:~[\w.]+\.)?([\w.]+)</code>")
FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
SOUNDS = (".flac", ".wav", ".mp3")


def main() -> None:
    """Lay the pages out, build them, and follow the links."""
    shutil.rmtree(SOURCES, ignore_errors=True)
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))):
        lay_out(page)
    save(Path("docs/reference/api.md"), reference())
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    quiet = {"NO_MKDOCS_2_WARNING": "1"}  # of what MkDocs may become one day
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | quiet)
    pages = {page: Links(page) for page in SITE.rglob("*.html")}
    lost = [line for links in pages.values() for line in links.lost(pages)]
    sys.exit("\n".join(lost) if lost else None)


def save(path: Path, text: str) -> None:
    """Write a page, ``path`` within the sources."""
    target = SOURCES / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def lay_out(path: Path) -> None:
    """Copy a file, and, if it is a page or a notebook, what it links to."""
    notebook = path.suffix == ".ipynb"
    target = (SOURCES / path.relative_to(ROOT)).with_suffix(".md" if notebook else path.suffix)
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix != ".md":
        shutil.copyfile(path, target)
        return
    target.touch()  # pages link to each other

    def follow(link: re.Match[str]) -> str:
        picture, text, to, anchor = link.groups()
        linked = (path.parent / unquote(to)).resolve()
        if linked.is_dir():  # there are no pages of folders
            return text
        lay_out(linked)
        if linked.suffix in SOUNDS and not picture:
            return f'<audio controls preload="none" style="width: 15em" src="{to}"></audio>'
        if linked.suffix == ".ipynb":
            return f"[{text}]({to.removesuffix('.ipynb')}.md{anchor or ''})"
        return link[0]

    text = path.read_text(encoding="utf-8")
    if notebook:
        text = FRONT.sub("", jupytext.writes(jupytext.reads(text, "ipynb"), "md"))
    save(target.relative_to(SOURCES), LINK.sub(follow, text))


def reference() -> str:
    """Return the page that mkdocstrings fills."""
    names = [f"overtone.{name}" for name in overtone.__all__ if name != "__version__"]
    others = ["inference.EnhanceReport", "inference.ModelInfo", "inference.Outcome", "errors"]
    names += [f"overtone.{name}" for name in others] + ["overtone.metrics"]
    return "# Public names\n\n" + "".join(f"::: {name}\n\n" for name in names)


class Links(HTMLParser):
    """What a page links to and shows, and the anchors that it has; roles are made plain."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.page, self.found, self.anchors = page, list[str](), set[str]()
        text = page.read_text(encoding="utf-8")
        plain = ROLE.sub(r"<code>\1</code>", text)
        if plain != text:
            page.write_text(plain, encoding="utf-8")
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        """Collect; ``HTMLParser`` calls it."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.found.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)

    def lost(self, pages: dict[Path, Links]) -> list[str]:
        """Return a line for each link that leads nowhere."""
        lines = []
        for link in self.found:
            path, _, anchor = link.partition("#")
            if ":" in path or self.page.name == "404.html":
                continue
            target = (self.page.parent / unquote(path)).resolve() if path else self.page
            target = target / "index.html" if target.is_dir() else target
            anchored = not anchor or target not in pages or unquote(anchor) in pages[target].anchors
            if not target.exists() or not anchored:
                lines.append(f"{self.page.relative_to(SITE)}: {link} leads nowhere")
        return lines


if __name__ == "__main__":
    main()
