"""Corpora split by file, and a store that decodes once and never passes off the wrong samples."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from overtone.data import corpora
from overtone.data.corpora import Corpus, SampleStore
from overtone.errors import ConfigError

RATE = 16000


@pytest.fixture
def root(tmp_path, make_noise):
    """Two folders of quarter-second recordings: 12 of 16 kHz, 3 of 8 kHz in stereo."""
    for folder, count, rate, channels in (("voices", 12, RATE, 1), ("tape", 3, RATE // 2, 2)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number in range(count):
            noise = make_noise(rate, 0.25, rms=0.02 * (number + 1), channels=channels)
            path = tmp_path / "data" / folder / f"{number:02}.wav"
            soundfile.write(path, noise.T, rate, subtype="FLOAT")
    return tmp_path / "data"


def corpus(path="voices", **settings):
    return Corpus(name=path, path=path, license="CC0", **{"bandwidth_hz": 8000.0} | settings)


@pytest.fixture
def build(root, tmp_path):
    """Build the store of both folders; returns it and what was said to be left out."""

    def run(*which):
        said = []
        chosen = list(which) or [corpus(), corpus("tape")]
        store = SampleStore.build(tmp_path / "cache", chosen, root, RATE, said.append)
        if said and said[0].startswith("decoding"):
            count = sum(len(each.files(root)) for each in chosen)
            assert said.pop(0).endswith(f" of {count} recordings into {tmp_path / 'cache'}")
        return store, said

    return run


@pytest.fixture
def decoded(monkeypatch):
    """The paths that were decoded."""
    paths = []
    read = corpora.read_audio

    def spy(path):
        paths.append(path)
        return read(path)

    monkeypatch.setattr(corpora, "read_audio", spy)
    return paths


def names(paths):
    return [path.name for path in paths]


@pytest.mark.parametrize(("count", "held_out"), [(2, 1), (9, 1), (12, 1), (20, 2), (39, 3)])
def test_validation_is_the_last_tenth_by_name_and_at_least_one_file(tmp_path, count, held_out):
    (tmp_path / "voices").mkdir()
    wanted = [f"{number:02}.wav" for number in range(count)]
    for name in reversed(wanted):
        (tmp_path / "voices" / name).touch()
    train, validation = (corpus().split(tmp_path, split) for split in ("train", "validation"))
    assert names(train) + names(validation) == wanted
    assert len(validation) == held_out


def test_only_recordings_that_match_and_are_not_excluded_count(tmp_path):
    folder = tmp_path / "es" / "voices"
    for name in ("a.wav", "b.FLAC", "es/c.ogg", "notes.txt", "deep/er/d.mp3", "test.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "folder.wav").mkdir()
    # Folders above the corpus, such as this test's "es", are not what exclude is about.
    found = corpus(exclude=("/es/", "test")).files(tmp_path / "es")
    assert names(found) == ["a.wav", "b.FLAC", "d.mp3"]


def test_a_glob_reaches_no_further_than_it_says(root):
    assert len(corpus(glob="0*.wav").files(root)) == 10
    with pytest.raises(ConfigError, match=r"'voices': 1 recordings match '03.wav'.*at least 2"):
        corpus(glob="03.wav").files(root)


@pytest.mark.parametrize("glob", ["", "/etc/*"])
def test_a_pattern_that_is_none_is_named(root, glob):
    with pytest.raises(ConfigError, match=re.escape(f"'voices': '{glob}' is no glob pattern")):
        corpus(glob=glob).files(root)


def test_a_missing_folder_is_named_with_the_cure(root):
    with pytest.raises(ConfigError, match=r"'songs': no folder .*songs; .*--data-root"):
        corpus("songs").files(root)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"bandwidth_hz": 0}, "bandwidth_hz"),
        ({"weight": -1}, "weight"),
        ({"wheight": 1}, "wheight"),
        ({"channels": "left"}, "channels"),
    ],
)
def test_impossible_corpora_are_refused(setting, named):
    with pytest.raises(ValidationError, match=named):
        corpus(**setting)


def test_the_store_holds_every_file_in_its_split_at_one_rate_and_level(build, root):
    store, said = build()
    assert said == []
    for number, (folder, train, validation) in enumerate([("voices", 11, 1), ("tape", 2, 1)]):
        files = [store.select(number, split) for split in ("train", "validation")]
        assert [len(part) for part in files] == [train, validation]
        assert [file.name for file in files[0] + files[1]] == [
            f"{folder}/{n:02}.wav" for n in range(train + validation)
        ]
    for file in store.files:
        samples = store.crop(file, 0, file.length)
        assert file.length == RATE // 4
        # The active level is that of the louder half of the frames, so a little more than all.
        assert 0.9 < np.sqrt(np.mean(samples**2)) <= 1.0


def test_samples_are_the_recordings_own(build, root):
    store, _ = build()
    file = store.select(0, "train")[4]
    wanted, _ = soundfile.read(root / file.name, dtype="float32")
    found = store.crop(file, 0, file.length)
    scale = np.dot(found, wanted) / np.dot(wanted, wanted)
    assert np.abs(found - scale * wanted).max() <= np.abs(found).max() / 32000


def test_channels_are_mixed_down(build, root):
    store, _ = build()
    file = store.select(1, "train")[0]
    stereo, _ = soundfile.read(root / file.name, dtype="float32")
    found = store.crop(file, 0, file.length)[::2][50:-50]
    # One channel alone would correlate by 0.7; the resampler takes the top twelfth of the band.
    assert np.corrcoef(found, stereo.mean(axis=1)[50:-50])[0, 1] > 0.95


def test_each_channel_can_be_a_recording_of_its_own(build, root):
    store, said = build(corpus("tape", channels="each"))
    assert said == []
    assert [file.name for file in store.files[:3]] == [
        "tape/00.wav channel 1",
        "tape/00.wav channel 2",
        "tape/01.wav channel 1",
    ]
    # Both of a recording on one side of the split.
    assert [file.split for file in store.files] == ["train"] * 4 + ["validation"] * 2
    stereo, _ = soundfile.read(root / "tape" / "00.wav", dtype="float32")
    for file, wanted in zip(store.files[:2], stereo.T, strict=True):
        found = store.crop(file, 0, file.length)
        assert np.corrcoef(found[::2][50:-50], wanted[50:-50])[0, 1] > 0.95
        assert 0.9 < np.sqrt(np.mean(found**2)) <= 1.0


def test_of_channels_that_are_copies_one_is_kept_and_a_silent_one_is_named(build, root):
    noise = soundfile.read(root / "tape" / "00.wav", dtype="float32")[0][:, :1]
    for name, channels in (("00", [noise, noise]), ("01", [noise, 0 * noise])):
        path = root / "tape" / f"{name}.wav"
        soundfile.write(path, np.hstack(channels), RATE // 2, subtype="FLOAT")
    store, said = build(corpus("tape", channels="each"))
    assert [file.name for file in store.select(0, "train")] == [
        "tape/00.wav",
        "tape/01.wav channel 1",
    ]
    assert said == [f"left out: {root / 'tape' / '01.wav'} channel 2: silent"]


def test_another_choice_of_channels_is_decoded_anew(build, decoded):
    build()
    store, _ = build(corpus(), corpus("tape", channels="each"))
    assert len(decoded) == 18
    assert len(store.select(1, "train")) == 4


def test_a_crop_past_the_end_is_filled_with_silence(build):
    store, _ = build()
    file = store.files[2]
    crop = store.crop(file, file.length - 100, 300)
    assert np.array_equal(crop[:100], store.crop(file, 0, file.length)[-100:])
    assert (crop[100:] == 0).all()
    assert (store.crop(file, file.length + 5, 10) == 0).all()


def test_the_second_build_decodes_nothing(build, decoded):
    first, _ = build()
    assert len(decoded) == 15
    second, _ = build()
    assert len(decoded) == 15
    assert second.files == first.files
    assert np.array_equal(second.samples, first.samples)


def test_only_what_the_store_lacks_is_decoded(build, root, decoded, make_noise):
    """Weights, bandwidths, the order of corpora and one that is left out cost nothing."""
    first, _ = build()
    build(corpus(bandwidth_hz=4000, weight=3), corpus("tape"))
    build(corpus("tape", weight=2), corpus())
    store, _ = build(corpus("tape"))
    assert len(store.files) == 3
    again, _ = build()
    assert again.files == first.files
    assert len(decoded) == 15
    soundfile.write(root / "voices" / "03.wav", make_noise(RATE, 0.5).T, RATE)
    store, _ = build()
    assert store.select(0, "train")[3].length == RATE // 2
    soundfile.write(root / "voices" / "99.wav", make_noise(RATE, 0.1).T, RATE)
    store, _ = build()
    assert store.select(0, "validation")[0].length == RATE // 10
    assert names(decoded[15:]) == ["03.wav", "99.wav"]
    for old, new in zip(first.select(1, "train"), store.select(1, "train"), strict=True):
        assert np.array_equal(first.crop(old, 0, 4000), store.crop(new, 0, 4000))


def test_another_rate_is_another_store(build, root, tmp_path, decoded):
    build()
    store = SampleStore.build(tmp_path / "cache", [corpus()], root, RATE // 2, print)
    assert store.files[0].length == RATE // 8
    assert len(decoded) == 27


def test_a_file_edited_in_place_is_decoded_anew(build, root, make_noise):
    build()
    path = root / "voices" / "03.wav"
    size, other = path.stat().st_size, make_noise(RATE, 0.25)
    soundfile.write(path, other.T, RATE, subtype="FLOAT")
    os.utime(path, (path.stat().st_mtime + 5,) * 2)
    assert path.stat().st_size == size
    store, _ = build()
    file = store.select(0, "train")[3]
    assert np.corrcoef(store.crop(file, 0, file.length), other[0])[0, 1] > 0.999


@pytest.mark.parametrize("part", ["index.json", "samples.int16"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_store_is_built_again(build, tmp_path, decoded, part, damage):
    whole, _ = build()
    whole = np.array(whole.samples)
    path = tmp_path / "cache" / part
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.unlink()
    store, _ = build()
    assert len(decoded) == 30
    assert np.array_equal(store.samples, whole)


def test_a_store_in_use_keeps_its_samples_while_another_is_built(build):
    store, _ = build()
    before = np.array(store.samples)
    build(corpus("tape"))
    assert np.array_equal(store.samples, before)


def test_a_build_that_is_cut_keeps_what_it_has_decoded(build, tmp_path, monkeypatch, decoded, root):
    calls = []

    def crash(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return active_rms(*arguments)

    with monkeypatch.context() as patch:
        active_rms = corpora.active_rms
        patch.setattr(corpora, "active_rms", crash)
        with pytest.raises(KeyboardInterrupt):
            build()
    assert names(sorted((tmp_path / "cache").iterdir())) == ["index.json", "lock", "samples.int16"]
    # Killed while it wrote, it leaves half a recording.
    with (tmp_path / "cache" / "samples.int16").open("ab") as samples:
        samples.write(b"rubbish")
    store, _ = build()
    assert len(decoded) == 5 + 11
    for file in store.files[:5]:
        wanted, _ = soundfile.read(root / file.name)
        assert np.corrcoef(store.crop(file, 0, file.length), wanted)[0, 1] > 0.999


def test_of_builds_that_start_together_one_decodes(build, decoded):
    with ThreadPoolExecutor(3) as pool:
        stores = [done.result()[0] for done in [pool.submit(build) for _ in range(3)]]
    assert len(decoded) == 15
    assert all(np.array_equal(store.samples, stores[0].samples) for store in stores)


def test_a_store_that_is_there_is_read_from_a_folder_that_cannot_be_written(build, tmp_path):
    build()
    (tmp_path / "cache" / "lock").unlink()
    (tmp_path / "cache" / "lock").mkdir()
    assert len(build()[0].files) == 15


def test_damaged_and_silent_files_are_named_and_left_out(build, root):
    (root / "voices" / "03.wav").write_bytes(b"RIFF and so on")
    soundfile.write(root / "voices" / "05.wav", np.zeros(RATE), RATE)
    soundfile.write(root / "tape" / "01.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    store, said = build()
    assert len(store.files) == 12
    assert [line.startswith("left out: ") for line in said] == [True] * 3
    for line, name in zip(said, ("voices/03.wav", "voices/05.wav", "tape/01.wav"), strict=True):
        assert name in line
    assert "silent" in said[1]
    assert not {"voices/03.wav", "voices/05.wav", "tape/01.wav"} & {f.name for f in store.files}


def test_corpora_without_anything_usable_are_refused(build, root, tmp_path):
    for path in (root / "tape").iterdir():
        path.write_bytes(b"not audio")
    with pytest.raises(ConfigError, match="no recording"):
        build(corpus("tape"))
    for _ in range(2):  # and again, without another try
        with pytest.raises(ConfigError, match="no recording"):
            build(corpus("tape"))


def test_a_corpus_may_lie_outside_the_root(root, tmp_path):
    elsewhere = corpus(str(root / "tape"))
    (tmp_path / "empty").mkdir()
    store = SampleStore.build(tmp_path / "cache", [elsewhere], tmp_path / "empty", RATE)
    assert store.files[0].name == (root / "tape" / "00.wav").as_posix()


def test_a_cache_that_cannot_be_written_is_named_with_the_cure(build, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match=r"cache: cannot keep .*--cache"):
        build()


def test_the_index_is_plain_json(build, tmp_path):
    build()
    index = json.loads((tmp_path / "cache" / "index.json").read_text())
    assert len(index["recordings"]) == 15
