"""Comparisons: what is run is what is scored, aligned, paired case by case, and said the same."""

import html.parser
import json
import math

import numpy as np
import pytest
import soundfile

from overtone.errors import InvalidInputError
from overtone.evaluation.baselines import BASELINES, soxr
from overtone.evaluation.quality import choose_systems, compare, spread
from overtone.evaluation.quality_report import (
    BEGIN,
    END,
    FILES,
    TIMINGS,
    as_json,
    difference_table,
    report,
    require_system,
    score_table,
    settings,
    summarise,
    texture_table,
    timings,
    update_page,
    write_folder,
)
from overtone.evaluation.suites import read_suite
from overtone.evaluation.systems import System, find_systems
from overtone.metrics import lsd, snr_db

RATE = 16000


@pytest.fixture
def folder(tmp_path, rng):
    """Two sets: ``x-1``, ``x-2``, ``x-3`` with a system that is late, ``y-1`` without it."""
    for name in ("x-1", "x-2", "x-3", "y-1"):
        case = tmp_path / "suite" / name
        case.mkdir(parents=True)
        # Falling by 6 dB an octave, and fading in and out as clips do.
        reference = rng.standard_normal(6000).cumsum() / 200
        reference = (reference - reference.mean()) * np.hanning(6000)
        soundfile.write(case / "reference.wav", 0.3 * reference, RATE, subtype="FLOAT")
        if name != "y-1":
            late = np.concatenate(
                [np.zeros(23), 0.3 * reference + 0.001 * rng.standard_normal(6000)]
            )
            soundfile.write(case / "theirs.wav", late, RATE, subtype="FLOAT")
    return tmp_path / "suite"


@pytest.fixture
def suite(folder):
    return read_suite(folder, scale=4)


@pytest.fixture
def systems():
    return find_systems(list(BASELINES))


def test_every_system_is_scored_on_every_case(folder, suite, systems):
    done = compare(suite, systems)
    assert done.problems == []
    assert len(done.scores) == 4 * 3 + 3
    score = next(s for s in done.scores if (s.case, s.system) == ("x-2", "soxr"))
    clip = suite.cases[1].open()
    plain = soxr(clip.low, 4000, RATE)
    assert score.scores["lsd"] == lsd(clip.reference, plain)
    assert score.scores["snr_db"] == snr_db(clip.reference, plain)
    assert score.cutoff_hz == 2000
    assert score.cpu_s is not None
    digest = done.hashes["x/x-2"]["reference"]
    assert len(digest) == 64
    assert done.hashes["x/x-1"]["reference"] != digest


def test_a_late_system_is_moved_and_the_shift_reported(suite, systems):
    aligned = [s for s in compare(suite, systems).scores if s.system == "theirs"]
    as_it_lies = [s for s in compare(suite, systems, align=False).scores if s.system == "theirs"]
    assert {s.shift_samples for s in aligned} == {23}
    assert {s.shift_samples for s in as_it_lies} == {0}
    for moved, still in zip(aligned, as_it_lies, strict=True):
        assert moved.scores["snr_db"] > still.scores["snr_db"] + 3


def test_means_and_differences_are_over_cases_in_pairs(suite, systems):
    done = compare(suite, systems)
    rows = {(row.group, row.system): row for row in summarise(done, "soxr")}
    assert list(rows) == [
        *(("x", name) for name in ("spline", "soxr", "copy-up", "theirs")),
        *(("y", name) for name in ("spline", "soxr", "copy-up")),
    ]
    ours, theirs = (
        [s.scores["lsd"] for s in done.scores if (s.group, s.system) == ("x", name)]
        for name in ("soxr", "theirs")
    )
    row = rows["x", "theirs"]
    assert row.means["lsd"].value == pytest.approx(np.mean(theirs))
    assert row.means["lsd"].low <= row.means["lsd"].value <= row.means["lsd"].high
    difference = row.differences["lsd"]
    assert difference.value == pytest.approx(np.mean(theirs) - np.mean(ours))
    # Pairs: the interval is that of the differences, not of two means apart.
    each = np.subtract(theirs, ours)
    assert each.min() <= difference.low <= difference.high <= each.max()
    assert row.common == row.cases == 3
    assert rows["x", "soxr"].differences == {}
    # One case says nothing about others.
    assert math.isnan(rows["y", "spline"].means["lsd"].low)


