"""Which files a batch means, and where the results go; nothing here opens a file."""

from pathlib import Path

import pytest

from overtone.audio.sources import find_sources
from overtone.errors import InvalidInputError
from overtone.inference.jobs import make_tasks, part_existing


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder with recordings, results, hidden files and text, which is the working folder."""
    for name in (
        "rec/b.wav",
        "rec/a.flac",
        "rec/tape/side 1.mp3",
        "rec/tape/side 1.enhanced.mp3",
        "rec/.hidden.wav",
        "rec/.cache/x.wav",
        "rec/notes.txt",
        "empty/notes.txt",
        "call.wav",
        "call.enhanced.wav",
        "odd [1].wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*arguments, **options):
    sources, failures = find_sources(arguments, **options)
    return [source.path.as_posix() for source in sources], [
        f"{path}: {reason}" for path, reason in failures
    ]


def planned(*arguments, output=None, **options):
    sources, _ = find_sources(arguments)
    return {
        task.source.as_posix(): task.destination.as_posix()
        for task in make_tasks(sources, output, **options)
    }


def test_a_folder_gives_its_audio_in_order_without_results_and_hidden_names(tree):
    assert found("rec") == (["rec/a.flac", "rec/b.wav", "rec/tape/side 1.mp3"], [])


def test_patterns_are_expanded_here_where_the_shell_did_not(tree):
    assert found("rec/*.wav")[0] == ["rec/b.wav"]
    assert found("rec/*")[0] == ["rec/a.flac", "rec/b.wav", "rec/tape/side 1.mp3"]
    assert found("rec/**/*.mp3")[0] == ["rec/tape/side 1.mp3"]
    assert found(str(tree / "rec" / "*.wav"))[0] == [(tree / "rec/b.wav").as_posix()]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tree):
    assert found("odd [1].wav") == (["odd [1].wav"], [])


def test_a_result_is_left_out_unless_it_is_all_that_is_asked_for(tree):
    assert found("call.wav", "call.enhanced.wav")[0] == ["call.wav"]
    assert found("call.enhanced.wav")[0] == ["call.enhanced.wav"]


def test_a_file_named_twice_is_done_once(tree):
    assert found("rec/b.wav", "rec", "./rec/b.wav")[0][0] == "rec/b.wav"
    assert len(found("rec/b.wav", "rec", str(tree / "rec/b.wav"))[0]) == 3


@pytest.mark.parametrize("argument", ["gone.wav", "empty", "gone*.wav", "empty/*"])
def test_an_argument_that_means_no_file_is_named_and_the_others_stay(tree, argument):
    sources, failures = found(argument, "call.wav")
    assert sources == ["call.wav"]
    assert len(failures) == 1
    assert argument in failures[0]


def test_the_output_folder_is_not_searched(tree):
    assert found("rec", exclude=Path("rec/tape"))[0] == ["rec/a.flac", "rec/b.wav"]
    assert len(found("rec", exclude=Path("rec"))[0]) == 3


def test_results_go_beside_their_recordings(tree):
    assert planned("rec", "call.wav") == {
        "rec/a.flac": "rec/a.enhanced.flac",
        "rec/b.wav": "rec/b.enhanced.wav",
        "rec/tape/side 1.mp3": "rec/tape/side 1.enhanced.mp3",
        "call.wav": "call.enhanced.wav",
    }


@pytest.mark.parametrize("output", ["out", "out/", "new/place"])
def test_a_folder_keeps_the_tree(tree, output):
    assert planned("rec", output=output) == {
        "rec/a.flac": f"{output.rstrip('/')}/a.flac",
        "rec/b.wav": f"{output.rstrip('/')}/b.wav",
        "rec/tape/side 1.mp3": f"{output.rstrip('/')}/tape/side 1.mp3",
    }


def test_a_pattern_keeps_the_tree_below_its_fixed_part(tree):
    assert planned("rec/**/*.mp3", output="out") == {"rec/tape/side 1.mp3": "out/tape/side 1.mp3"}


def test_a_folder_written_onto_itself_keeps_its_recordings(tree):
    assert planned("rec/b.wav", output="rec") == {"rec/b.wav": "rec/b.enhanced.wav"}


def test_one_input_may_have_its_output_named(tree):
    assert planned("call.wav", output="high.flac") == {"call.wav": "high.flac"}
    assert planned("call.wav", output="rec") == {"call.wav": "rec/call.wav"}


def test_what_cannot_be_written_becomes_flac(tree):
    Path("memo.m4a").touch()
    assert planned("memo.m4a") == {"memo.m4a": "memo.enhanced.flac"}
    assert planned("memo.m4a", output="out/") == {"memo.m4a": "out/memo.flac"}


def test_several_inputs_need_a_folder(tree):
    with pytest.raises(InvalidInputError, match=r"high\.flac names one file.* 3 inputs"):
        planned("rec", output="high.flac")


def test_an_unknown_output_format_is_refused_with_the_known_ones(tree):
    with pytest.raises(InvalidInputError, match=r"\.xyz.*\.flac.*\.wav"):
        planned("call.wav", output="high.xyz")


@pytest.mark.parametrize(
    ("arguments", "output"),
    [(["call.wav"], "./call.wav"), (["call.wav", "other.wav"], None)],
)
def test_an_input_is_never_overwritten(tree, arguments, output):
    Path("other.wav").symlink_to("call.enhanced.wav")
    with pytest.raises(InvalidInputError, match=r"is an input and is never overwritten"):
        planned(*arguments, output=output)


def test_two_inputs_for_one_output_are_refused(tree):
    Path("call.m4a").touch()
    Path("call.flac").touch()
    with pytest.raises(
        InvalidInputError, match=r"call\.m4a and call\.flac .* call\.enhanced\.flac"
    ):
        planned("call.m4a", "call.flac")
    Path("rec/tape/b.wav").touch()
    with pytest.raises(InvalidInputError, match=r"both be written to out/b\.wav"):
        planned("rec/b.wav", "rec/tape/b.wav", output="out")


def test_two_pictures_of_one_name_are_refused(tree):
    Path("call.flac").touch()
    assert len(planned("call.wav", "call.flac")) == 2
    with pytest.raises(InvalidInputError, match=r"call\.enhanced\.png"):
        planned("call.wav", "call.flac", beside=[".png"])


def test_existing_outputs_and_pictures_are_named_and_the_others_stay(tree):
    Path("rec/b.enhanced.png").touch()
    sources = find_sources(["rec", "call.wav"])[0]
    free, failures = part_existing(make_tasks(sources))
    assert [task.source.name for task in free] == ["a.flac", "b.wav"]
    assert [str(f.source) for f in failures] == ["rec/tape/side 1.mp3", "call.wav"]
    assert "call.enhanced.wav exists" in str(failures[1].error)
    tasks = make_tasks(sources, beside=[".png"])
    free, failures = part_existing(tasks)
    assert [task.source.name for task in free] == ["a.flac"]
    assert "b.enhanced.png exists" in str(failures[0].error)
    assert part_existing(tasks, overwrite=True) == (tasks, [])


def test_what_is_done_is_told_by_its_result_and_not_by_its_picture(tree):
    Path("rec/b.enhanced.png").touch()
    tasks = make_tasks(find_sources(["rec/b.wav", "call.wav"])[0], beside=[".png"])
    free, (failed, done) = part_existing(tasks, resume=True)
    assert (free, done.existing) == ([], Path("call.enhanced.wav"))
    assert "b.enhanced.png exists" in str(failed.error)
