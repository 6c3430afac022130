"""A decoder that crashes, or never ends, ends one file; the batch goes on and nothing is left."""

import os
import shutil
import subprocess
import sys

import pytest

COMMAND = "from overtone.cli import main; main()"
# Loaded by every Python that is started: a decoder that what is in the file can bring down.
SABOTAGE = """
import os, signal, sys, time
import soundfile

opened = soundfile.SoundFile.__init__

def __init__(self, file, *others, **options):
    if not others:
        start = file.read(5)
        file.seek(0)
        if start == b"CRASH":
            os.write(2, b"decoder: assertion failed\\n")
            os.kill(os.getpid(), signal.SIGSEGV)
        if start == b"HANGS":
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            time.sleep(1000)
    opened(self, file, *others, **options)

soundfile.SoundFile.__init__ = __init__
"""


@pytest.fixture
def run(tmp_path, examples_dir):
    """Run the command over damaged files and a good one, in this order."""
    (tmp_path / "sitecustomize.py").write_text(SABOTAGE)
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(examples_dir / "speech_en_8k.flac", folder / "z.flac")

    def run(contents, *options, act=()):
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
        command = [sys.executable, "-c", COMMAND, *options]
        return subprocess.run(
            [*command, *(act or ["enhance", str(folder), "-o", str(tmp_path / "out")])],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_a_crash_ends_one_file_in_one_line(run, tmp_path):
    result = run({"a.wav": b"CRASH" * 100, "b.wav": b"CRASH" * 100})
    assert result.returncode == 1
    errors = result.stderr.splitlines()
    assert len(errors) == 2  # and not a word of the decoder's
    for name, line in zip("ab", errors, strict=True):
        assert line.startswith(f"overtone: {tmp_path}/in/{name}.wav: ")
        assert "SIGSEGV" in line
        assert "convert it to .wav" in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["z.flac"]


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_what_never_ends_is_given_up_and_verbose_shows_the_decoder(run, tmp_path):
    act = ["enhance", tmp_path / "in", "-o", tmp_path / "out", "--timeout", "15"]
    result = run({"a.wav": b"HANGS" * 100, "b.wav": b"CRASH" * 100}, "-v", act=act)
    assert result.returncode == 1
    assert "a.wav: not done within 15 s, the timeout" in result.stderr
    assert "decoder: assertion failed" in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"z.flac"}


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_prepare_names_what_crashed(run, tmp_path):
    pytest.importorskip("h5py")
    act = [
        "prepare",
        "folder",
        tmp_path / "in",
        "-o",
        tmp_path / "x.h5",
        "--validation",
        "0",
        "--rate",
        "8000",
    ]
    result = run({"a.wav": b"CRASH" * 100, "b.wav": b"CRASH" * 100}, act=act)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "2 of 3 recordings cannot be used" in result.stderr
    assert "a.wav" in result.stderr
    assert "b.wav" in result.stderr
