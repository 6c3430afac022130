"""All metrics at once agree with each alone, and each comes with its settings."""

import math

import numpy as np
import pytest

from overtone.errors import InvalidInputError
from overtone.metrics import (
    METRICS,
    describe,
    evaluate_pair,
    kuleshov_lsd,
    kuleshov_snr_db,
    lsd,
    lsd_by_band,
    lsd_hf,
    lsd_lf,
    mean_scores,
    settings_lines,
    si_sdr_db,
    side_mid_db,
    snr_db,
    texture_scores,
)


@pytest.fixture
def pair(rng):
    reference = 0.1 * rng.standard_normal((2, 20000))
    return reference, reference + 0.02 * rng.standard_normal((2, 20000))


def test_every_score_is_what_its_own_function_returns(pair):
    bands = lsd_by_band(*pair, 22050)
    assert evaluate_pair(*pair, 22050, cutoff_hz=5500) == pytest.approx(
        {
            "snr_db": snr_db(*pair),
            "si_sdr_db": si_sdr_db(*pair),
            "lsd": lsd(*pair),
            "lsd_hf": lsd_hf(*pair, 22050, 5500),
            "lsd_lf": lsd_lf(*pair, 22050, 5500),
            "lsd_0_4khz": bands[0, 4000],
            "lsd_4_8khz": bands[4000, 8000],
            "lsd_8_12khz": bands[8000, 11025],
            "side_mid_db": side_mid_db(*pair, 22050, 5500),
            **texture_scores(*pair, 22050, 5500),
            "kuleshov_snr_db": kuleshov_snr_db(*pair),
            "kuleshov_lsd": kuleshov_lsd(*pair),
        },
        nan_ok=True,  # noise has no voice
    )


def test_parts_that_were_not_asked_for_are_absent(pair):
    assert (
        not {"lsd_hf", "lsd_lf", "envelope_db", "visqol_mos"} & evaluate_pair(*pair, 16000).keys()
    )


def test_listener_models_are_added_on_request(pair):
    pytest.importorskip("visqol")
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    pytest.importorskip("speechmos")
    scores = evaluate_pair(*pair, 16000, perceptual=True)
    added = ["visqol_mos", "pesq_mos", "stoi", "dnsmos_mos", "reference_dnsmos_mos"]
    assert list(scores)[-5:] == added


@pytest.mark.parametrize("cutoff_hz", [0, 8000, 9000, -1])
def test_a_cutoff_outside_the_band_is_refused(pair, cutoff_hz):
    with pytest.raises(InvalidInputError, match=r"below half the sample rate, 8000 Hz"):
        evaluate_pair(*pair, 16000, cutoff_hz=cutoff_hz)


def test_scores_are_never_infinite(pair):
    reference, _ = pair
    silence = np.zeros_like(reference)
    pairs = [(reference, reference), (silence, reference), (reference, silence), (silence, silence)]
    for y, x in pairs:
        assert not any(math.isinf(score) for score in evaluate_pair(y, x, 16000).values())


def test_means_leave_out_what_is_undefined_or_absent():
    low = {"snr_db": 10.0, "lsd": 1.0, "lsd_0_4khz": 2.0}
    high = {"snr_db": math.nan, "lsd": 3.0, "lsd_0_4khz": 4.0, "lsd_4_8khz": 5.0}
    expected = {"snr_db": 10.0, "lsd": 2.0, "lsd_0_4khz": 3.0, "lsd_4_8khz": 5.0}
    assert mean_scores([low, high]) == expected
    assert list(mean_scores([low, high])) == list(high)
    assert math.isnan(mean_scores([{"snr_db": math.nan}])["snr_db"])
    assert mean_scores([]) == {}


def test_every_score_has_a_label_and_settings(pair):
    names = list(evaluate_pair(*pair, 16000, cutoff_hz=4000))
    labels = [describe(name).label for name in names]
    assert labels[:3] == ["SNR dB ↑", "SI-SDR dB ↑", "LSD ↓"]
    assert labels[5:7] == ["LSD 0-4k ↓", "LSD 4-8k ↓"]
    lines = settings_lines(names)
    # The bands share one, and the reference's own figures have none of their own.
    assert len(lines) == len(set(lines)) == len(names) - 1 - 3
    assert describe("grain_db").label == "grain dB"
    assert describe("reference_grain_db").label == "grain of the reference"
    assert all(describe(name).settings in " ".join(lines) for name in names)
    assert "Hann 2048, hop 512" in METRICS["lsd"].settings
