"""The tool that makes the README's table renews it in place, and changes nothing else."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from overtone.data.archive import ArchiveInfo, Piece, Source, write_archive
from overtone.data.patches import PatchSettings

TOOLS = Path(__file__).resolve().parent.parent / "tools"
PAGE = "before\n<!-- lineage table -->\nold\n<!-- end of lineage table -->\nafter\n"
ROWS = '[[row]]\ndataset = "noise"\narchive = "x.h5"\nmethods = ["soxr", "copy-up"]\n'


@pytest.fixture
def folder(tmp_path, rng):
    settings = PatchSettings(scale=4, dimension=2048, stride=2048, interpolate=True)
    high = rng.standard_normal((4, 2048)).astype(np.float32)
    pieces = [Piece(n, np.zeros(1, int), high[n : n + 1] / 2, high[n : n + 1]) for n in range(4)]
    info = ArchiveInfo(corpus="noise", split="all", split_rule="all", settings=settings)
    sources = [Source(f"{n}.wav", str(n) * 64) for n in range(4)]
    write_archive(tmp_path / "x.h5", info, sources, [2048] * 4, iter(pieces))
    (tmp_path / "table.toml").write_text(ROWS)
    (tmp_path / "page.md").write_text(PAGE)
    return tmp_path


def run(folder, *options):
    command = [
        sys.executable,
        TOOLS / "lineage_table.py",
        "table.toml",
        "--archives",
        ".",
        *options,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_table_is_renewed_between_its_marks(folder):
    result = run(folder, "--into", "page.md", "--csv", "all.csv")
    assert result.returncode == 0, result.stderr
    lines = (folder / "page.md").read_text(encoding="utf-8").splitlines()
    assert (lines[0], lines[1], lines[-2], lines[-1]) == (
        "before",
        "<!-- lineage table -->",
        "<!-- end of lineage table -->",
        "after",
    )
    assert [line.split(" | ")[4] for line in lines if line.startswith("| noise")] == [
        "soxr",
        "copy-up",
    ]
    assert len((folder / "all.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 4


def test_what_is_wrong_is_said_before_the_work_and_the_page_kept(folder):
    (folder / "page.md").write_text("no marks\n")
    result = run(folder, "--into", "page.md")
    assert result.returncode == 1
    assert result.stderr.startswith("lineage_table: page.md: has no part to replace")
    assert (folder / "page.md").read_text() == "no marks\n"
    (folder / "table.toml").write_text(ROWS + 'metric = "lsd"\n')
    result = run(folder)
    assert result.returncode == 1
    assert result.stderr.startswith("lineage_table: table.toml: row.0.metric: Extra inputs")


def test_the_shipped_rows_can_be_read(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    from lineage_table import read_rows

    assert len(read_rows(TOOLS / "lineage_table.toml")) == 3
