"""Watched folders: what still grows waits, what is whole is enhanced once, Ctrl-C is an end."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import soundfile

from overtone.cli import watch
from overtone.cli.watch import settled

pytest.importorskip("watchfiles")


@pytest.fixture
def looks(tmp_path, monkeypatch):
    """Return what a look at the folder ``in`` finds, and let a second pass before each."""
    now = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])

    def changes():
        while True:
            now[0] += 1
            yield {"something"}

    def look(output=None, mark=None):
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        found = settled([str(folder)], output, mark, changes())
        return lambda: [source.path.name for source in next(found)]

    return look


def test_a_file_is_handed_on_when_it_has_stopped_growing(looks, tmp_path):
    look = looks()
    growing, whole = tmp_path / "in" / "growing.wav", tmp_path / "in" / "whole.wav"
    growing.write_bytes(b"1")
    whole.write_bytes(b"1")
    (tmp_path / "in" / "empty.wav").touch()
    (tmp_path / "in" / "text.txt").write_text("no audio")
    (tmp_path / "in" / "old.enhanced.wav").write_bytes(b"1")

    def grow(number, path=growing):
        path.write_bytes(b"1" * number)

    real = watch.find_sources
    times = iter(range(2, 100))

    def find(*arguments, **options):
        number = next(times)
        if number < 8:
            grow(number)
        return real(*arguments, **options)

    watch.find_sources = find
    try:
        assert look() == ["whole.wav"]
        assert look() == ["growing.wav"]
        assert next(times) >= 10  # two looks after it had stopped
        grow(100)
        assert look() == ["growing.wav"]  # its new state is another file
    finally:
        watch.find_sources = real


def test_results_are_not_taken_for_recordings(looks, tmp_path):
    look = looks(output=str(tmp_path / "in" / "out"), mark=".wide")
    (tmp_path / "in" / "out").mkdir()
    for name in ("out/a.wav", "b.wide.wav", "c.wav"):
        (tmp_path / "in" / name).write_bytes(b"1")
    assert look() == ["c.wav"]


def test_what_comes_is_enhanced_until_ctrl_c(tmp_path, examples_dir):
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(examples_dir / "speech_en_8k.flac", folder / "first.flac")
    command = [sys.executable, "-m", "overtone", "enhance", str(folder), "--watch", "-o", str(out)]
    process = subprocess.Popen(
        command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        _wait_for(process, out / "first.flac")
        (folder / "deep" / "second.wav").write_text("no audio")
        shutil.copy(examples_dir / "speech_en_8k.flac", folder / "deep" / "third.flac")
        _wait_for(process, out / "deep" / "third.flac")
    finally:
        process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors  # for the second
    assert errors.count("\n") == 1
    assert "second.wav: is not audio" in errors
    assert said.count("\n") == 2
    assert soundfile.info(out / "deep" / "third.flac").samplerate == 48000


def _wait_for(process, path):
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)


def test_only_folders_can_be_watched(tmp_path):
    with pytest.raises(ValueError, match=r"x\.wav: no folder"):
        next(watch.arrivals([str(tmp_path / "x.wav")], None, None))
