"""The pipes that docs/guide/hosts.md shows, run by a shell as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A folder with ``ffmpeg``, installed or out of its wheel, and this overtone."""
    found = shutil.which("ffmpeg")
    if found is None:
        found = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ffmpeg").symlink_to(found)
    (folder / "overtone").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m overtone "$@"\n')
    (folder / "overtone").chmod(0o755)
    return folder


def test_the_pipes_run(bin_folder: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guide" / "hosts.md").read_text(encoding="utf-8")
    recipe = page.partition("## With ffmpeg")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```console\n(.*?)^```$", recipe, re.MULTILINE | re.DOTALL)
    commands = [line.removeprefix("$ ") for line in "".join(blocks).splitlines()]
    call = f"-i '{ROOT}/examples/speech_en_8k.flac' -t 1"
    make = [
        f"ffmpeg -v error {call} -c:a libopus call.mka",
        f"ffmpeg -v error -f lavfi -i testsrc=s=32x32:r=5:d=1 {call} -c:a aac talk.mp4",
    ]
    script = "set -eo pipefail\n" + "\n".join(make + commands)
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name in ("call.m4a", "live.ogg", "talk-wide.mp4"):
        assert (tmp_path / name).stat().st_size > 1000, name
    assert (tmp_path / "call.raw").stat().st_size == 2 * 48000
    assert soundfile.info(tmp_path / "call.flac").frames == 48000
    assert soundfile.info(tmp_path / "live.ogg").samplerate == 48000
