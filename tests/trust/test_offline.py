"""overtone calls nobody: it looks no name up, and writes nothing but what it was asked for."""

import os
import shutil
import subprocess
import sys

import pytest

RECORDER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
static void note(const char *what) {
    int file = open(getenv("LOOKUPS"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (what && write(file, what, strlen(what)) + write(file, "\n", 1) < 0) abort();
    close(file);
}
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    note(node);
    return EAI_FAIL;
}
struct hostent *gethostbyname(const char *name) { note(name); return 0; }
int connect(int file, const struct sockaddr *address, socklen_t length) {
    note(address->sa_family == AF_UNIX ? 0 : "connect");
    return -1;
}
"""
COMMAND = "from overtone.cli import main; main()"
LIBRARY = """
import sys, time, numpy, overtone
overtone.enhance(numpy.random.default_rng(0).normal(0, 0.1, 8000).astype('f4'), 8000)
time.sleep(1)
"""
CONTROL = "import socket; socket.getaddrinfo('example.org', 80)"


@pytest.fixture(scope="module")
def recorder(tmp_path_factory):
    """Return a library that, loaded before all others, records look-ups and connections."""
    if sys.platform != "linux" or not shutil.which("cc"):
        pytest.skip("records look-ups with a C library put before the system's")
    folder = tmp_path_factory.mktemp("recorder")
    (folder / "recorder.c").write_text(RECORDER)
    library = folder / "recorder.so"
    command = ["cc", "-shared", "-fPIC", "-o", library, folder / "recorder.c"]
    subprocess.run(command, check=True)
    return library


@pytest.fixture
def run_recorded(recorder, tmp_path):
    """Run Python under a fresh HOME; return what it looked up and which files it left there."""

    def run(code, *arguments):
        home, lookups = tmp_path / "home", tmp_path / "lookups"
        home.mkdir()
        clean = {k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "TMPDIR")}
        clean.pop("ORT_DISABLE_TELEMETRY", None)
        environment = {"HOME": str(home), "TMPDIR": str(home), "LD_PRELOAD": str(recorder)}
        result = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=clean | environment | {"LOOKUPS": str(lookups)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        found = lookups.read_text().split() if lookups.exists() else []
        return result, found, sorted(path for path in home.rglob("*"))

    return run


def test_the_recorder_records(run_recorded):
    _, lookups, _ = run_recorded(CONTROL)
    assert lookups == ["example.org"]


def test_enhancing_a_file_looks_nothing_up_and_leaves_no_other_file(
    run_recorded, examples_dir, tmp_path
):
    shutil.copy(examples_dir / "speech_en_8k.flac", tmp_path / "call.flac")
    result, lookups, left = run_recorded(COMMAND, "enhance", "call.flac")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "call.enhanced.flac").exists()
    assert (lookups, left) == ([], [])


def test_the_library_looks_nothing_up_and_leaves_no_file(run_recorded):
    result, lookups, left = run_recorded(LIBRARY)
    assert result.returncode == 0, result.stderr
    assert (lookups, left) == ([], [])
