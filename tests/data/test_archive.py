"""Archives give back what was written, say what they are, and never look whole too early."""

import multiprocessing
import pickle

import h5py
import numpy as np
import pytest

from overtone import __version__
from overtone.data.archive import (
    ArchiveInfo,
    PatchArchive,
    Piece,
    SourceFile,
    describe,
    write_archive,
)
from overtone.data.patches import PatchSettings
from overtone.errors import InvalidInputError

SETTINGS = PatchSettings(scale=4, dimension=64, stride=32, interpolate=True, low_pass=True)
SOURCES = [SourceFile("a/á.wav", "1" * 64), SourceFile("b.wav", "2" * 64)]


def info(settings=SETTINGS):
    return ArchiveInfo(corpus="folder", split="train", split_rule="by hand", settings=settings)


def pieces_of(rng, settings, counts=(3, 2)):
    length = settings.dimension
    for number, count in enumerate(counts):
        high = rng.standard_normal((count, length)).astype(np.float32)
        low = rng.standard_normal((count, length // settings.low_step)).astype(np.float32)
        yield Piece(number, np.arange(count) * settings.stride, low, high)


@pytest.fixture
def archive(tmp_path, rng):
    path = tmp_path / "x.h5"
    write_archive(path, info(), SOURCES, [64] * 5, pieces_of(rng, SETTINGS))
    return path


@pytest.mark.parametrize("interpolate", [True, False])
def test_patches_come_back_with_their_place(tmp_path, rng, interpolate):
    settings = SETTINGS.model_copy(update={"interpolate": interpolate})
    pieces = list(pieces_of(rng, settings))
    path = tmp_path / "x.h5"
    write_archive(path, info(settings), SOURCES, [64] * 5, iter(pieces))
    with PatchArchive(path) as archive:
        assert len(archive) == 5
        assert archive.info == info(settings)
        assert archive.patch_file.tolist() == [0, 0, 0, 1, 1]
        assert archive.patch_start.tolist() == [0, 32, 64, 0, 32]
        assert archive.file_names == ["a/á.wav", "b.wav"]
        assert archive.file_sha256 == ["1" * 64, "2" * 64]
        expected = [pair for p in pieces for pair in zip(p.low, p.high, strict=True)]
        for found, wanted in zip(list(archive), expected, strict=True):
            assert np.array_equal(found[0], wanted[0])
            assert np.array_equal(found[1], wanted[1])
        assert np.array_equal(archive[-1][1], expected[-1][1])
        with pytest.raises(IndexError, match="no patch 5, there are 5"):
            archive[5]


def test_the_datasets_are_those_of_kuleshovs_script(archive):
    with h5py.File(archive) as file:
        assert file["data"].shape == file["label"].shape == (5, 64, 1)
        assert file["data"].dtype == file["label"].dtype == np.float32
        assert file.attrs["overtone_version"].decode() == __version__
        assert file.attrs["sample_rate"] == 16000
        assert b"Chebyshev" in file.attrs["filter"]


@pytest.mark.parametrize("interpolate", [True, False])
def test_whole_files_keep_their_own_lengths(tmp_path, rng, interpolate):
    settings = PatchSettings(scale=4, interpolate=interpolate)
    lengths = [512, 256, 1024]
    highs = [rng.standard_normal((1, n)).astype(np.float32) for n in lengths]
    lows = [high[:, :: settings.low_step] for high in highs]
    pieces = (
        Piece(n, np.zeros(1, np.int64), low, high)
        for n, (low, high) in enumerate(zip(lows, highs, strict=True))
    )
    path = tmp_path / "x.h5"
    write_archive(path, info(settings), [*SOURCES, SOURCES[0]], lengths, pieces)
    with PatchArchive(path) as archive:
        assert len(archive) == 3
        for (low, high), wanted_low, wanted_high in zip(archive, lows, highs, strict=True):
            assert np.array_equal(low, wanted_low[0])
            assert np.array_equal(high, wanted_high[0])


def test_the_same_input_gives_the_same_bytes(tmp_path):
    contents = []
    for name in ("one.h5", "two.h5"):
        rng = np.random.default_rng(1)
        write_archive(tmp_path / name, info(), SOURCES, [64] * 5, pieces_of(rng, SETTINGS))
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_nothing_is_left_when_the_patches_stop(tmp_path, rng):
    def breaking():
        yield next(pieces_of(rng, SETTINGS))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_archive(tmp_path / "x.h5", info(), SOURCES, [64] * 5, breaking())
    assert list(tmp_path.iterdir()) == []


def test_an_old_archive_survives_a_failure(archive, rng):
    before = archive.read_bytes()
    with pytest.raises(AssertionError, match="3 patches came, 5 were announced"):
        write_archive(archive, info(), SOURCES, [64] * 5, pieces_of(rng, SETTINGS, (3,)))
    assert archive.read_bytes() == before
    assert [path.name for path in archive.parent.iterdir()] == ["x.h5"]


@pytest.mark.parametrize("keep", [0, 100, 0.5, -1])
def test_a_file_cut_short_is_refused(archive, keep):
    content = archive.read_bytes()
    archive.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(InvalidInputError, match=r"x\.h5: cut short or not HDF5; prepare it again"):
        PatchArchive(archive)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.attrs.pop("schema"), "no archive of overtone's"),
        (
            lambda f: f.attrs.modify("schema_version", 99),
            "schema version 99, this overtone reads 2",
        ),
        (lambda f: f.attrs.pop("scale"), "attributes are damaged"),
        (lambda f: f.attrs.modify("scale", -4), "attributes are damaged"),
        (lambda f: f.attrs.create("colour", 1), "attributes are damaged"),
        # A string of variable length: not even read.
        (lambda f: f.attrs.create("corpus", "c"), "attributes are damaged"),
        (lambda f: f.pop("patch_file"), "damaged"),
        (lambda f: f.pop("label"), "damaged"),
        (lambda f: f.attrs.modify("dimension", 128), r"data \(5, 64, 1\) .* should be"),
    ],
)
def test_files_of_another_kind_are_refused(archive, change, message):
    with h5py.File(archive, "r+") as file:
        change(file)
    with pytest.raises(InvalidInputError, match=message):
        PatchArchive(archive)


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match=r"no\.h5: no such file; make it with"):
        PatchArchive(tmp_path / "no.h5")


