"""Consoles and file systems of other makes, as far as they can be had here."""

import os
import re
import subprocess
import sys
import unicodedata

import pytest
import soundfile

from overtone import files
from overtone.audio.sources import find_sources
from overtone.errors import InvalidInputError
from overtone.inference.jobs import make_tasks

NAME = "日本 – Gespräch.wav"  # noqa: RUF001


def run(*arguments, cwd, **variables):
    return subprocess.run(
        [sys.executable, "-m", "overtone", *arguments],
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_console_encoding_will_do(tmp_path, make_tone, encoding):
    soundfile.write(tmp_path / NAME, make_tone(440, 8000, 0.2)[0], 8000)
    (tmp_path / "überhaupt.wav").write_text("nichts")
    result = run("enhance", ".", "--dry-run", cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode(encoding).count("\n") == 2
    result = run("enhance", "überhaupt.wav", cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert result.returncode == 1
    assert "is not audio" in result.stderr.decode(encoding)
    assert "Traceback" not in result.stderr.decode(encoding)


def test_what_is_written_does_not_ask_the_locale(tmp_path, make_tone):
    """Python warns of every text file opened in whatever encoding the system has."""
    soundfile.write(tmp_path / NAME, make_tone(440, 8000, 0.2)[0], 8000)
    (tmp_path / "overtone.toml").write_text('[enhance]\nsuffix = "-größer"\n', encoding="utf-8")
    program = "from overtone.cli import main; main()"
    flags = ("-X", "warn_default_encoding", "-W", "error::EncodingWarning:overtone")
    result = subprocess.run(
        [sys.executable, *flags, "-c", program, "enhance", NAME, "--html", "--json"],
        cwd=tmp_path,
        env=os.environ | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / NAME.replace(".wav", "-größer.html")).exists()


PROGRAM = """
from overtone.cli.printer import bar
with bar("enhancing") as show:
    for done in range(3):
        show(done, 4)
        show._progress.refresh()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals")
@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}])
def test_the_bar_tells_the_time_left_and_obeys_no_color(variables):
    master, terminal = os.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment | {"TERM": "xterm-256color"} | variables,
        stderr=terminal,
        timeout=60,
        check=True,
    )
    os.close(terminal)
    said = b""
    while True:
        try:
            said += (piece := os.read(master, 65536))
        except OSError:  # the other end is closed
            break
        if not piece:
            break
    os.close(master)
    assert b"4 files" in said
    assert re.search(rb"\d:\d\d:\d\d|-:--:--", said)
    coloured = re.search(rb"\x1b\[[\d;]*3[0-8]", said)
    assert bool(coloured) == (not variables)


@pytest.mark.parametrize(
    "name", ["CON", "nul.wav", "Aux.enhanced.wav", "com1.flac", "a.", "b ", "a:b.wav", "a\tb", "x?"]
)
def test_names_that_windows_would_not_keep_are_refused_there(tmp_path, monkeypatch, name):
    assert files.name_problem(name)
    monkeypatch.setattr(files, "ON_WINDOWS", True)
    with pytest.raises(InvalidInputError, match="Windows"), files.atomic_write(tmp_path / name):
        pytest.fail("it must not get so far")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["call.wav", "console.wav", "COM.wav", "com10", "a.b", NAME])
def test_other_names_are_as_good_there_as_here(tmp_path, monkeypatch, name):
    assert not files.name_problem(name)
    monkeypatch.setattr(files, "ON_WINDOWS", True)
    with files.atomic_write(tmp_path / name) as temporary:
        temporary.touch()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_outputs_that_differ_in_case_only_clash_where_that_is_one_file(tmp_path, monkeypatch):
    for name in ("a/Gespräch.wav", "b/gespräch.WAV"):
        (tmp_path / name).parent.mkdir()
        spelled = tmp_path / unicodedata.normalize("NFD" if name[0] == "a" else "NFC", name)
        spelled.write_bytes(b"1")
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    sources, _ = find_sources(folders)
    assert len(make_tasks(sources, str(tmp_path / "out"))) == 2
    monkeypatch.setattr(files, "FOLDS_NAMES", True)
    with pytest.raises(InvalidInputError, match="both be written"):
        make_tasks(sources, str(tmp_path / "out"))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_found_however_they_are_spelled(tmp_path, form):
    there = tmp_path / unicodedata.normalize(form, "Gespräch é.wav")
    there.write_bytes(b"1")
    for typed in ("NFC", "NFD"):
        name = str(tmp_path / unicodedata.normalize(typed, "Gespräch é.wav"))
        [source], failures = find_sources([name])
        assert (source.path, failures) == (there, [])
    assert find_sources([str(tmp_path / "Gespräch è.wav")])[1]


UNIX_ONLY = ("fcntl", "grp", "pwd", "resource", "termios", "posix")


def test_the_command_needs_no_module_that_only_unix_has():
    """What imports them must not stand at the top of a file on the way to any command."""
    program = (
        "import os, sys, multiprocessing, tempfile, soundfile, onnxruntime, rich.console\n"
        f"for name in {UNIX_ONLY}: sys.modules[name] = None\n"
        "import pkgutil, importlib, overtone\n"
        "rooms = 'audio dsp inference metrics cli serve report'.split()\n"
        "for room in rooms:\n"
        "    package = importlib.import_module('overtone.' + room)\n"
        "    for found in pkgutil.iter_modules(package.__path__):\n"
        "        importlib.import_module(f'overtone.{room}.{found.name}')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
