"""The steps of the Dockerfile, run in a bare environment: where there is no docker, too.

It installs from the package index, so continuous integration alone runs it (CI is set).
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE_MB, MOST_MB = 130, 400  # python:slim, and the whole image


def instructions():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if re.match("[A-Z]", line)]


def test_a_container_is_not_root_and_says_whether_it_is_well():
    last = dict(instructions())
    assert last["USER"] not in ("root", "0")
    assert "/healthz" in last["HEALTHCHECK"]


@pytest.mark.skipif("CI" not in os.environ, reason="installs from the package index")
def test_what_is_copied_is_enough_to_build_and_serve(tmp_path):
    source, target = tmp_path / "source", tmp_path / "opt"
    for name, rest in instructions():
        rest = rest.replace("/opt/overtone", str(target)).replace("$EXTRAS", "serve")
        words = shlex.split(rest)
        if name == "COPY" and "--from=build" not in words:
            for word in words[:-1]:
                to = source / words[-1] / (word if words[-1] == "./" else "")
                copy = shutil.copytree if (ROOT / word).is_dir() else shutil.copyfile
                source.mkdir(exist_ok=True)
                copy(ROOT / word, to)
        if name == "RUN" and words[0] != "useradd":
            words[0] = sys.executable if words[0] == "python" else words[0]
            subprocess.run(words, cwd=source, check=True, capture_output=True, timeout=600)
    size = sum(path.stat().st_size for path in target.rglob("*") if not path.is_symlink())
    assert BASE_MB + size / 1e6 < MOST_MB
    command = json.loads(dict(instructions())["CMD"])
    environment = {"PATH": f"{target}/bin:{os.environ['PATH']}", "OVERTONE_TOKEN": "secret"}
    server = subprocess.Popen([*command, "--port", "0"], env=environment, stderr=subprocess.PIPE)
    try:
        port = server.stderr.readline().split()[-1].decode().rpartition(":")[2]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200
    finally:
        server.terminate()
        server.wait(30)
        server.stderr.close()
