"""The robustness matrix: what is done to clips, what is scored, and what breaks the rule."""

import json
import math
import pickle
import sys

import numpy as np
import pytest
import soundfile

from overtone.cli import main
from overtone.degrade.conditions import (
    CLIPPING,
    CODEC,
    HIGH_PASS,
    LEVEL,
    LOW_PASS,
    NOISE,
    Condition,
    DegradedClip,
    matrix,
)
from overtone.errors import InvalidInputError
from overtone.evaluation import robustness, robustness_report
from overtone.evaluation.robustness import (
    Choice,
    ConditionScore,
    Excerpt,
    Matrix,
    choose_clips,
    measure,
    score,
)
from overtone.evaluation.robustness_report import (
    full_table,
    grids,
    page,
    summary_table,
    to_json,
    verdict,
    write_folder,
)
from overtone.inference.enhancer import Enhancer
from overtone.metrics import snr_db

RATE = 48_000
NAMES = ("lsd", "lsd_hf", "envelope_db", "snr_db")


@pytest.fixture(scope="module")
def speech(examples_dir):
    samples, _ = soundfile.read(examples_dir / "speech_en_48k.flac", dtype="float32")
    return samples[RATE : RATE + RATE // 2]


@pytest.fixture(scope="module")
def cells():
    return {cell.name: cell for cell in matrix(RATE)}


def damaged(cell, speech, seed=0):
    return cell.degrade(speech, RATE, np.random.default_rng(seed))


def power_db(x, low_hz, high_hz):
    power = np.abs(np.fft.rfft(np.hanning(x.size) * x)) ** 2
    hz = np.fft.rfftfreq(x.size, 1 / RATE)
    return 10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].sum() + 1e-20)


# What happens to a clip -------------------------------------------------------------------------


def test_the_matrix_has_what_it_promises(cells):
    groups = {cell.group for cell in cells.values()}
    assert groups == {LOW_PASS, CODEC, HIGH_PASS, NOISE, CLIPPING, LEVEL}
    assert len(cells) == len(matrix(RATE))  # no name twice
    rows = {cell.row for cell in cells.values()}
    families = ("Butterworth 2", "Butterworth 10", "Chebyshev I", "elliptic", "Bessel", "soxr")
    for part in (*families, "brick wall", "MP3", "Opus", "AAC", "GSM", "mu-law"):
        assert any(part in row for row in rows), part
    assert {1000, 14_000} <= {cell.cutoff_hz for cell in cells.values()}


def test_conditions_travel_to_other_processes(cells, speech):
    for name in ("Bessel 8, 4 kHz", "white noise, 10 dB SNR", "peak, -60 dBFS"):
        there = pickle.loads(pickle.dumps(cells[name]))
        assert np.array_equal(damaged(there, speech).samples, damaged(cells[name], speech).samples)


def test_low_rates_leave_out_the_cutoffs_they_cannot_have():
    for cell in matrix(16_000):
        assert cell.cutoff_hz is None or cell.cutoff_hz <= 6000


def test_every_cell_gives_a_clip_that_belongs_to_its_reference(cells, speech):
    pytest.importorskip("av")
    for cell in cells.values():
        one = damaged(cell, speech)
        assert one.samples.ndim == one.reference.ndim == 1
        assert np.isfinite(one.samples).all()
        seconds = one.samples.size / one.sample_rate
        assert seconds == pytest.approx(one.reference.size / RATE, abs=1.1 / one.sample_rate)
        assert one.reference.size == speech.size


@pytest.mark.parametrize("row", ["Butterworth 8", "elliptic 6, 60 dB", "FFT brick wall"])
def test_filters_take_the_top_and_leave_the_rest(cells, speech, row):
    one = damaged(cells[f"{row}, 4 kHz"], speech)
    lost_db = [
        power_db(speech, *band) - power_db(one.samples, *band) for band in ((0, 3000), (8000, 24e3))
    ]
    assert abs(lost_db[0]) < 0.5
    assert lost_db[1] > 30


