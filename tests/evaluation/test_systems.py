"""Systems: every name becomes a way up of the promised length, at any rates, each told apart."""

import shutil

import numpy as np
import pytest

from overtone.errors import InvalidInputError, ModelError
from overtone.evaluation.baselines import BASELINES
from overtone.evaluation.systems import find_system, find_systems
from overtone.inference.model import model_path


@pytest.mark.parametrize("name", [*BASELINES, "speech"])
@pytest.mark.parametrize("rates", [(8000, 16000), (5512.5, 22050)])
def test_the_length_follows_the_rates_and_the_band_stays(name, rates, make_lowpassed_noise):
    rate_in, rate_out = rates
    high = make_lowpassed_noise(1500, round(rate_out), 0.48, channels=2)
    step = round(rate_out / rate_in)
    low = high[:, ::step]
    estimate = find_system(name).upsample(low, rate_in, rate_out)
    assert estimate.shape == (2, low.shape[1] * step)
    # What was predicted above the band aside, the samples lie where they lay.
    error = np.fft.rfft(estimate - high[:, : estimate.shape[1]])[:, :650]
    assert np.linalg.norm(error) < 0.1 * np.linalg.norm(np.fft.rfft(high)[:, :650])


def test_two_models_of_one_name_keep_apart_and_one_given_twice_is_one(tmp_path):
    shipped = model_path("speech")
    other = tmp_path / "other.onnx"
    shutil.copy(shipped, other)
    assert [one.name for one in find_systems(["speech", str(other), "soxr"])] == ["speech", "soxr"]
    # A trailing empty metadata field: another file, the same model.
    other.write_bytes(shipped.read_bytes() + b"\x72\x06\x0a\x01k\x12\x01v")
    names = [one.name for one in find_systems(["speech", str(other)])]
    assert len(set(names)) == 2
    assert all(name.startswith("speech ") for name in names)


def test_an_unknown_name_is_an_error():
    with pytest.raises(ModelError, match="no model 'sinc'"):
        find_system("sinc")


def test_a_name_may_say_how_faithful_a_model_is_to_be(make_lowpassed_noise):
    low = make_lowpassed_noise(3500, 8000, 1.0, channels=1)
    systems = find_systems(["speech", "speech@0", "speech@1"])
    assert [one.name for one in systems] == ["speech", "speech@0", "speech@1"]
    _, natural, faithful = (one.upsample(low, 8000, 16000) for one in systems)
    # Noise cannot be predicted: at the faithful end next to nothing is added.
    assert np.linalg.norm(faithful) < np.linalg.norm(natural)


@pytest.mark.parametrize("name", ["speech@2", "tfilm-speech-x4@0.5"])
def test_a_fidelity_that_a_model_does_not_know_is_an_error(name):
    with pytest.raises(InvalidInputError, match="fidelity"):
        find_system(name)
