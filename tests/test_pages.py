"""Every made page names its command, fits what it is made of, and is the same when made again."""

import csv
import datetime
import json
import re
import runpy
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS, TOOLS = ROOT / "docs", ROOT / "tools"
METRICS, TRAINING = DOCS / "reference" / "metrics.md", DOCS / "results" / "training.md"
COMMANDS = {
    "reference/metrics.md": "python tools/metrics_page.py --into docs/reference/metrics.md",
    "results/bandwidth.md": "overtone benchmark cutoff ",
    "results/quality.md": "overtone benchmark quality ",
    "results/quality_music.md": "overtone benchmark quality ",
    "results/robustness.md": "overtone benchmark robustness ",
    "results/robustness_music.md": "overtone benchmark robustness ",
    "results/speed.md": "overtone benchmark speed ",
    "results/training.md": "python tools/training_page.py page --into docs/results/training.md",
}
WHOLE = ("results/robustness.md", "results/robustness_music.md", "results/speed.md")
MARK = re.compile(r"^<!-- (.*) -->$", re.MULTILINE)


class Done(NamedTuple):
    """What a tool said when it ended; ``error`` is empty when all went well."""

    out: str
    error: str


@pytest.fixture
def tool(monkeypatch, capsys):
    """Return ``tool(name, *arguments)``, which runs a tool as the command line does."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.syspath_prepend(str(TOOLS))
        try:
            runpy.run_path(str(TOOLS / f"{name}.py"), run_name="__main__")
        except SystemExit as stop:
            return Done(capsys.readouterr().out, str(stop.code))
        return Done(capsys.readouterr().out, "")

    return run


def lasting(text):
    """The text without what tells when and where it was made."""
    return re.sub(r"^- (date|overtone): .*$", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_made_page_names_its_command(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    assert f"Made by `{COMMANDS[name]}" in text
    assert "\n- processor: " in text or name == "results/training.md"  # each log names its own
    assert f"docs/{name}" in text


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - set(WHOLE)))
def test_made_parts_stand_between_marks_and_are_dated(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    marks = MARK.findall(text)
    assert marks
    assert len(marks) == len(set(marks))
    assert all(mark.startswith("end of") == bool(place % 2) for place, mark in enumerate(marks))
    made = re.findall(r"Made by `.*`:\n\n- date: (.*)\n- overtone: .*commit", text)
    assert len(made) == len(marks) // 2
    for day in made:
        datetime.date.fromisoformat(day)


@pytest.mark.parametrize("page", [METRICS, TRAINING], ids=["metrics", "training"])
def test_a_page_fits_what_it_is_made_of_and_does_not_change_when_made_again(
    page, tool, tmp_path, monkeypatch
):
    monkeypatch.chdir(ROOT)
    name = page.relative_to(DOCS).as_posix()
    words = ["page"] if page == TRAINING else []
    copy = tmp_path / page.name
    shutil.copy(page, copy)
    for _ in range(2):
        assert not tool(f"{page.stem}_page", *words, "--into", copy).error
        made, kept = (path.read_text(encoding="utf-8") for path in (copy, page))
        assert lasting(made) == lasting(kept), f"make docs/{name} anew: {COMMANDS[name]}"


# The runs of training.md ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A run of the AudioUNet family and one by cutoffs, and an empty folder to keep them in."""
    (tmp_path / "kept").mkdir()
    patches = [
        {"label": label, "kuleshov_snr_db": snr_db, "kuleshov_lsd": 4.0, "lsd": 2.0}
        for label, snr_db in (("spline", 15.0), ("tfilm", 16.26), ("gain", 1.26))
    ]
    cutoffs = [
        {"label": f"{hz}Hz", "lsd": lsd, "snr": 20.0, "input_lsd": 3.0, "input_snr": 21.0}
        for hz, lsd in ((2000, 1.0), (4000, 0.5))
    ]
    for name, rows in (("tfilm", patches), ("extender", cutoffs)):
        (tmp_path / name / "best").mkdir(parents=True)
        recipe = {"name": name, "network": name, "description": f"About {name}"}
        (tmp_path / name / "best" / "config.json").write_text(json.dumps(recipe))
        records = [{"step": step, "seconds": 3.0 * step, "loss": {"total": 1}} for step in (20, 40)]
        records.append({"step": 40, "seconds": 150, "validation": rows, "score": 1.0})
        lines = [json.dumps(record) + "\n" for record in records]
        (tmp_path / name / "log.jsonl").write_text("".join(lines))
    return tmp_path