def test_a_low_rate_file_is_handed_over_as_one(cells, speech):
    assert damaged(cells["soxr, left at low rate, 4 kHz"], speech).sample_rate == 8000
    assert damaged(cells["soxr, brought back, 4 kHz"], speech).sample_rate == RATE
    assert damaged(cells["GSM, 8 kHz, 13 kbit/s"], speech).sample_rate == 8000
    assert damaged(cells["MP3, 16 kbit/s"], speech).sample_rate == RATE // 2


@pytest.mark.parametrize("low_hz", [150, 300])
def test_a_telephone_band_lacks_both_ends_and_the_reference_only_the_low_one(cells, low_hz):
    cell = cells[f"telephone band, {low_hz} Hz"]
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    one = damaged(cell, noise)
    low, middle, high = (0, low_hz / 2), (2 * low_hz, 3500), (4500, 24e3)
    for samples, lost in ((one.samples, (low, high)), (one.reference, (low,))):
        for band in (low, middle, high):
            lost_db = power_db(noise, *band) - power_db(samples, *band)
            assert lost_db > 20 if band in lost else abs(lost_db) < 0.5
    assert cell.cutoff_hz == 4000


@pytest.mark.parametrize("snr", [40, 10])
def test_noise_is_as_loud_as_said_and_stands_in_the_reference(cells, speech, snr):
    cell = cells[f"white noise, {snr} dB SNR"]
    one = damaged(cell, speech)
    assert snr_db(speech, one.reference) == pytest.approx(snr, abs=0.2)
    assert power_db(one.samples, 8000, 24e3) < power_db(one.reference, 8000, 24e3) - 30
    assert np.array_equal(one.reference, damaged(cell, speech).reference)
    assert not np.array_equal(one.reference, damaged(cell, speech, seed=1).reference)


def test_clipping_takes_the_share_it_says(cells, speech):
    reference = damaged(cells["clipped, 5 %"], speech).reference
    flat = np.mean(np.abs(reference) >= np.abs(reference).max() * 0.9999)
    assert flat == pytest.approx(0.05, abs=0.005)


def test_levels_are_undone_by_the_gain(cells, speech):
    quiet, loud = (damaged(cells[f"peak, {peak} dBFS"], speech) for peak in (-60, 0))
    assert loud.gain == pytest.approx(1000 * quiet.gain)
    assert quiet.gain * np.abs(speech).max() == pytest.approx(1e-3)
    assert np.array_equal(quiet.reference, speech)
    assert np.allclose(quiet.samples / quiet.gain, loud.samples / loud.gain, atol=1e-6)


# The choice of clips ----------------------------------------------------------------------------