def test_a_missing_output_leaves_the_others_and_says_how_many(folder, systems):
    (folder / "x-2" / "theirs.wav").unlink()
    suite = read_suite(folder, scale=4)
    done = compare(suite, systems)
    assert done.problems == ["x: no output of theirs for x-2; its means are over 2 of 3 cases"]
    rows = summarise(done, "theirs")
    assert [row.cases for row in rows if row.group == "x"] == [3, 3, 3, 2]
    assert [row.common for row in rows if row.group == "x"] == [2, 2, 2, 0]
    text = difference_table([row for row in rows if row.group == "x"], "theirs").render("markdown")
    assert "| spline | 2 |" in text
    assert difference_table([row for row in rows if row.group == "y"], "theirs") is None


def test_texture_stands_beside_that_of_the_reference(suite, systems):
    done = compare(suite, systems)
    rows = [row for row in summarise(done, "soxr") if row.group == "x"]
    table = texture_table(rows)
    labels = [column.label for column in table.columns]
    assert labels[2:5] == ["envelope dB ↓", "grain dB", "reference"]
    scores = [s.scores for s in done.scores if (s.group, s.system) == ("x", "spline")]
    spline = next(row for row in table.rows if row["system"] == "spline")
    assert (
        spline["reference_grain_db"] == f"{np.mean([s['reference_grain_db'] for s in scores]):.2f}"
    )
    assert "envelope_db" in next(row for row in rows if row.common).differences


def test_what_cannot_be_scored_is_named_and_the_rest_goes_on(folder, systems, rng):
    soundfile.write(folder / "x-1" / "theirs.wav", rng.standard_normal(6000), 8000)
    soundfile.write(folder / "x-2" / "theirs.wav", rng.standard_normal((6000, 2)), RATE)
    soundfile.write(folder / "x-3" / "theirs.wav", rng.standard_normal(60000), RATE)
    soundfile.write(folder / "y-1" / "reference.wav", np.zeros(6000), RATE)
    done = compare(read_suite(folder, scale=4), systems)
    lines = "\n".join(done.problems)
    assert len(done.problems) == 4
    assert "x/x-1: theirs: skipped" in lines
    assert "at 8000 Hz, its reference at 16000 Hz" in lines
    assert "2 channels, its reference 1" in lines
    assert "x/x-3: theirs: skipped, lasts 3.750 s, its reference 0.375 s" in lines
    assert "y/y-1: skipped" in lines
    assert "silent" in lines
    assert {s.case for s in done.scores} == {"x-1", "x-2", "x-3"}
    assert "theirs" not in {s.system for s in done.scores}


def test_an_input_of_another_length_is_one_problem(folder, systems, rng):
    for case in folder.iterdir():
        soundfile.write(case / "low.wav", rng.standard_normal(9000), 4000)
    done = compare(read_suite(folder), systems)
    assert not done.scores
    assert len(done.problems) == 4
    assert all("its input lasts 2.250 s" in line for line in done.problems)


def test_systems_run_only_where_they_fit(suite):
    never = System("never", "0", lambda *_: pytest.fail("it was run"), lambda *_: False)
    done = compare(suite, [*find_systems(["soxr"]), never])
    assert {s.system for s in done.scores} == {"soxr", "theirs"}


def test_a_file_with_a_baselines_name_stays_apart(folder, systems):
    (folder / "x-1" / "theirs.wav").rename(folder / "x-1" / "soxr.wav")
    done = compare(read_suite(folder, scale=4), systems)
    found = {s.system: s for s in done.scores if s.case == "x-1"}
    assert found["soxr"].shift_samples == 0
    assert found["soxr (file)"].shift_samples == 23


def test_models_come_after_baselines_and_given_ones_always_run():
    names = [system.name for system in choose_systems(["speech", "speech"])]
    assert names == [*BASELINES, "speech"]
    shipped, given = (
        next(system for system in choose_systems(models) if system.name == "speech")
        for models in ([], ["speech"])
    )
    assert shipped.fits(8000, 48000)
    assert not shipped.fits(8000, 96000)
    assert given.fits(8000, 96000)
    assert shipped.identity == given.identity
    assert len(given.identity) == 64


def test_examples_are_spread_over_the_sets(suite):
    assert [case.name for case in spread(suite.cases, 3)] == ["x-1", "y-1", "x-2"]


