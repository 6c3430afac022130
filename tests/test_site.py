"""The documentation site's tool, without MkDocs, and the figures of the idea."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tool(tmp_path, monkeypatch):
    tool = load("build_site")
    for name in ("SOURCES", "SITE"):
        monkeypatch.setattr(tool, name, tmp_path / name.lower())
    return tool


def test_a_page_brings_what_it_links_to(tool):
    tool.lay_out(ROOT / "README.md")
    pages = {path.relative_to(tool.SOURCES).as_posix() for path in tool.SOURCES.rglob("*.*")}
    assert {"docs/guide/use.md", "docs/images/studio.png", "docs/results/speed.svg"} <= pages
    assert "notebooks/1_enhance_and_listen.md" in pages
    gallery = (tool.SOURCES / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert gallery.count("<audio ") == 11
    assert "](../examples/gallery/call/picture.png)" in gallery
    readme = (tool.SOURCES / "README.md").read_text(encoding="utf-8")
    assert "](notebooks/1_enhance_and_listen.md)" in readme
    training = (tool.SOURCES / "docs" / "guide" / "training.md").read_text(encoding="utf-8")
    assert "its recipe in `configs/`, stage" in training  # a folder has no page


def test_links_that_lead_nowhere_are_named(tool):
    tool.SITE.mkdir()
    one, other = tool.SITE / "one.html", tool.SITE / "other.html"
    one.write_text(
        '<p id="here"><a href="#here">.</a> <a href="other.html#there">.</a>'
        ' <a href="https://example.org/none">.</a> :class:<code>~a.B</code>'
        ' <a href="other.html#gone">.</a> <img src="gone.png"> <audio src="no%20sound.flac">'
    )
    other.write_text('<h1 id="there">.</h1>')
    pages = {page: tool.Links(page) for page in (one, other)}
    assert pages[other].lost(pages) == []
    assert pages[one].lost(pages) == [
        f"one.html: {link} leads nowhere"
        for link in ("other.html#gone", "gone.png", "no%20sound.flac")
    ]
    assert "<code>B</code>" in one.read_text()
    assert ":class:" not in one.read_text()


def test_every_public_name_is_in_the_reference(tool):
    import overtone

    page = tool.reference()
    assert all(f"::: overtone.{name}\n" in page for name in set(overtone.__all__) - {"__version__"})


def test_the_figures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    load("idea_figures").main(tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {path.name for path in (ROOT / "docs" / "images").glob("idea_*.png")}