@pytest.fixture
def recordings(tmp_path, make_noise):
    """Two folders of recordings, with one too short, one silent and one too low among them."""
    for folder, count in (("a", 6), ("b", 2)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            path = tmp_path / folder / f"{number}.wav"
            soundfile.write(path, make_noise(RATE, 1.5 + 0.1 * number).T, RATE)
    soundfile.write(tmp_path / "a" / "short.wav", make_noise(RATE, 0.2).T, RATE)
    soundfile.write(tmp_path / "a" / "silent.wav", np.zeros(2 * RATE), RATE)
    return tmp_path


def choose(folder, count, seed=0, model_rate=RATE, seconds=1.0):
    return choose_clips(folder, count=count, seconds=seconds, seed=seed, model_rate=model_rate)


def test_the_seed_chooses_and_folders_take_turns(recordings):
    first, again, other = (choose(recordings, 4, seed) for seed in (1, 1, 2))
    names = [clip.name for clip in first.clips]
    assert sorted(name[0] for name in names) == ["a", "a", "b", "b"]
    assert [(c.name, c.start_s, c.sha256) for c in first.clips] == [
        (c.name, c.start_s, c.sha256) for c in again.clips
    ]
    assert [(c.name, c.start_s) for c in first.clips] != [(c.name, c.start_s) for c in other.clips]
    for clip in first.clips:
        assert clip.samples.shape == (RATE,)
        whole, _ = soundfile.read(recordings / clip.name, dtype="float32")
        start = round(clip.start_s * RATE)
        assert np.allclose(clip.samples, whole[start : start + RATE])


def test_what_cannot_be_used_is_counted_or_named(recordings, make_noise):
    soundfile.write(recordings / "b" / "low.wav", make_noise(16_000, 2.0).T, 16_000)
    (recordings / "b" / "text.wav").write_text("no audio")
    choice = choose(recordings, 99)
    assert (len(choice.clips), choice.short, choice.silent) == (8, 1, 1)
    assert len(choice.problems) == 2
    assert any("low.wav: 16000 Hz" in line for line in choice.problems)
    assert any("text.wav" in line for line in choice.problems)
    with pytest.raises(InvalidInputError, match=r"no recording of 50 s"):
        choose(recordings, 1, seconds=50)
    with pytest.raises(InvalidInputError, match=r"no such folder"):
        choose(recordings / "c", 1)


def test_a_model_of_a_low_rate_gets_clips_of_that_rate(recordings, make_noise):
    clips = choose(recordings, 2, model_rate=16_000).clips
    assert {(clip.sample_rate, clip.samples.size) for clip in clips} == {(16_000, 16_000)}


def test_a_recording_without_its_own_top_is_pointed_out(tmp_path, make_lowpassed_noise):
    soundfile.write(tmp_path / "dull.wav", make_lowpassed_noise(6000, RATE, 2.0).T, RATE)
    (note,) = choose(tmp_path, 1).notes
    assert "dull.wav" in note
    assert "band ends near" in note


# Scores and the rule ----------------------------------------------------------------------------


def test_scores_know_better_from_worse(speech, cells):
    low = damaged(cells["FFT brick wall, 4 kHz"], speech).samples
    bad, perfect = score(speech, low, RATE, 4000), score(speech, speech, RATE, 4000)
    assert perfect["lsd"] == perfect["lsd_hf"] == 0
    assert bad["lsd_hf"] > bad["lsd"] > 1
    assert 5 < bad["snr_db"] < 60


class Spy(Enhancer):
    """Records what it was given."""

    def __init__(self, model):
        super().__init__(model, device="cpu", threads=1)
        self.given = []

    def enhance(self, samples, sample_rate, **options):
        self.given.append((np.asarray(samples), sample_rate, options))
        return super().enhance(samples, sample_rate, **options)


def test_a_real_model_is_measured_on_what_was_damaged(speech, cells):
    names = ["soxr, left at low rate, 4 kHz", "peak, -60 dBFS", "white noise, 10 dB SNR"]
    clip = Excerpt("clip.wav", 0.0, RATE, speech, "0")
    spy = Spy("auto")
    scores, missing = measure(lambda: spy, [clip], [cells[name] for name in names], seed=3)
    assert not missing
    assert [score.condition.name for score in scores] == names
    assert [rate for _, rate, _ in spy.given] == [8000, RATE, RATE]
    assert np.abs(spy.given[1][0]).max() < 1.1e-3
    for one in scores:
        assert (one.clips, one.edge_hz) == (1, 4000)
        assert one.worst == pytest.approx({name: one.change(name) for name in NAMES})
    # Nothing but noise floors could make a model of this kind worse than nothing here.
    assert scores[0].extended == 1
    assert scores[0].change("lsd") < -1
    assert scores[0].found_hz == pytest.approx(4000, rel=0.15)


def test_a_model_of_another_kind_and_rate_is_measured_at_its_own(
    waveform_model, recordings, monkeypatch
):
    asked = []

    def few(*settings):
        asked.append(settings)
        return [cell for cell in matrix(*settings) if cell.row in ("peak", "Bessel 8")][::4]

    monkeypatch.setattr(robustness, "matrix", few)
    run = robustness.run_matrix(str(waveform_model), recordings, clips=2, seconds=1.0, seed=0)
    assert asked == [(16_000, 2000.0)]
    assert {clip.sample_rate for clip in run.choice.clips} == {16_000}
    assert run.model == "bent"
    for one in run.scores:
        assert all(math.isfinite(value) for value in (*one.input.values(), *one.output.values()))


def test_a_codec_that_is_not_here_is_named_once_and_the_rest_goes_on(speech):
    def refuse(x, rate, rng):
        raise InvalidInputError("not installed")

    def keep(x, rate, rng):
        return DegradedClip(x[:0:-1], rate, x[:0:-1])

    made = [Condition(CODEC, "XYZ", kbps, refuse, 4000) for kbps in ("8", "16")]
    made.append(Condition(LOW_PASS, "none", "4", keep, 4000))
    clip = Excerpt("clip.wav", 0.0, RATE, speech, "0")
    scores, missing = measure(lambda: Spy("auto"), [clip], made, seed=0)
    assert [score.condition.row for score in scores] == ["none"]
    assert missing == ["XYZ: not available here (not installed)"]


def cell_score(row, column, lsd=-1.0, snr=-1.0, envelope=-9.0, group=LOW_PASS):
    before = {"lsd": 3.0, "lsd_hf": 4.0, "envelope_db": 30.0, "snr_db": 15.0}
    worst = {"lsd": lsd, "lsd_hf": -2.0, "envelope_db": envelope, "snr_db": snr}
    after = {name: value + worst[name] for name, value in before.items()}
    cell = Condition(group, row, column, lambda *_: None, 4000.0)
    return ConditionScore(cell, 2, 2, 4000.0, 3900.0, before, after, worst)


@pytest.mark.parametrize(
    ("lsd", "snr", "envelope", "failures"),
    [
        (0.0, 0.0, 0.0, []),
        (0.09, -2.9, 0.9, []),
        (0.11, 0.0, 0.0, ["lsd"]),
        (-2.0, -3.1, 0.0, ["snr_db"]),
        (-2.0, 0.0, 1.1, ["envelope_db"]),
        (-2.0, 0.0, math.nan, []),
    ],
)
def test_the_rule(lsd, snr, envelope, failures):
    assert cell_score("x", "1", lsd, snr, envelope).failures == failures


@pytest.fixture
def run():
    clip = Excerpt("a/b.wav", 1.25, RATE, np.zeros(RATE, np.float32), "ab" * 32)
    scores = [
        cell_score("Bessel 8", "1", lsd=0.5),
        cell_score("Bessel 8", "11", snr=-4.0),
        cell_score("Bessel 8", "2"),
        cell_score("elliptic", "1"),
        cell_score("Opus", "6", group=CODEC),
    ]
    choice = Choice([clip], [], [])
    return Matrix("toy", "cd" * 32, 7, 1.0, choice, scores, ["AAC: not available here (x)"])


# What is said -----------------------------------------------------------------------------------


def test_the_verdict_counts(run):
    assert verdict(run).startswith("2 of 5 conditions fail (1 by LSD, 0 by envelope, 1 by SNR)")
    assert [score.condition.column for score in run.failed] == ["11", "1"]
    whole = Matrix(**{**run.__dict__, "scores": run.scores[2:]})
    assert verdict(whole).startswith("All 3 conditions keep the rule")


def test_tables_hold_every_cell_and_every_kind(run):
    rows = full_table(run).rows
    assert [row["condition"] for row in rows][:2] == ["Bessel 8, 1 kHz", "Bessel 8, 11 kHz"]
    assert [row["rule"] for row in rows] == ["fails", "fails", "", "", ""]
    bessel, elliptic, opus = summary_table(run).rows
    assert (bessel["conditions"], bessel["failed"], bessel["extended"]) == (3, 2, 100)
    assert (bessel["lsd_worst"], bessel["snr_db_worst"]) == (0.5, -4.0)
    assert (elliptic["failed"], opus["degradation"]) == (None, "Opus")


def test_heat_maps_put_numbers_where_they_belong(run):
    low_pass, codec = grids(run.scores, "snr_db")
    assert list(low_pass.columns) == ["1", "2", "11"]  # as numbers, not as words
    assert low_pass.values[0] == [-1.0, -1.0, -4.0]
    assert low_pass.values[1][0] == -1.0
    assert all(math.isnan(value) for value in low_pass.values[1][1:])
    assert (codec.unit, codec.values) == ("kbit/s", [[-1.0]])


def test_the_page_says_how_it_was_made_and_what_broke(run, tmp_path):
    text = page(run, {"lsd": tmp_path / "robustness_lsd.svg"}, "robustness.md").markdown()
    for part in ("--seed 7", "- date: 20", "commit", "`a/b.wav` from 1.25 s", "2 of 5 conditions"):
        assert part in text
    assert "(robustness_lsd.svg)" in text
    assert "AAC: not available here" in text
    assert text.count("| Bessel 8, 11 kHz |") == 1  # it fails
    assert "(robustness.csv)" in text
    assert str(tmp_path) not in text


def test_a_folder_gets_the_same_bytes_again_and_nothing_is_overwritten(run, tmp_path):
    pytest.importorskip("matplotlib")
    first, second = (write_folder(run, tmp_path / name) for name in "ab")
    assert len(first) == 7
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    with pytest.raises(InvalidInputError, match="already exists"):
        write_folder(run, tmp_path / "a")


def test_without_matplotlib_the_tables_are_written(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    written = write_folder(run, tmp_path)
    assert {path.suffix for path in written} == {".csv", ".json", ".md"}
    assert "![" not in (tmp_path / "robustness.md").read_text()


def test_json_tells_clips_and_hashes(run):
    content = json.loads(to_json(run))
    assert content["model"] == {"name": "toy", "sha256": "cd" * 32}
    assert content["clips"][0]["sha256"] == "ab" * 32
    assert len(content["conditions"]) == 5
    assert content["missing"]


# The command ------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*arguments):
        line = ["overtone", "benchmark", "robustness", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code, *capsys.readouterr()

    return call


def test_the_command_measures_prints_and_writes(command, recordings, tmp_path, monkeypatch):
    few = [cell for cell in matrix(RATE) if cell.name in ("FFT brick wall, 4 kHz", "peak, 0 dBFS")]
    monkeypatch.setattr(robustness, "matrix", lambda *_: few)
    out = tmp_path / "out"
    arguments = (recordings, "--clips", 1, "--seconds", 1, "-o", out)
    code, printed, noted = command(*arguments)
    assert code == 0, noted
    assert "FFT brick wall" in printed
    assert "the rule" in printed
    assert len(json.loads((out / "robustness.json").read_text())["conditions"]) == 2
    code, _, noted = command(*arguments)
    assert code == 1
    assert "already exists; use --force" in noted
    assert len(noted.splitlines()) == 1


def test_a_bad_file_is_named_the_rest_done_and_the_exit_code_tells(
    command, recordings, monkeypatch
):
    monkeypatch.setattr(robustness, "matrix", lambda *_: matrix(RATE)[:1])
    (recordings / "b" / "text.wav").write_text("no audio")
    code, printed, noted = command(recordings, "--clips", 20, "--seconds", 1, "--json")
    assert code == 1
    assert "text.wav" in noted
    assert "8 of 20 clips found" in noted
    assert len(json.loads(printed)["conditions"]) == 1


def test_nonsense_is_one_line(command, tmp_path):
    for arguments, words in (
        ((tmp_path / "none",), "no such folder"),
        ((tmp_path, "-m", "nothing"), "no model 'nothing'"),
        ((tmp_path,), "no recording of 3 s"),
    ):
        code, _, noted = command(*arguments)
        assert code == 1
        assert words in noted
        assert len(noted.splitlines()) == 1


def test_colours_end_where_the_page_says():
    assert robustness_report.COLOUR_LIMITS.keys() == set(NAMES)
