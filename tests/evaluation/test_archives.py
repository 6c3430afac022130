"""Figures of an archive are those of its patches, and their intervals those of its recordings."""

import json
import math

import numpy as np
import pytest

from overtone.data.archive import ArchiveInfo, Piece, SourceFile, write_archive
from overtone.data.patches import PatchSettings, cut, make_pair
from overtone.degrade.spline import interpolate
from overtone.errors import InvalidInputError
from overtone.evaluation import archives
from overtone.evaluation.archive_tables import archive_table, summary_table
from overtone.evaluation.archives import evaluate_archive
from overtone.evaluation.stats import mean_with_interval
from overtone.evaluation.systems import System, find_bare_system
from overtone.metrics import kuleshov_lsd, kuleshov_snr_db, lsd, snr_db

SETTINGS = PatchSettings(
    sample_rate=8000, scale=4, dimension=1024, stride=512, interpolate=True, low_pass=True
)


@pytest.fixture
def make_archive(tmp_path):
    """Write recordings of noise as an archive; returns its path and its pairs of whole signals."""

    def make(settings=SETTINGS, samples=(5000, 2500, 3100), hashes="012", silent=()):
        rng = np.random.default_rng(5)  # the same noise for all settings
        pairs, pieces, lengths = [], [], []
        for number, length in enumerate(samples):
            high = (0.02 * 2**number * rng.standard_normal(length)).astype(np.float32)
            high[: 1024 * (number in silent)] = 0
            low, high = make_pair(high, settings)
            step = settings.low_step
            size = high.size if settings.whole_files else settings.dimension
            starts = np.arange(0, high.size - size + 1, settings.stride)
            sides = cut(low, starts // step, size // step), cut(high, starts, size)
            pairs += zip(*sides, strict=True)
            pieces.append(Piece(number, starts, *sides))
            lengths += [size] * len(starts)
        path = tmp_path / "noise.h5"
        info = ArchiveInfo(corpus="noise", split="test", split_rule="all", settings=settings)
        sources = [SourceFile(f"{n}.wav", digest * 64) for n, digest in enumerate(hashes)]
        write_archive(path, info, sources, lengths, iter(pieces))
        return path, pairs

    return make


def turned_down(name, identity):
    return System(name, identity, lambda base, *_: base * np.float32(0.9), takes_spline=True)


@pytest.fixture
def better(monkeypatch):
    """Let the name ``better`` stand for a system that only turns the spline down."""
    system = turned_down("better", "f" * 64)
    monkeypatch.setattr(
        archives,
        "find_bare_system",
        lambda name: system if name == "better" else find_bare_system(name),
    )
    return system


def by_metric(scores, system):
    return {c.metric: c for c in scores.comparisons if c.system == system}


def test_means_and_gains_are_those_of_the_patches(make_archive, better):
    path, pairs = make_archive()
    found = by_metric(evaluate_archive(path, ["better"]), "better")
    groups = [0] * 8 + [1] * 3 + [2] * 5
    functions = {
        "snr_db": snr_db,
        "lsd": lsd,
        "kuleshov_snr_db": kuleshov_snr_db,
        "kuleshov_lsd": kuleshov_lsd,
    }
    assert found.keys() == functions.keys()
    for name, function in functions.items():
        base = np.array([function(high, low) for low, high in pairs])
        own = np.array([function(high, better.run(low, 2000, 8000)) for low, high in pairs])
        comparison = found[name]
        for estimate, values in (
            (comparison.baseline, base),
            (comparison.score, own),
            (comparison.gain, own - base),
        ):
            assert estimate.value == pytest.approx(values.mean())
            assert estimate == mean_with_interval(values, groups)
        # A paired difference is known better than what it is the difference of.
        narrow = comparison.gain.high - comparison.gain.low
        assert narrow < comparison.baseline.high - comparison.baseline.low


def test_the_spline_gains_nothing_on_itself(make_archive):
    path, _ = make_archive()
    for comparison in evaluate_archive(path, ["spline"]).comparisons:
        assert comparison.score == comparison.baseline
        assert comparison.gain.value == comparison.gain.low == comparison.gain.high == 0


def test_an_input_that_was_not_interpolated_gets_its_spline(make_archive):
    path, pairs = make_archive(SETTINGS.model_copy(update={"interpolate": False}))
    found = by_metric(evaluate_archive(path, ["soxr", "spline"]), "spline")
    expected = np.mean([lsd(high, interpolate(low, 4)) for low, high in pairs])
    assert found["lsd"].baseline.value == pytest.approx(expected)


def test_low_samples_are_found_again_in_the_spline(make_archive):
    interpolated = by_metric(evaluate_archive(make_archive()[0], ["soxr"]), "soxr")
    plain = SETTINGS.model_copy(update={"interpolate": False})
    low = by_metric(evaluate_archive(make_archive(plain)[0], ["soxr"]), "soxr")
    for name, comparison in low.items():
        assert interpolated[name].score.value == pytest.approx(comparison.score.value, abs=1e-3)
    assert low["snr_db"].gain.value > 0


def test_whole_files_are_items(make_archive, better):
    path, pairs = make_archive(SETTINGS.model_copy(update={"dimension": -1}))
    scores = evaluate_archive(path, ["better", "copy-up"])
    assert (scores.items, scores.recordings) == (3, 3)
    expected = np.mean([snr_db(high, low) for low, high in pairs])
    assert by_metric(scores, "better")["snr_db"].baseline.value == pytest.approx(expected)
    assert "each whole file by itself" in archive_table(scores).render("markdown")


def test_a_file_listed_twice_is_one_recording(make_archive, better):
    path, _ = make_archive(hashes="011")
    scores = evaluate_archive(path, ["better"])
    assert scores.recordings == 2
    alone = evaluate_archive(make_archive(hashes="000")[0], ["better"])
    assert all(math.isnan(comparison.gain.low) for comparison in alone.comparisons)
    assert "one recording tells nothing" in archive_table(alone).render("table")


def test_silent_patches_are_counted_and_left_out(make_archive, better):
    scores = evaluate_archive(make_archive(silent=(0, 2))[0], ["better"])
    assert scores.undefined == 2
    assert all(math.isfinite(c.gain.value) for c in scores.comparisons)
    assert "2 silent patches have no SNR" in archive_table(scores).render("markdown")


def test_patches_between_low_samples_are_refused_to_those_who_need_them(make_archive, better):
    path, _ = make_archive(SETTINGS.model_copy(update={"stride": 510}))
    evaluate_archive(path, ["better", "spline"])
    with pytest.raises(InvalidInputError, match=r"noise\.h5: stride 510 is no multiple of scale 4"):
        evaluate_archive(path, ["better", "soxr"])


def test_two_systems_of_one_name_stay_apart(make_archive, monkeypatch):
    monkeypatch.setattr(
        archives,
        "find_bare_system",
        lambda name: turned_down("best", name * 8),
    )
    scores = evaluate_archive(make_archive()[0], ["a", "b", "a"])
    assert {c.system for c in scores.comparisons} == {"best aaaaaaaa", "best bbbbbbbb"}
    assert len(scores.comparisons) == 8


def test_progress_reaches_the_end(make_archive, better):
    told = []
    evaluate_archive(make_archive()[0], ["better"], progress=lambda *seen: told.append(seen))
    assert told[-1] == (16, 16)


class TestTables:
    def test_people_and_programs_get_the_same_numbers(self, make_archive, better):
        scores = evaluate_archive(make_archive()[0], ["better", "soxr", "better"])
        assert len(scores.comparisons) == 8
        rows = json.loads(archive_table(scores, readable=False).render("json"))["rows"]
        people = archive_table(scores).rows
        assert len(rows) == len(people) == 8
        row = rows[0]
        assert (row["archive"], row["system"], row["identity"]) == ("noise.h5", "better", "f" * 64)
        assert row["gain_low"] <= row["gain"] <= row["gain_high"]
        expected = f"{row['gain']:+.2f} [{row['gain_low']:+.2f}, {row['gain_high']:+.2f}]"
        assert people[0]["gain"] == expected

    def test_what_made_them_stands_beside_them(self, make_archive, better):
        path, _ = make_archive()
        text = archive_table(evaluate_archive(path, ["better"])).render("markdown")
        for wanted in (
            f"noise.h5, SHA-256 {archives.sha256_of(path)}: 16 patches of 3 recordings",
            "filter scipy.signal.decimate",
            "better: SHA-256 ffff",
            "LSD (Kuleshov): Hann 2048",
            "95% percentile bootstrap",
        ):
            assert wanted in text

    def test_the_same_archive_gives_the_same_bytes(self, make_archive, better):
        path, _ = make_archive()
        texts = [archive_table(evaluate_archive(path, ["better"])).render("csv") for _ in range(2)]
        assert texts[0] == texts[1]

    def test_several_archives_are_summarised(self, make_archive, better):
        scores = evaluate_archive(make_archive()[0], ["better", "soxr"])
        text = summary_table([("noise", scores), ("more", scores)]).render("markdown")
        rows = [line for line in text.splitlines() if line.startswith(("| noise", "| more"))]
        assert len(rows) == 4
        snr = by_metric(scores, "soxr")["kuleshov_snr_db"]
        assert "| noise | 4 | 8000 |" in rows[1]
        assert f"{snr.gain.value:+.2f} [{snr.gain.low:+.2f}, {snr.gain.high:+.2f}]" in rows[1]
