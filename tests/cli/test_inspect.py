"""What ``overtone inspect`` prints, and how it ends."""

import csv
import io
import json
import sys

import pytest
import soundfile

from overtone.cli import main
from overtone.degrade.codecs import mp3_roundtrip


@pytest.fixture
def overtone(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["overtone", "inspect", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return exit_.value.code, out, err

    return run


@pytest.fixture
def recordings(tmp_path, monkeypatch, examples_dir):
    """A recording, a false lossless copy of it, and text; the working folder."""
    samples, rate = soundfile.read(examples_dir / "speech_en_48k.flac", dtype="float32")
    soundfile.write(tmp_path / "real.flac", samples, rate)
    soundfile.write(tmp_path / "false.flac", mp3_roundtrip(samples, rate, 64), rate)
    (tmp_path / "text.wav").write_text("This is not audio.")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_table_has_a_row_for_each_file(recordings, overtone):
    code, out, err = overtone(".")
    assert code == 1
    assert err.startswith("overtone: text.wav: is not audio")
    false, real = (line for line in out.splitlines() if ".flac" in line)
    assert "48 kHz 16 mono" in false
    assert "MP3 64k" in false
    assert "24 (full)" in real
    assert "MP3" not in real


def test_json_and_csv_have_every_number(recordings, overtone):
    code, out, _ = overtone("real.flac", "false.flac", "--json")
    assert code == 0
    by_name = {one["file"]: one for one in map(json.loads, out.splitlines())}
    assert by_name["false.flac"]["cause"] == "MP3 64k"
    assert by_name["real.flac"]["verdict"] == "full band"
    code, out, _ = overtone(".", "--csv")
    assert code == 1
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(out))}
    assert set(rows) == {"real.flac", "false.flac"}
    for name, row in rows.items():
        assert float(row["bandwidth_hz"]) == pytest.approx(by_name[name]["bandwidth_hz"])
        assert row["cause"] == by_name[name]["cause"]


def test_failures_are_json_too(recordings, overtone):
    code, out, _ = overtone("text.wav", "--json")
    assert code == 1
    assert set(json.loads(out)) == {"file", "error"}


def test_pictures_go_where_they_are_wanted_and_overwrite_nothing(recordings, overtone):
    code, _, err = overtone("real.flac", "--plot", "pictures")
    assert (code, err) == (0, "")
    picture = recordings / "pictures" / "real.flac.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    code, out, err = overtone("real.flac", "--plot", "pictures")
    assert code == 1
    assert "already exists; use --force" in err
    assert "real.flac" in out
    code, out, err = overtone("real.flac", "--plot", "real.flac")  # known before any work
    assert (code, out) == (1, "")
    assert err == "overtone: --plot real.flac: is a file; give a folder for the pictures\n"


def test_json_and_csv_exclude_each_other(recordings, overtone):
    code, _, err = overtone("real.flac", "--json", "--csv")
    assert code == 2
    assert "choose one" in err


def test_standard_input_is_a_file(recordings, overtone, monkeypatch):
    content = (recordings / "false.flac").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    code, out, _ = overtone("-", "--json")
    assert (code, json.loads(out)["cause"]) == (0, "MP3 64k")
    code, _, err = overtone("-", "real.flac")
    assert code == 2
    assert "must be the only one" in err
