"""Suites: folders and TOML files say which cases there are; what is wrong is named and left out."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from overtone.degrade.spline import decimate
from overtone.errors import ConfigError, InvalidInputError
from overtone.evaluation.cases import FILTERS, Case, Degradation
from overtone.evaluation.suites import read_suite, read_suites

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "suites"


@pytest.fixture
def write(tmp_path, make_lowpassed_noise):
    """Return ``write(name, rate=16000, seconds=0.3)``: a recording below ``tmp_path``."""

    def write_one(name, rate=16000, seconds=0.3):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, make_lowpassed_noise(rate / 2, rate, seconds).T, rate)
        return path

    return write_one


def test_sets_are_folders_or_what_stands_before_the_last_dash(tmp_path, write):
    for name in ("x2/0", "x2/1", "old-piano-1", "old-piano-2"):
        write(f"{name}/reference.flac")
        write(f"{name}/low.wav", 8000)
        write(f"{name}/theirs.flac")
    suite = read_suite(tmp_path)
    assert [case.label for case in suite.cases] == [
        "old-piano/old-piano-1",
        "old-piano/old-piano-2",
        "x2/0",
        "x2/1",
    ]
    assert all(list(case.outputs) == ["theirs"] for case in suite.cases)
    assert suite.problems == []
    clip = suite.cases[0].open()
    assert (clip.rate, clip.low_rate) == (16000, 8000)


def test_what_is_wrong_with_a_case_is_one_line_and_the_rest_stays(tmp_path, write):
    write("set/good/reference.flac")
    write("set/good/low.flac", 8000)
    write("set/good/theirs.flac")
    write("set/no reference/low.flac", 8000)
    write("set/no low/reference.flac")
    write("set/twice/reference.flac")
    write("set/twice/reference.wav")
    write("set/other/reference.flac")
    write("set/other/low.flac", 8000)
    (tmp_path / "set/good/notes.txt").write_text("not audio")
    suite = read_suite(tmp_path)
    assert [case.name for case in suite.cases] == ["good", "other"]
    text = "\n".join(suite.problems)
    assert len(suite.problems) == 4
    assert "no reference: skipped, no file reference.*" in text
    assert "no low: skipped, no file low.*" in text
    assert "reference.flac: beside reference.wav" in text
    assert "set: no output of theirs for other; its means are over 1 of 2 cases" in text


def test_inputs_can_be_made_from_references_by_kuleshovs_protocol(tmp_path, write):
    path = write("speech-1/reference.flac", seconds=0.30005)
    write("speech-1/low.flac", 8000)
    suite = read_suite(tmp_path, scale=4)
    clip = suite.cases[0].open()
    reference = soundfile.read(path, dtype="float32")[0][None]
    np.testing.assert_array_equal(clip.low, decimate(reference[:, :4800], 4))
    assert clip.low_rate == 4000
    assert any("scipy.signal.decimate by 4" in line for line in suite.settings)


def test_rates_that_are_not_whole_are_kept():
    low, rate = Degradation("decimate", Fraction(4)).degrade(np.ones((1, 4410), np.float32), 22050)
    assert (low.shape, rate) == ((1, 1102), 5512.5)


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_keeps_the_band_and_empties_what_lies_above(name, make_tone):
    how = Degradation(name, Fraction(3), edge=0.9)
    inside, _ = how.degrade(make_tone(1000, 48000), 48000)
    outside, rate = how.degrade(make_tone(17000, 48000), 48000)
    assert rate == 16000
    assert inside.shape == outside.shape == (1, 16000)
    rms = [np.sqrt(np.mean(x[:, 500:-500] ** 2)) for x in (inside, outside)]
    assert rms[0] == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    assert rms[1] < 0.003


def test_an_input_that_is_not_lower_is_refused(write):
    reference, low = write("reference.wav"), write("low.wav", 32000)
    with pytest.raises(InvalidInputError, match="above its reference's 16000 Hz"):
        Case("set", "case", "case", reference, low).open()


def test_a_silent_reference_is_refused(tmp_path):
    soundfile.write(tmp_path / "reference.wav", np.zeros(4000), 16000)
    case = Case("set", "case", "case", tmp_path / "reference.wav", Degradation("soxr", Fraction(2)))
    with pytest.raises(InvalidInputError, match="silent, so that no figure is defined"):
        case.open()


CORPUS = """
name = "held out"
corpus = "voices"
rate = 16000
low_rates = [8000, 4000]
filters = ["decimate", "butterworth"]
clips = 2
seconds = 0.1
seeds = [1, 2]
split = "all"
"""


@pytest.fixture
def corpus(tmp_path, write):
    for index in range(5):
        write(f"voices/speaker{index}/a.wav", 16000, 0.4)
    path = tmp_path / "suite.toml"
    path.write_text(CORPUS)
    return path


def test_a_corpus_gives_the_same_clips_to_every_rate_and_filter(corpus, tmp_path):
    suite = read_suites([corpus], tmp_path)
    groups = list(dict.fromkeys(case.group for case in suite.cases))
    assert groups == [
        f"held out, {low} to 16 kHz, {name}"
        for low in (8, 4)
        for name in ("decimate", "butterworth")
    ]
    assert len(suite.cases) == 4 * 2 * 2
    by_name = {}
    for case in suite.cases:
        clip = case.open()
        assert clip.reference.shape == (1, 1600)
        by_name.setdefault(case.name, []).append(clip.reference)
    assert len(by_name) == 4
    for references in by_name.values():
        assert all(np.array_equal(references[0], other) for other in references)
    again = read_suites([corpus], tmp_path)
    assert again == suite


def test_validation_is_the_last_of_a_corpus_by_name(corpus, tmp_path):
    corpus.write_text(CORPUS.replace('"all"', '"validation"'))
    assert {case.recording for case in read_suite(corpus, tmp_path).cases} == {"speaker4/a"}


def test_a_recording_below_the_suites_rate_is_refused(corpus, tmp_path):
    corpus.write_text(CORPUS.replace("16000", "32000"))
    with pytest.raises(InvalidInputError, match="16000 Hz, below the suite's 32000 Hz"):
        read_suite(corpus, tmp_path).cases[0].open()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"butterworth"', '"butterwort"', "no filter 'butterwort'; known: decimate"),
        ("clips = 2", "clip = 2", "clip: unknown key .known keys: .*clips"),
        ("clips = 2", "clips = 0", "clips: .*greater than or equal to 1"),
        ("4000", "16000", "low_rates: 16000 must lie below"),
        ("4000", "5000", "needs a divisor of rate 16000, not 5000"),
        ('"voices"', '"elsewhere"', "--data-root"),
        ("seconds =", "seconds", "not a TOML file"),
        ('corpus = "voices"', "", "either a folder or a corpus"),
    ],
)
def test_a_wrong_setting_is_named(corpus, tmp_path, old, new, message):
    corpus.write_text(CORPUS.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        read_suite(corpus, tmp_path)


def test_one_file_can_describe_several_suites(tmp_path, write):
    write("a/x-1/reference.wav")
    write("b/x-1/reference.wav")
    path = tmp_path / "two.toml"
    path.write_text(
        '[[suite]]\nfolder = "a"\ndecimate = 2\n[[suite]]\nfolder = "b"\ndecimate = 4\n'
    )
    suite = read_suites([path], tmp_path)
    assert [case.label for case in suite.cases] == ["a/x/x-1", "b/x/x-1"]
    assert [case.open().low_rate for case in suite.cases] == [8000, 4000]
    both = read_suites([tmp_path / "a", tmp_path / "b"], scale=2)
    assert [case.label for case in both.cases] == ["a/x/x-1", "b/x/x-1"]
    with pytest.raises(InvalidInputError, match="two cases of that name"):
        read_suites([tmp_path / "a", tmp_path / "a"], scale=2)


def test_nothing_to_compare_is_an_error(tmp_path):
    with pytest.raises(InvalidInputError, match="no case there"):
        read_suite(tmp_path)
    with pytest.raises(InvalidInputError, match="no such folder or TOML file"):
        read_suite(tmp_path / "missing")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_suites_are_valid_but_for_the_recordings(path, tmp_path):
    with pytest.raises(ConfigError, match="--data-root"):
        read_suite(path, tmp_path)


def test_the_example_in_the_manual_is_valid_but_for_the_recordings(tmp_path):
    text = (ROOT / "docs" / "guide" / "evaluation.md").read_text()
    path = tmp_path / "example.toml"
    path.write_text(text.partition("```toml\n")[2].partition("```")[0])
    with pytest.raises(ConfigError, match="--data-root"):
        read_suite(path, tmp_path)
