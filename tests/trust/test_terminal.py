"""Hostile places: closed, full and broken streams, low limits, impossible names. Never a traceback.

Each case is a shell line; ``overtone`` is the command, and ``call.flac`` a good recording.
"""

import os
import shutil
import stat
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full and ulimit")
FULL = "No space left on device"


@pytest.fixture
def shell(tmp_path, examples_dir):
    """Run a line of shell in a folder with a recording; return its result."""
    shutil.copy(examples_dir / "speech_en_8k.flac", tmp_path / "call.flac")
    command = tmp_path / "bin" / "overtone"
    command.parent.mkdir()
    command.write_text(
        f"#!{sys.executable}\nif __name__ == '__main__':\n"
        "    from overtone.cli import main\n    main()\n"
    )
    command.chmod(0o755)

    def run(line, **variables):
        path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=os.environ | {"PATH": path} | variables,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("overtone enhance call.flac >/dev/full", 1, FULL),
        ("overtone models >/dev/full", 1, FULL),
        ("env -u PYTHONUNBUFFERED overtone models >/dev/full", 1, f"standard output: {FULL}"),
        ("overtone models >&-", 1, "Bad file descriptor"),
        ("overtone enhance call.flac -o - >/dev/full", 1, f"output cannot be written ({FULL})"),
        ("overtone enhance - -o out.wav <&-", 1, "is empty"),
        ("overtone stream <&- >out.wav", 1, "Bad file descriptor"),
        ("overtone models 2>&-", 0, ""),
        ("overtone enhance none.wav 2>/dev/full", 1, ""),
        ("overtone models | head -1", 0, ""),
        ("ulimit -n 9; overtone enhance call.flac", 1, "overtone: "),
        ("TMPDIR=/none overtone enhance - -o out.wav < call.flac", 0, ""),
        ("mkdir gone; cd gone; rmdir ../gone; overtone enhance call.flac", 1, "call.flac"),
        ("mkdir gone; cd gone; rmdir ../gone; overtone enhance ../call.flac", 1, "call.flac"),
        ("overtone enhance call.flac -o /dev/null", 1, "/dev/null"),
        ("mkfifo out.wav; overtone enhance call.flac -o out.wav -f", 1, "out.wav: is a pipe"),
        ("ln -s /dev/full out.wav; overtone enhance call.flac -o out.wav -f", 1, "is a device"),
    ],
)
def test_a_hostile_place_is_said_in_a_line(shell, tmp_path, line, code, said):
    result = shell(line)
    assert "Traceback" not in result.stderr
    assert result.returncode == code, result.stderr
    assert said in result.stderr
    assert len(result.stderr.splitlines()) <= 1
    assert not [path for path in tmp_path.rglob("*") if "overtone-tmp" in path.name]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("overtone enhance call.flac <&- >/dev/null 2>&-", 0),
        ("ulimit -n 20; overtone enhance call.flac", 0),
        ("MPLBACKEND=nonsense overtone enhance call.flac --plot", 0),
        ("ln -s loop loop; overtone enhance loop call.flac", 1),
        ("ln -s loop.wav loop.wav; overtone enhance .", 1),
        ("overtone enhance '' call.flac", 1),
        ("overtone enhance $(printf 'x%.0s' {1..300}).wav call.flac", 1),
        ("overtone enhance $'a\\e]0;b.wav' call.flac", 1),
        ("mkfifo p.wav; overtone enhance p.wav call.flac", 1),
    ],
)
def test_what_is_good_is_done_all_the_same(shell, tmp_path, line, code):
    result = shell(line)
    assert (tmp_path / "call.enhanced.flac").exists()
    assert result.returncode == code, result.stderr
    assert len(result.stderr.splitlines()) == code
    assert "\x1b" not in result.stderr


def test_a_file_that_is_replaced_keeps_its_mode(shell, tmp_path):
    out = tmp_path / "call.enhanced.flac"
    out.write_bytes(b"old")
    out.chmod(0o640)
    assert shell("umask 000; overtone enhance call.flac").returncode == 1
    assert out.read_bytes() == b"old"
    assert shell("umask 000; overtone enhance call.flac -f").returncode == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
