"""Which file is scored against which."""

import pytest

from overtone.errors import InvalidInputError
from overtone.evaluation.pairs import pair_files


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Return a function that makes empty files below the current folder."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()

    return make


def paired(reference, estimate):
    pairs, problems = pair_files(reference, estimate)
    named = [(p.name, p.reference.as_posix(), p.estimate.as_posix()) for p in pairs]
    return named, problems


def test_two_files_are_a_pair_whatever_their_names(tree):
    tree("one.wav", "two.flac")
    assert paired("one.wav", "two.flac") == ([("two.flac", "one.wav", "two.flac")], [])


def test_folders_pair_by_path_and_stem(tree):
    tree("r/a.wav", "r/d/a.wav", "r/b.c.flac", "e/a.mp3", "e/d/a.enhanced.flac", "e/b.c.wav")
    tree("r/notes.txt", "e/other.txt", "r/.hidden.wav")
    assert paired("r", "e") == (
        [
            ("a", "r/a.wav", "e/a.mp3"),
            ("b.c", "r/b.c.flac", "e/b.c.wav"),
            ("d/a", "r/d/a.wav", "e/d/a.enhanced.flac"),
        ],
        [],
    )


def test_files_left_without_a_partner_are_named(tree):
    tree("r/a.wav", "r/b.wav", "e/b.wav", "e/c.wav")
    pairs, problems = paired("r", "e")
    assert [name for name, _, _ in pairs] == ["b"]
    assert len(problems) == 2
    assert "r/a.wav" in problems[0]
    assert "e/c.wav" in problems[1]


def test_an_enhanced_version_is_preferred_to_the_recording_beside_it(tree):
    tree("r/a.wav", "e/a.wav", "e/a.enhanced.wav")
    assert paired("r", "e") == ([("a", "r/a.wav", "e/a.enhanced.wav")], [])


def test_a_folder_of_recordings_and_their_results_can_be_scored_against_itself(tree):
    tree("x/a.wav", "x/a.enhanced.wav", "x/b.wav")
    pairs, problems = paired("x", "x")
    assert pairs == [("a", "x/a.wav", "x/a.enhanced.wav")]
    assert len(problems) == 1
    assert "x/b.wav" in problems[0]


def test_names_that_stay_ambiguous_are_left_out_and_named(tree):
    tree("r/a.wav", "r/a.flac", "r/b.wav", "e/a.wav", "e/b.wav")
    pairs, problems = paired("r", "e")
    assert [name for name, _, _ in pairs] == ["b"]
    assert "a.flac, a.wav" in problems[0]


def test_patterns_pair_by_what_their_wildcards_match(tree):
    tree(*(f"{n}/ref.wav" for n in ("s1", "s2", "t1")), "s1/net.flac", "s2/net.flac", "s2/x.flac")
    assert paired("s*/ref.wav", "s*/net.flac") == (
        [("1", "s1/ref.wav", "s1/net.flac"), ("2", "s2/ref.wav", "s2/net.flac")],
        [],
    )
    assert paired("?1/ref.wav", "?1/net.flac")[0] == [("s", "s1/ref.wav", "s1/net.flac")]


def test_patterns_reach_across_folders_and_take_brackets_as_they_are(tree):
    tree("r/p/q/a.wav", "r/b.wav", "e/p/q/a-[hi].wav", "e/b-[hi].wav")
    pairs, problems = paired("r/**/*.wav", "e/**/*-[hi].wav")
    assert ([name for name, _, _ in pairs], problems) == (["b", "p/q/a"], [])


def test_a_pattern_pairs_with_a_folder(tree):
    tree("r/a.wav", "e/a.enhanced.wav")
    assert paired("r/*.wav", "e")[0] == [("a", "r/a.wav", "e/a.enhanced.wav")]
    assert paired("r", "e/*")[0] == [("a", "r/a.wav", "e/a.enhanced.wav")]


@pytest.mark.parametrize(
    ("reference", "estimate", "message"),
    [
        ("absent", "r", "absent: no such file or folder"),
        ("r", "absent.wav", "absent.wav: no such file or folder"),
        ("r", "empty", "empty: no audio file"),
        ("r/*.mp3", "r", r"r/\*.mp3: no audio file"),
        ("r/a.wav", "r", "r/a.wav is a file and the other is not"),
    ],
)
def test_arguments_that_name_nothing_are_refused(tree, reference, estimate, message):
    tree("r/a.wav", "empty/notes.txt")
    with pytest.raises(InvalidInputError, match=message):
        pair_files(reference, estimate)
