"""Notebooks: pairs of a script and an .ipynb that say the same, and scripts that run."""

import runpy
import sys
from pathlib import Path

import jupytext
import pytest
import soundfile

from overtone.cli import main

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
# What makes them quick.
SHORT = {
    "STEPS = 600": "STEPS = 2",
    "crop_frames = 184": "crop_frames = 40",
    "batch_size = 12": "batch_size = 2",
    "CUTOFFS_HZ = [4000, 8000]": "CUTOFFS_HZ = [4000]",
    "clips = 20": "clips = 1",
    '"train", "my-voice.toml",': '"train", "my-voice.toml", "--no-compile",',
}


def cells(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_pair_says_the_same(script):
    """``jupytext --sync notebooks/*.py`` mends it."""
    pair = jupytext.read(script.with_suffix(".ipynb"))
    assert cells(pair) == cells(jupytext.read(script))
    assert not any(cell.get("outputs") for cell in pair.cells)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_it_runs(script, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("examples", "checkpoints"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(ROOT / "tests" / "fakes")
    text = script.read_text(encoding="utf-8")
    if "fine_tune" in script.name:
        pytest.importorskip("torch")
        for long, short in SHORT.items():
            assert long in text, long
            text = text.replace(long, short)
        make_voice(folder / "voice")
    monkeypatch.setattr("subprocess.run", run_here)
    (folder / script.name).write_text(text, encoding="utf-8")
    # Not as __main__, which processes that the commands start would run again.
    runpy.run_path(str(folder / script.name), run_name="notebook")


def run_here(command, check):
    """Run ``python -m overtone`` in this process, which has loaded what it needs."""
    assert check
    assert command[:3] == [sys.executable, "-m", "overtone"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", command[2:])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code


def make_voice(folder):
    """Ten short recordings of one voice."""
    folder.mkdir()
    samples, rate = soundfile.read(ROOT / "examples" / "speech_en_48k.flac")
    for number in range(10):
        start = number * (samples.size - rate) // 9
        soundfile.write(folder / f"{number}.flac", samples[start : start + rate], rate)
