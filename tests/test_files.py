import os
import socket
import subprocess
import sys
from hashlib import sha256

import pytest

from overtone.errors import AudioFileError, InvalidInputError
from overtone.files import (
    TEMPORARY_SUFFIX,
    atomic_write,
    find_files,
    refuse_existing,
    sha256_of,
    sweep,
    temporary_folder,
    temporary_path,
)


def test_temporary_names_are_hidden_differ_and_fit_any_file_system(tmp_path):
    path = tmp_path / ("ü" * 120 + ".wav")
    first, second = temporary_path(path), temporary_path(path)
    assert first != second
    assert first.parent == tmp_path
    assert first.name.startswith(".")
    assert str(os.getpid()) in first.name
    assert len(os.fsencode(first.name)) < 255


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "scores.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("9.5 dB")
        assert not path.exists()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "9.5 dB"


def test_what_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "scores.txt"
    path.write_text("old")

    def fail():
        with atomic_write(path, overwrite=True) as temporary:
            temporary.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_write(link, overwrite=True) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_existing_files_are_refused_by_the_error_asked_for(tmp_path):
    path = tmp_path / "a.wav"
    refuse_existing(path)
    path.touch()
    refuse_existing(path, overwrite=True)
    with pytest.raises(InvalidInputError, match=r"a\.wav: already exists; use overwrite=True"):
        refuse_existing(path)
    with pytest.raises(AudioFileError):
        refuse_existing(path, error=AudioFileError)


def test_an_output_that_is_an_input_is_refused_even_when_forced(tmp_path):
    path, link, other = (tmp_path / name for name in ("a.wav", "b.wav", "c.wav"))
    path.touch()
    link.hardlink_to(path)
    refuse_existing(path, overwrite=True, inputs=[other, None, "\0"])
    for inputs in ([path], [other, link]):
        with pytest.raises(InvalidInputError, match=r"a\.wav: is also an input"):
            refuse_existing(path, overwrite=True, inputs=inputs)


def test_files_are_found_in_order_without_hidden_and_excluded_ones(tmp_path):
    for name in ("b.wav", "a.WAV", "c.txt", ".d.wav", "in/e.wav", ".git/f.wav", "out/g.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_files(tmp_path, {".wav"}, exclude=tmp_path / "out")
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a.WAV", "b.wav", "in/e.wav"]


def test_the_hash_is_that_of_the_content(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"overtone")
    assert sha256_of(path) == sha256(b"overtone").hexdigest()


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    with atomic_write(path, overwrite=True) as temporary:
        temporary.write_text("new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)


@pytest.fixture
def specials(tmp_path):
    """Return names of things that are no regular files, and of links to them."""
    places = {"folder": tmp_path / "folder", "pipe": tmp_path / "pipe", "socket": tmp_path / "s"}
    places["folder"].mkdir()
    os.mkfifo(places["pipe"])
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(places["socket"]))
    places["device"] = tmp_path / "device"
    places["device"].symlink_to(os.devnull)
    for kind in list(places):
        link = places[f"link to a {kind}"] = tmp_path / f"{kind} link"
        link.symlink_to(places[kind])
    yield places
    listening.close()


@pytest.mark.skipif(os.name != "posix", reason="kinds of files that only POSIX has")
@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_but_a_regular_file_is_ever_replaced(specials, overwrite):
    before = {path: path.lstat() for path in specials.values()}
    for kind, path in specials.items():
        with (
            pytest.raises(InvalidInputError, match=f"is a {kind.split()[-1]}, not a file"),
            atomic_write(path, overwrite=overwrite),
        ):
            pass
    for path, was in before.items():
        assert (path.lstat().st_ino, path.lstat().st_mode) == (was.st_ino, was.st_mode)


@pytest.mark.parametrize("name", ["n" * 300, "nul\0", "file/under"])
def test_impossible_names_are_refused_in_one_line(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="cannot be written"), atomic_write(tmp_path / name):
        pass


def test_a_looped_link_is_refused(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(InvalidInputError, match="loop: cannot be written"), atomic_write(loop):
        pass


LEAVE = """
import os, sys, tempfile
from pathlib import Path
from overtone.files import temporary_folder, temporary_path
tempfile.tempdir = sys.argv[1]
temporary_path(Path(sys.argv[1], "a.wav")).touch()
held = temporary_folder()
held.__enter__()
print(flush=True)
sys.stdin.read()
os._exit(0)
"""


@pytest.mark.skipif(os.name != "posix", reason="asks for processes as POSIX does")
def test_what_dead_processes_left_is_removed_and_what_living_ones_use_is_not(tmp_path):
    other = tmp_path / f".b.wav.00000000-1-0{TEMPORARY_SUFFIX}"  # of another machine
    named_alike = tmp_path / f"song{TEMPORARY_SUFFIX}"
    other.touch()
    named_alike.touch()
    process = subprocess.Popen(
        [sys.executable, "-c", LEAVE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    process.communicate()
    with atomic_write(tmp_path / "c.wav") as temporary:
        temporary.touch()
    assert {path.name for path in tmp_path.iterdir()} == {other.name, named_alike.name, "c.wav"}


def test_a_temporary_folder_goes_with_all_that_is_in_it():
    with temporary_folder() as folder:
        (folder / "a").touch()
    assert not folder.exists()
