"""Preparing is deterministic, resumable, complete or nothing."""

import numpy as np
import pytest
import soundfile

from overtone.data import prepare as module
from overtone.data.archive import PatchArchive
from overtone.data.patches import PatchSettings, make_pair
from overtone.data.prepare import prepare
from overtone.data.splits import Listing, piano, seeded
from overtone.errors import InvalidInputError

SETTINGS = PatchSettings(
    scale=4, dimension=1024, stride=512, interpolate=True, low_pass=True, batch_size=4
)


@pytest.fixture
def corpus(tmp_path, rng):
    """Five recordings of half a second and more, at three rates, one stereo."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, rate in enumerate((16000, 48000, 44100, 16000, 16000)):
        samples = 0.1 * rng.standard_normal((rate // 2 + 1000 * number, 1 + number % 2))
        soundfile.write(folder / f"{number}.wav", samples, rate, subtype="FLOAT")
    return folder


def listing(folder):
    return seeded(folder, "all")


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "corpus")


def test_patches_are_those_of_the_recordings(corpus, tmp_path):
    log = []
    count = prepare(listing(corpus), SETTINGS, tmp_path / "x.h5", log=log.append)
    with PatchArchive(tmp_path / "x.h5") as archive:
        assert count == len(archive)
        assert count % 4 == 0
        for index in (0, 5, count - 1):
            name = archive.file_names[archive.patch_file[index]]
            if name not in ("0.wav", "3.wav", "4.wav"):
                continue
            samples = soundfile.read(corpus / name, dtype="float32", always_2d=True)[0].mean(1)
            low, high = make_pair(samples, SETTINGS)
            part = slice(archive.patch_start[index], archive.patch_start[index] + 1024)
            assert np.allclose(archive[index][0], low[part], atol=1e-6)
            assert np.allclose(archive[index][1], high[part], atol=1e-6)
    assert leftovers(tmp_path) == ["x.h5"]
    assert any("dropped: --batch-size 4" in line for line in log)


def test_any_number_of_workers_gives_the_same_bytes(corpus, tmp_path):
    settings = SETTINGS.model_copy(update={"sam": 0.7})
    for workers in (1, 2):
        prepare(listing(corpus), settings, tmp_path / f"{workers}.h5", jobs=workers, log=str)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_an_interruption_leaves_no_archive_and_is_resumed(corpus, tmp_path, monkeypatch):
    prepare(listing(corpus), SETTINGS, tmp_path / "whole.h5", log=str)
    loaded = []
    load = module._load

    def breaking(part, settings):
        if len(loaded) == 3:
            raise KeyboardInterrupt
        loaded.append(part.name)
        return load(part, settings)

    monkeypatch.setattr(module, "_load", breaking)
    with pytest.raises(KeyboardInterrupt):
        prepare(listing(corpus), SETTINGS, tmp_path / "x.h5", log=str)
    assert leftovers(tmp_path) == [".x.h5.parts", "whole.h5"]

    resumed = []
    monkeypatch.setattr(module, "_load", lambda p, s: resumed.append(p.name) or load(p, s))
    prepare(listing(corpus), SETTINGS, tmp_path / "x.h5", log=str)
    assert not set(resumed) & set(loaded)
    assert len(resumed) == 2
    assert (tmp_path / "x.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert leftovers(tmp_path) == ["whole.h5", "x.h5"]


def test_parts_of_other_settings_or_changed_files_are_not_used(corpus, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_archive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(listing(corpus), SETTINGS, tmp_path / "x.h5", log=str)
    monkeypatch.undo()
    soundfile.write(corpus / "0.wav", np.full(16000, 0.25), 16000)
    other = SETTINGS.model_copy(update={"scale": 2})
    prepare(listing(corpus), other, tmp_path / "x.h5", log=str)
    prepare(listing(corpus), other, tmp_path / "fresh.h5", log=str)
    assert (tmp_path / "x.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_whole_files_are_kept(corpus, tmp_path):
    settings = SETTINGS.model_copy(update={"dimension": -1})
    assert prepare(listing(corpus), settings, tmp_path / "x.h5", log=str) == 5
    with PatchArchive(tmp_path / "x.h5") as archive:
        assert archive.patch_length.tolist()[0] == 8000 // 256 * 256
        assert [low.shape for low, _ in archive] == [high.shape for _, high in archive]


def test_a_file_listed_twice_gives_its_patches_twice(corpus, tmp_path):
    twice = Listing("files", "x", corpus, ("0.wav", "0.wav"), "")
    once = Listing("files", "x", corpus, ("0.wav",), "")
    settings = SETTINGS.model_copy(update={"batch_size": 1})
    count = prepare(once, settings, tmp_path / "1.h5", log=str)
    assert prepare(twice, settings, tmp_path / "2.h5", log=str) == 2 * count


def test_short_clips_are_named_and_left_out(corpus, tmp_path, make_noise):
    for name, samples in (("tiny.wav", 30), ("short.wav", 1000)):
        soundfile.write(corpus / name, make_noise(16000)[0, :samples], 16000)
    log = []
    prepare(listing(corpus), SETTINGS, tmp_path / "x.h5", log=log.append)
    line = next(line for line in log if "shorter than 0.064 s" in line)
    assert all(name in line for name in ("tiny.wav", "short.wav"))
    soundfile.write(corpus / "none.wav", make_noise(16000)[0, :0], 16000)
    with pytest.raises(InvalidInputError, match=r"none\.wav: holds no samples; .* leave it out"):
        prepare(listing(corpus), SETTINGS, tmp_path / "y.h5", log=log.append)


@pytest.mark.parametrize("workers", [1, 2])
def test_all_unusable_recordings_are_named_and_nothing_is_written(corpus, tmp_path, workers):
    (corpus / "bad.wav").write_bytes(b"RIFF but not for long")
    soundfile.write(corpus / "slow.wav", np.zeros(9000), 8000)
    with pytest.raises(InvalidInputError, match="2 of 7 recordings cannot be used") as error:
        prepare(listing(corpus), SETTINGS, tmp_path / "x.h5", jobs=workers, log=str)
    assert "bad.wav" in str(error.value)
    assert "slow.wav: at 8000 Hz" in str(error.value)
    assert "take a rate of 8000 Hz" in str(error.value)
    assert leftovers(tmp_path) == []


def test_a_recording_that_fails_late_stops_it_and_is_named(corpus, tmp_path):
    samples = np.zeros(16000, np.float32)
    samples[9000] = np.nan
    soundfile.write(corpus / "nan.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(InvalidInputError, match=r"1 of 6 recordings.*nan\.wav: holds a sample"):
        prepare(listing(corpus), SETTINGS, tmp_path / "x.h5", log=str)
    assert leftovers(tmp_path) == [".x.h5.parts"]  # for the next run
    (corpus / "nan.wav").unlink()
    prepare(listing(corpus), SETTINGS, tmp_path / "x.h5", log=str)
    assert leftovers(tmp_path) == ["x.h5"]


def test_less_than_a_batch_is_refused(corpus, tmp_path):
    settings = SETTINGS.model_copy(update={"batch_size": 1000})
    with pytest.raises(InvalidInputError, match="less than one batch of 1000; give a smaller"):
        prepare(listing(corpus), settings, tmp_path / "x.h5", log=str)
    assert leftovers(tmp_path) == []


def test_nothing_is_overwritten_unless_asked(corpus, tmp_path):
    (tmp_path / "x.h5").write_text("mine")
    with pytest.raises(InvalidInputError, match="already exists; use overwrite=True"):
        prepare(listing(corpus), SETTINGS, tmp_path / "x.h5", log=str)
    assert (tmp_path / "x.h5").read_text() == "mine"
    prepare(listing(corpus), SETTINGS, tmp_path / "x.h5", overwrite=True, log=str)
    PatchArchive(tmp_path / "x.h5").close()
    with pytest.raises(InvalidInputError, match=r"the folder .* does not exist"):
        prepare(listing(corpus), SETTINGS, tmp_path / "no" / "x.h5", log=str)


def test_samplernn_s_arrays_are_read_row_by_row(tmp_path, rng):
    rows = (0.1 * rng.standard_normal((3, 4000))).astype(np.float16)
    np.save(tmp_path / "music_train.npy", rows)
    settings = SETTINGS.model_copy(update={"stride": 131072, "batch_size": 1})
    assert prepare(piano(tmp_path, "train"), settings, tmp_path / "x.h5", log=str) == 3
    with PatchArchive(tmp_path / "x.h5") as archive:
        assert archive.file_names[2] == "music_train.npy[2]"
        for row, (_, high) in zip(rows, archive, strict=True):
            assert np.array_equal(high, row[:1024].astype(np.float32))


@pytest.mark.parametrize(
    ("array", "rate", "message"),
    [
        (np.zeros((2, 4000), np.float16), 22050, "at 16000 Hz, not 22050; take a rate of 16000 Hz"),
        (np.zeros(4000, np.float16), 16000, r"float16 \(4000,\), not floats"),
        (np.zeros((2, 4000), np.int16), 16000, "int16"),
        (np.array([[1.0], [2.0, 3.0]], dtype=object), 16000, "not a whole array of numbers"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, array, rate, message):
    np.save(tmp_path / "music_train.npy", array, allow_pickle=True)
    settings = SETTINGS.model_copy(update={"sample_rate": rate})
    with pytest.raises(InvalidInputError, match=message):
        prepare(piano(tmp_path, "train"), settings, tmp_path / "x.h5", log=str)