@pytest.fixture
def runs(folder, tool, monkeypatch):
    """Return a function that runs the tool on the folder's runs."""
    monkeypatch.chdir(folder)
    return lambda *arguments: tool("training_page", "--runs", "kept", *arguments)


def test_runs_are_kept_and_tabled_with_their_cost_and_verdict(folder, runs):
    for name in ("tfilm", "extender"):
        assert not runs("keep", name, "--as", f"my_{name}").error
    words = 'my_tfilm = "worth it"\nmy_extender = "a | b"\n'
    (folder / "kept" / "verdicts.toml").write_text(words)
    text = runs("page").out
    cells = [line.split(" | ") for line in text.splitlines() if line.startswith("| my_")]
    cost = ["40", "2", "3.00"]
    one, other = "16.26 / 4.00 / 2.00", "0.75 / 20.0"
    assert cells == [
        ["| my_tfilm", "tfilm", *cost, "15.00 / 4.00 / 2.00", one, "40", one, "worth it |"],
        ["| my_extender", "extender", *cost, "3.00 / 21.0", other, "40", other, r"a \| b |"],
    ]
    # The order is that of the verdicts.
    assert text.index("| my_tfilm") < text.index("| my_extender")


def test_ablations_are_told_by_what_differs_from_the_first(folder, runs):
    ablations = folder / "kept" / "ablations"
    ablations.mkdir()
    corpora = [{"name": "a", "weight": 1.0}, {"name": "b", "weight": 1e-9}]
    for name, blocks in (("base", 8), ("deep", 12)):
        recipe = {"name": name, "network": "extender", "corpora": corpora}
        recipe |= {"model": {"blocks": blocks}, "optimiser": {"steps": 40}}
        path = folder / "extender" / "best" / "config.json"
        path.write_text(json.dumps(recipe))
        error = runs("--runs", ablations, "keep", "extender", "--as", name).error
        assert not error
        corpora[1]["weight"] = 1.0
    (ablations / "verdicts.toml").write_text('base = "as it is"\ndeep = "no gain"\n')
    runs("keep", "tfilm", "--as", "a_run")
    page = folder / "page.md"
    marks = [line for line in TRAINING.read_text().splitlines() if "training_page.py" in line]
    page.write_text("\n".join(line for line in marks if line.startswith("<!--")))
    assert not runs("page", "--into", page).error
    assert "2 runs, a row each: [ablations.csv](ablations.csv)" in page.read_text()
    rows = list(csv.reader((folder / "ablations.csv").open()))
    assert [row[:4] for row in rows[1:]] == [
        ["base", "-", "3.0", "0.75 / 20.0"],
        ["deep", "corpora a-b, blocks 12", "3.0", "0.75 / 20.0"],
    ]
    assert [row[4:] for row in rows[1:]] == [["1.0", "0.5", "as it is"], ["1.0", "0.5", "no gain"]]


@pytest.mark.parametrize(
    ("verdicts", "arguments", "message"),
    [
        ("", ["keep", "none"], "none/log.jsonl: no log"),
        ("", ["keep", "tfilm", "--as", "a/b"], "--as a/b: use letters"),
        ("", ["keep", "tfilm", "--as", "there"], "there.jsonl: already exists; use --force"),
        ("", ["page", "--into", "page.md"], "page.md: has no part to replace"),
        ('gone = "a run"', ["page"], "verdicts.toml: gone: no gone.jsonl beside it"),
        ("there = 3", ["page"], "verdicts.toml: there: give one line"),
        ("there", ["page"], "verdicts.toml: not a TOML file"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(folder, runs, verdicts, arguments, message):
    runs("keep", "tfilm", "--as", "there")
    (folder / "kept" / "verdicts.toml").write_text(verdicts)
    (folder / "page.md").write_text("mine\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    error = runs(*arguments).error
    assert error.startswith("training_page: ")
    assert message in error
    assert "\n" not in error
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_folder_of_no_runs_is_named(runs):
    assert runs("page").error.startswith("training_page: kept: no kept run; keep one")


# The check of metrics.md ------------------------------------------------------------------------


def test_a_check_without_its_clips_leaves_the_page_alone(tool, tmp_path):
    page = tmp_path / METRICS.name
    shutil.copy(METRICS, page)
    error = tool("metrics_page", "--into", page, "--bench", tmp_path).error
    assert error.startswith("metrics_page: ")
    assert "no audio file there" in error
    assert page.read_bytes() == METRICS.read_bytes()
