"""Files of object stores: in memory, and in a server that speaks S3."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from overtone import enhance_files
from overtone.errors import AudioFileError, InvalidInputError
from overtone.inspection import inspect_files
from overtone.stores import path_of

pytest.importorskip("upath")


@pytest.fixture
def memory(examples_dir: Path) -> Iterator[Any]:
    """A folder of a store in memory, with a recording, a damaged one and a file of text."""
    folder: Any = path_of("memory://bucket")
    (folder / "in" / "deep").mkdir(parents=True)
    sound = (examples_dir / "speech_en_8k.flac").read_bytes()
    (folder / "in" / "deep" / "call.flac").write_bytes(sound)
    (folder / "in" / "bad.flac").write_bytes(b"fLaC")
    (folder / "in" / "notes.txt").write_bytes(b"no sound")
    yield folder
    folder.fs.rm("/bucket", recursive=True)


def test_a_store_holds_what_a_folder_would(memory: Any, examples_dir: Path, tmp_path: Path) -> None:
    outcomes = enhance_files("memory://bucket/in", "memory://bucket/out/")
    by_name = {Path(str(one.source)).name: one for one in outcomes}
    assert set(by_name) == {"call.flac", "bad.flac"}
    assert "memory://bucket/in/bad.flac" in (by_name["bad.flac"].error or "")
    assert "overtone-tmp" not in (by_name["bad.flac"].error or "")
    report = by_name["call.flac"].report
    assert report is not None
    assert report.destination == "memory://bucket/out/deep/call.flac"
    [here] = enhance_files(str(examples_dir / "speech_en_8k.flac"), str(tmp_path / "call.flac"))
    assert here.error is None
    stored = (memory / "out" / "deep" / "call.flac").read_bytes()
    assert stored == (tmp_path / "call.flac").read_bytes()
    again = enhance_files("memory://bucket/in", "memory://bucket/out/")
    assert all("exists already" in (one.error or "") for one in again if "call" in str(one.source))
    assert [one for one in memory.rglob("*") if "tmp" in str(one)] == []


def test_patterns_and_single_files(memory: Any, tmp_path: Path) -> None:
    assert memory
    outcomes = enhance_files("memory://bucket/in/*/*.flac", str(tmp_path / "out/"))
    assert [one.error for one in outcomes] == [None]
    assert (tmp_path / "out" / "deep" / "call.flac").is_file()
    [found] = inspect_files("memory://bucket/in/deep/call.flac")
    assert found.inspection is not None
    assert found.inspection.info.sample_rate == 8000
    [gone] = enhance_files("memory://bucket/gone.wav", str(tmp_path))
    assert gone.error == "memory://bucket/gone.wav: no such file or folder"


def test_a_store_that_is_unknown_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"^nothing://bucket/a\.wav: no such kind of store"):
        enhance_files("nothing://bucket/a.wav", str(tmp_path))
    with pytest.raises(InvalidInputError, match="no such kind of store"):
        enhance_files(str(tmp_path), "nothing://bucket/out/")


def test_a_store_that_refuses_is_named(
    examples_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoCredentialsError(Exception):  # as botocore's, no kind of OSError
        pass

    def refuse(*_: object, **__: object) -> None:
        raise NoCredentialsError("Unable to locate credentials")

    monkeypatch.setattr(type(path_of("memory://bucket").fs), "info", refuse)  # type: ignore[attr-defined]
    said = r"not reached \(Unable to locate credentials\)"
    [outcome] = enhance_files("memory://bucket/a.flac", str(tmp_path))
    assert re.search(f"^memory://bucket/a.flac: {said}", outcome.error or "")
    with pytest.raises(AudioFileError, match=f"^memory://bucket/b.flac: {said}"):
        enhance_files(str(examples_dir / "speech_en_8k.flac"), "memory://bucket/b.flac")


def test_s3(examples_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_module = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        bucket: Any = path_of("s3://recordings")
        bucket.fs.mkdir("recordings")
        (bucket / "in" / "call.flac").write_bytes((examples_dir / "speech_en_8k.flac").read_bytes())
        [outcome] = enhance_files("s3://recordings/in", "s3://recordings/out/")
        assert outcome.error is None
        assert (bucket / "out" / "call.flac").read_bytes().startswith(b"fLaC")
        [denied] = enhance_files("s3://recordings/in", "s3://of-others/out/")
        assert (denied.error or "").startswith("s3://recordings/in/call.flac")
        assert "s3://of-others/out/call.flac: not stored (no such" in (denied.error or "")
    finally:
        server.stop()
