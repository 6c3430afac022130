"""The corpora's layouts and splits: nothing in two splits, and the papers' own lists."""

import tomllib

import numpy as np
import pytest

from overtone.data import splits
from overtone.errors import InvalidInputError


@pytest.fixture
def tree(tmp_path):
    """Return a function that makes empty files and returns their folder."""

    def make(names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


def disjoint_and_complete(listed, everything):
    names = [name for listing in listed for name in listing.names]
    return len(names) == len(set(names)) and set(names) == set(everything.names)


@pytest.fixture
def vctk_080(tree):
    """As many p225 files as version 0.80 has, and some other speakers."""
    names = [f"VCTK-Corpus/wav48/p225/p225_{n:03}.wav" for n in range(1, 232)]
    names += [f"VCTK-Corpus/wav48/{s}/{s}_001.wav" for s in ("p226", "p345", "p347", "p376")]
    return tree([*names, "VCTK-Corpus/txt/p225/p225_001.txt"])


def test_the_papers_speaker_is_split_into_223_and_32(vctk_080):
    train = splits.vctk(vctk_080, "train", speaker="p225")
    validation = splits.vctk(vctk_080, "validation", speaker="p225")
    assert (len(train.names), len(validation.names)) == (223, 32)
    assert train.names[-1] == "p225/p225_223.wav"
    assert validation.names == tuple(f"p225/p225_{n}.wav" for n in range(224, 232)) * 4
    assert not set(train.names) & set(validation.names)
    assert all(path.is_file() for path in train.paths)


def test_held_out_utterances_can_be_taken_once(vctk_080):
    validation = splits.vctk(vctk_080, "validation", speaker="p225", once=True)
    assert len(validation.names) == len(set(validation.names)) == 8


def test_the_corpus_or_its_folder_of_speakers_can_be_given(vctk_080):
    listings = [
        splits.vctk(folder, "all")
        for folder in (vctk_080, vctk_080 / "VCTK-Corpus", vctk_080 / "VCTK-Corpus/wav48")
    ]
    assert listings[0] == listings[1] == listings[2]
    assert len(listings[0].names) == 235


def test_the_last_speakers_are_held_out(vctk_080):
    train = splits.vctk(vctk_080, "train")
    validation = splits.vctk(vctk_080, "validation")
    assert {name[:4] for name in train.names} == {"p225", "p226", "p345"}
    assert validation.names == ("p347/p347_001.wav", "p376/p376_001.wav")
    assert disjoint_and_complete([train, validation], splits.vctk(vctk_080, "all"))


@pytest.mark.parametrize("microphone", ["mic1", "mic2"])
def test_vctk_092_gives_one_microphone(tree, microphone):
    root = tree(
        f"wav48_silence_trimmed/{s}/{s}_{n:03}_mic{m}.flac"
        for s in ("p225", "p280", "s5")
        for n in range(1, 21)
        for m in (1, 2)
    )
    everything = splits.vctk(root, "all", microphone=microphone)
    assert len(everything.names) == 60
    assert all(name.endswith(f"_{microphone}.flac") for name in everything.names)
    assert {n[:2] for n in splits.vctk(root, "validation", microphone=microphone).names} == {"s5"}
    one = splits.vctk(root, "train", speaker="p225", microphone=microphone)
    assert len(one.names) == 12


def test_gtzan_s_damaged_track_is_reported_and_skipped(tree):
    root = tree(f"genres/{g}/{g}.{n:05}.wav" for g in ("blues", "jazz") for n in range(100))
    train = splits.gtzan(root, "train", "jazz")
    assert (len(train.names), len(train.left_out)) == (89, 1)
    assert train.left_out[0].startswith("jazz.00054.wav: known to be damaged")
    blues = splits.gtzan(root, "validation", "blues")
    assert blues.names == tuple(f"blues.{n:05}.wav" for n in range(90, 100))
    assert blues.left_out == ()
    parts = [splits.gtzan(root, split, "blues") for split in ("train", "validation")]
    assert disjoint_and_complete(parts, splits.gtzan(root, "all", "blues"))


def test_gtzan_is_found_as_kaggle_packs_it_and_a_list_may_name_its_damaged_track(tree):
    root = tree(f"Data/genres_original/jazz/jazz.{n:05}.wav" for n in range(50, 60))
    found = splits.gtzan(root, "train", "jazz")
    assert found.folder == root / "Data" / "genres_original" / "jazz"
    assert len(found.names) == 8
    (root / "list.txt").write_text("jazz.00053.wav\njazz.00054.wav\n")
    for listing in (
        splits.read_file_list(root / "list.txt", found.folder),
        splits.by_name(root / "Data", "train"),
    ):
        assert not any("00054" in name for name in listing.names)
        assert len(listing.left_out) == 1
    assert splits.gtzan(root / "Data" / "genres_original", "train", "jazz").names == found.names


def test_piano_arrays_are_split_by_their_names(tree):
    root = tree(["music_train.npy", "music_valid.npy", "music_test.npy"])
    assert splits.piano(root, "validation").names == ("music_valid.npy",)
    assert len(splits.piano(root, "all").names) == 3
    alone = splits.piano(root / "music_test.npy", "train")
    assert (alone.names, alone.split) == (("music_test.npy",), "test")
    (root / "music_valid.npy").unlink()
    with pytest.raises(InvalidInputError, match=r"no music_valid\.npy beside"):
        splits.piano(root, "validation")


def test_piano_recordings_are_split_88_6_6(tree):
    root = tree(f"{n}.flac" for n in range(100))
    parts = [splits.piano(root, split) for split in ("train", "validation", "test")]
    assert [len(part.names) for part in parts] == [88, 6, 6]
    assert disjoint_and_complete(parts, splits.piano(root, "all"))


def test_a_seeded_split_is_repeatable_and_stable(tree):
    root = tree(f"{n % 3}/{n}.flac" for n in range(60))
    options = {"validation_fraction": 0.2, "test_fraction": 0.1}
    parts = [splits.seeded(root, s, **options) for s in ("train", "validation", "test")]
    assert [len(part.names) for part in parts] == [42, 12, 6]
    assert disjoint_and_complete(parts, splits.seeded(root, "all", **options))
    assert parts[1] == splits.seeded(root, "validation", **options)
    assert parts[1].names != splits.seeded(root, "validation", seed=1, **options).names
    before = set(parts[0].names)
    tree(["0/new.flac"])
    after = set(splits.seeded(root, "train", **options).names)
    assert len(before ^ after) <= 3  # one new file moves few


def test_a_split_by_name_holds_out_the_last(tree):
    root = tree(f"{n:02}.wav" for n in range(20))
    assert splits.by_name(root, "validation").names == ("18.wav", "19.wav")
    parts = [splits.by_name(root, s, test_fraction=0.05) for s in ("train", "validation", "test")]
    assert parts[2].names == ("19.wav",)
    assert disjoint_and_complete(parts, splits.by_name(root, "all"))


def test_a_file_list_is_taken_in_its_order(tree, tmp_path):
    root = tree(["a.wav", "d/b.flac"])
    (tmp_path / "list.txt").write_text("d/b.flac\n\na.wav\r\nd/b.flac\n")
    listing = splits.read_file_list(tmp_path / "list.txt", root)
    assert listing.names == ("d/b.flac", "a.wav", "d/b.flac")


def test_all_missing_files_of_a_list_are_named(tree, tmp_path):
    root = tree(["a.wav"])
    (tmp_path / "list.txt").write_text("a.wav\nb.wav\nc.wav\n")
    with pytest.raises(InvalidInputError, match=r"2 of 3 files are not in .*: b.wav, c.wav; give"):
        splits.read_file_list(tmp_path / "list.txt", root)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "names no files"), ("a.wav\nnotes.txt\n", "not audio files: notes.txt")],
)
def test_lists_that_name_no_audio_are_refused(tree, tmp_path, text, message):
    root = tree(["a.wav", "notes.txt"])
    (tmp_path / "list").write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        splits.read_file_list(tmp_path / "list", root)


