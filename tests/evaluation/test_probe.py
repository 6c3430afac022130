"""The probe is right where there is something to tell by, and guesses where there is nothing."""

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch")

from overtone.errors import InvalidInputError
from overtone.evaluation.baselines import soxr
from overtone.evaluation.probe import probe, probe_report
from overtone.evaluation.suites import read_suite
from overtone.evaluation.systems import System

RATE = 16000


@pytest.fixture
def suite(tmp_path, rng):
    for number in range(6):
        case = tmp_path / "suite" / f"x-{number}"
        case.mkdir(parents=True)
        soundfile.write(case / "reference.wav", 0.1 * rng.standard_normal(RATE * 2), RATE)
    return read_suite(tmp_path / "suite", scale=2)


@pytest.fixture
def other_noise(rng):
    """A system whose high band is noise of the right level, but not the reference's."""

    def run(low, rate_in, rate_out):
        plain = soxr(low, rate_in, rate_out)
        noise = (0.1 * rng.standard_normal(plain.shape)).astype(np.float32)
        return plain + noise

    return System("noise", "0", run)


def test_an_empty_band_is_told_from_a_full_one(suite):
    found = probe(System("soxr", "0", soxr), suite.cases, steps=40)
    assert found.accuracy.value > 0.95
    assert found.recordings == 3
    assert found.crops % 2 == 0


def test_noise_cannot_be_told_from_noise(suite, other_noise):
    found = probe(other_noise, suite.cases, steps=40)
    assert 0.3 < found.accuracy.value < 0.7
    assert found.accuracy.low <= found.accuracy.value <= found.accuracy.high


def test_the_same_arguments_give_the_same_accuracy(suite):
    system = System("soxr", "0", soxr)
    assert probe(system, suite.cases, steps=3) == probe(system, suite.cases, steps=3)


def test_the_report_says_how(suite):
    text = probe_report(
        [probe(System("soxr", "0", soxr), suite.cases, steps=3)], steps=3, seed=0
    ).render("markdown")
    assert "| soxr |" in text
    assert "3 steps" in text
    assert "0.5 is guessing" in text


def test_too_few_recordings_are_refused(suite):
    with pytest.raises(InvalidInputError, match="2 recordings with sound above the cutoff"):
        probe(System("soxr", "0", soxr), suite.cases[:2])


def test_cases_that_cannot_be_used_are_named(suite):
    soundfile.write(suite.cases[0].reference, np.zeros(RATE), RATE)
    told = []
    found = probe(System("soxr", "0", soxr), suite.cases, steps=2, log=told.append)
    assert found.recordings == 2
    assert len(told) == 1
    assert "silent" in told[0]
