import os
from hashlib import sha256

import pytest

from overtone.errors import AudioFileError, InvalidInputError
from overtone.files import atomic_write, find_files, refuse_existing, sha256_of, temporary_path


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
