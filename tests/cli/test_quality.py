"""``overtone benchmark quality`` as a user meets it: tables, files, one line for what is wrong."""

import json
import sys

import numpy as np
import pytest
import soundfile

from overtone.cli import main


@pytest.fixture
def suite(tmp_path, examples_dir):
    """Two clips of half a second of speech."""
    samples, rate = soundfile.read(examples_dir / "speech_en_48k.flac")
    for index in range(2):
        case = tmp_path / "clips" / f"speech-{index}"
        case.mkdir(parents=True)
        start = (1 + index) * rate // 2
        soundfile.write(case / "reference.wav", samples[start : start + rate // 2], rate)
    return tmp_path / "clips"


@pytest.fixture
def quality(monkeypatch, capsys):
    def run(*arguments):
        command = ["overtone", "benchmark", "quality", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code, *capsys.readouterr()

    return run


def test_a_folder_gives_tables_and_files(quality, suite, tmp_path):
    out = tmp_path / "out"
    page = tmp_path / "quality.md"
    code, text, err = quality(
        suite, "--decimate", 3, "-m", "speech", "-o", out, "--clips", 0, "--markdown", page
    )
    assert code == 0, err
    for word in ("speech", "soxr", "spline", "copy-up", "minus soxr", "CPU-s per s", "Hann 2048"):
        assert word in text
    found = json.loads((out / "results.json").read_text())
    means = {row["system"]: row["means"]["lsd"]["value"] for row in found["sets"]}
    assert means["speech"] < min(means["soxr"], means["spline"])
    assert (
        "overtone benchmark quality clips -m speech --decimate 3 --markdown quality.md"
        in page.read_text()
    )
    assert str(tmp_path) not in (out / "summary.md").read_text() + page.read_text()
    again = quality(suite, "--decimate", 3, "-o", out)
    assert again[0] == 1
    assert "already exists; use --force" in again[2]


def test_what_is_skipped_is_named_and_the_exit_code_says_so(quality, suite):
    silent = suite / "speech-1" / "reference.wav"
    soundfile.write(silent, np.zeros(24000), 48000)
    code, text, err = quality(suite, "--decimate", 6, "-m", "speech")
    assert code == 1
    assert err.count("\n") == 1
    assert f"overtone: speech/speech-1: skipped, {silent}: silent" in err
    assert "speech" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "missing: no such folder or TOML file"),
        (["SUITE"], "exit"),
        (["SUITE", "--decimate", "2", "--versus", "nobody"], "--versus nobody: no such system"),
        (["SUITE", "--decimate", "2", "-m", "no model"], "no model 'no model'"),
        (["SUITE", "--decimate", "2", "--markdown", "none/a.md"], "the folder none does not exist"),
        (["SUITE", "--decimate", "2", "-f", "--markdown", "SUITE"], "is a folder"),
    ],
)
def test_mistakes_are_one_line(quality, suite, arguments, message):
    code, text, err = quality(*[suite if word == "SUITE" else word for word in arguments])
    assert code == 1
    assert "Traceback" not in err
    if message != "exit":
        assert message in err
        assert (text, err.count("\n")) == ("", 1)
    else:
        assert text == ""
        assert err.count("--decimate 4 makes one") == 2