def _read_in_child(archive, queue):
    queue.put([float(high.sum()) for _, high in archive])


def test_a_forked_process_opens_the_file_anew(archive):
    opened = PatchArchive(archive)
    expected = [float(high.sum()) for _, high in opened]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_read_in_child, args=(opened, queue))
    child.start()
    assert queue.get(timeout=60) == expected
    child.join()
    assert [float(high.sum()) for _, high in opened] == expected
    again = pickle.loads(pickle.dumps(opened))
    assert np.array_equal(again[2][0], opened[2][0])


def test_the_description_counts_what_is_inside(archive):
    with PatchArchive(archive) as opened:
        lines = describe(opened)
    assert "scale: 4" in lines
    assert "data: (5, 64, 1) float32" in lines
    assert lines[-1].startswith("5 patches, 0.0 minutes with overlaps, from 2 of 2 files")


def _link_out(file, other):
    del file["data"]
    file["data"] = h5py.ExternalLink(str(other), "data")


def _virtual(file, other):
    shape = file["data"].shape
    del file["data"]
    layout = h5py.VirtualLayout(shape, np.float32)
    layout[:] = h5py.VirtualSource(str(other), "data", shape)
    file.create_virtual_dataset("data", layout)


def _external(file, other):
    shape = file["data"].shape
    del file["data"]
    file.create_dataset("data", shape, np.float32, external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def _hollow(file, other):
    shape = file["data"].shape
    del file["data"]
    file.create_dataset("data", shape, np.float32, chunks=True)


def _doubles(file, other):
    values = file["label"][()].astype(np.float64)
    del file["label"]
    file["label"] = values


def _group(file, other):
    del file["label"]
    file.create_group("label")


def _negative(file, other):
    file["patch_length"][0] = -64


def _no_such_file(file, other):
    file["patch_file"][0] = 99


@pytest.mark.parametrize(
    "harm", [_link_out, _virtual, _external, _hollow, _doubles, _group, _negative, _no_such_file]
)
def test_what_is_not_plainly_in_the_file_is_refused(archive, tmp_path, harm):
    other = tmp_path / "other.h5"
    other.write_bytes(archive.read_bytes())
    with h5py.File(archive, "r+") as file:
        harm(file, other)
    with pytest.raises(InvalidInputError, match=r"x\.h5: damaged"):
        PatchArchive(archive)