def test_undefined_figures_are_never_numbers(folder, systems):
    for case in ("x-1", "x-2", "x-3"):
        own, rate = soundfile.read(folder / case / "reference.wav")
        soundfile.write(folder / case / "theirs.wav", own, rate, subtype="FLOAT")
    done = compare(read_suite(folder, scale=4), systems)
    rows = summarise(done, "soxr")
    text = as_json(done, rows, "soxr")
    assert "Infinity" not in text
    assert "NaN" not in text
    assert json.loads(text)["sets"][3]["means"]["snr_db"]["value"] is None
    assert "n/a" in score_table(rows[:4]).render("markdown")
    assert any(line.startswith("n/a:") for line in settings(done, "soxr"))


def test_the_same_input_gives_the_same_bytes_but_for_the_timings(folder, tmp_path):
    for out in ("a", "b"):
        suite = read_suite(folder, scale=4)
        done = compare(suite, find_systems(["soxr", "spline"]), examples=1)
        rows = summarise(done, "soxr")
        written = write_folder(done, rows, "soxr", tmp_path / out, overwrite=False)
        assert sorted(path.name for path in written) == sorted(FILES)
    for name in set(FILES) - {TIMINGS}:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    cases = (tmp_path / "a" / "cases.csv").read_text().splitlines()
    assert len(cases) == 1 + 4 * 2 + 3
    assert len(json.loads(timings(done, rows))["cases"]) == 8


class Links(html.parser.HTMLParser):
    """Collects what a page would load, and what it says."""

    def __init__(self):
        super().__init__()
        self.links, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_needs_nothing_outside_it(folder, suite, systems):
    (folder / "x-1").rename(folder / "x-<b>1")
    done = compare(read_suite(folder, scale=4), systems, examples=2)
    text = report(done, summarise(done, "soxr"), "soxr", with_clips=True).html()
    found = Links()
    found.feed(text)
    assert all(link.startswith("data:") for link in found.links)
    assert found.tags.count("img") == 2
    # Reference, input, three baselines; theirs in one of the two.
    assert found.tags.count("audio") == 5 + 6
    assert "b" not in found.tags
    assert "url(" not in text


def test_settings_name_versions_filters_and_metrics(suite, systems):
    text = "\n".join(settings(compare(suite, systems), "soxr"))
    for word in (
        "overtone",
        "numpy",
        "soxr",
        "onnxruntime",
        "decimate by 4",
        "Hann 2048",
        "seed 0",
    ):
        assert word in text


def test_a_page_keeps_what_people_wrote(suite, systems, tmp_path):
    done = compare(suite, systems)
    rows = summarise(done, "soxr")
    path = tmp_path / "quality.md"
    path.write_text(f"# Mine\n\n{BEGIN}\nold\n{END}\n\nlast words\n")
    with pytest.raises(InvalidInputError, match="overwrite=True"):
        update_page(done, rows, "soxr", path, "overtone", overwrite=False)
    update_page(done, rows, "soxr", path, "overtone", overwrite=True)
    text = path.read_text()
    assert text.startswith(f"# Mine\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nlast words\n")
    assert "old" not in text.split("### Settings")[0].split()
    assert "CPU-s per s" in text
    # Differences are beside the page, those of every set in one table.
    assert "[quality.csv](quality.csv)" in text
    assert "minus soxr" not in text
    differences = (tmp_path / "quality.csv").read_text().splitlines()
    assert differences[0].startswith("group,system,cases,lsd,")
    assert len(differences) == 1 + sum(row.common > 0 for row in rows)
    (tmp_path / "other.md").write_text("nothing made")
    with pytest.raises(InvalidInputError, match="no part to replace"):
        update_page(done, rows, "soxr", tmp_path / "other.md", "overtone", overwrite=True)
    update_page(done, rows, "soxr", tmp_path / "new.md", "overtone", overwrite=False)
    assert (tmp_path / "new.md").read_text().startswith("# ")


def test_an_unknown_system_to_compare_with_is_named():
    with pytest.raises(
        InvalidInputError, match="--versus sxr: no such system here; there are soxr"
    ):
        require_system(["soxr", "spline"], "sxr")


def test_perceptual_scores_are_of_joined_clips(suite, systems):
    pytest.importorskip("visqol")
    done = compare(suite, systems[1:2], perceptual=True)
    # A third of a second is too short for ViSQOL, three of them are not.
    assert 1 <= done.visqol["x", "soxr"] <= 5
    assert math.isnan(done.visqol["y", "soxr"])
    table = score_table([row for row in summarise(done, "soxr") if row.group == "x"])
    labels = [column.label for column in table.columns]
    assert [label for label in labels if label.split()[0] in ("ViSQOL", "PESQ", "STOI")]
    assert any("clips joined" in line for line in settings(done, "soxr"))