def test_what_is_not_there_is_named(tree, tmp_path):
    root = tree(["wav48/p225/a.wav", "genres/blues/blues.00000.wav", "empty/x.txt"])
    cases = [
        (lambda: splits.vctk(root / "no", "train"), "no folder .*no; give"),
        (lambda: splits.vctk(root, "train", speaker="p1"), "no speaker 'p1'; there are p225"),
        (lambda: splits.gtzan(root, "train", "polka"), "no genre 'polka'.*blues"),
        (lambda: splits.gtzan(root, "train", "jazz"), "no folder .*jazz"),
        (lambda: splits.gtzan(root, "test", "blues"), "the test split is empty"),
        (lambda: splits.seeded(root / "empty", "train"), "empty: no recordings"),
        (lambda: splits.seeded(root, "train", validation_fraction=1.0), "not 1 and 0"),
        (lambda: splits.read_file_list(root / "none", root), "none: cannot be read"),
    ]
    for call, message in cases:
        with pytest.raises(InvalidInputError, match=message):
            call()


def test_the_rules_can_be_read_and_name_each_corpus():
    assert set(tomllib.loads(splits.rules_text())) == {"vctk", "gtzan", "piano"}
    fractions = splits.split_rules("piano")
    assert np.isclose(1 - fractions["validation_fraction"] - fractions["test_fraction"], 0.88)
