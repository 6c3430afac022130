"""Systems: every name becomes a way up of the promised length, at any rates, each told apart."""

import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from overtone.degrade.spline import decimate, interpolate
from overtone.errors import ConfigError, InvalidInputError, MissingExtraError, ModelError
from overtone.evaluation import systems
from overtone.evaluation.baselines import BASELINES, upsample
from overtone.evaluation.systems import find_bare_system, find_system, find_systems, in_pieces
from overtone.inference.model import model_path
from overtone.metrics import snr_db


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
    found = find_systems(["speech", "speech@0", "speech@1"])
    assert [one.name for one in found] == ["speech", "speech@0", "speech@1"]
    _, natural, faithful = (one.upsample(low, 8000, 16000) for one in found)
    # Noise cannot be predicted: at the faithful end next to nothing is added.
    assert np.linalg.norm(faithful) < np.linalg.norm(natural)


@pytest.mark.parametrize("name", ["speech@2", "tfilm-speech-x4@0.5"])
def test_a_fidelity_that_a_model_does_not_know_is_an_error(name):
    with pytest.raises(InvalidInputError, match="fidelity"):
        find_system(name)


# Bare networks ----------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A folder whose network doubles what it gets, made for 8000 Hz from 4000 Hz."""
    torch = pytest.importorskip("torch")
    from overtone.training import checkpoint as module

    folder = tmp_path / "run" / "best"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    recipe = SimpleNamespace(name="tfilm", model=SimpleNamespace(sample_rate=8000, scale=2))
    network = torch.nn.Linear(1, 1)
    network.forward = lambda low: 2 * low + 0 * network.weight[0]
    monkeypatch.setattr(module, "load_model", lambda folder: (network, recipe, {}))
    return folder


@pytest.fixture
def waveform_model(tmp_path, monkeypatch):
    """A model file of the waveform kind that halves what it gets, for 8000 Hz from 4000 Hz."""
    path = tmp_path / "half.onnx"
    path.write_bytes(b"graph")
    info = SimpleNamespace(kind="waveform", name="half", sample_rate=8000, scale=2)
    model = SimpleNamespace(info=info, run=lambda low: low / 2)
    monkeypatch.setattr(systems, "load_model", lambda name, device: model)
    return path


@pytest.mark.parametrize("name", ["spline", "soxr", "copy-up"])
def test_baselines_are_those_of_the_laboratory(name, make_noise):
    high = make_noise(22050, 0.2, channels=2)[:, :4400]
    low = decimate(high, 4)
    base = interpolate(low, 4)
    system = find_bare_system(name)
    assert system.name == name
    assert system.identity.startswith("overtone ")
    expected = upsample(name, low, 22050 / 4, 22050)
    assert np.allclose(system.upsample(low, 22050 / 4, 22050, base), expected, atol=1e-6)


def test_networks_get_the_spline_and_keep_its_length(checkpoint, waveform_model, make_noise):
    base = make_noise(8000, 0.1, channels=3)
    for name, factor, shown in ((checkpoint, 2, "tfilm/best"), (waveform_model, 0.5, "half")):
        system = find_bare_system(str(name))
        assert (system.name, len(system.identity)) == (shown, 64)
        assert system.takes_spline
        out = system.upsample(base[:, ::2], 4000, 8000, base)
        assert out.dtype == np.float32
        assert np.allclose(out, factor * base)


@pytest.mark.parametrize(("rate", "scale"), [(8000, 4), (16000, 2)])
def test_a_network_for_another_rate_or_scale_is_refused(checkpoint, waveform_model, rate, scale):
    for name in (checkpoint, waveform_model):
        with pytest.raises(InvalidInputError, match=r"made for 8000 Hz from 4000 Hz, not for "):
            find_bare_system(str(name)).require(rate, scale)


def test_a_network_runs_near_its_rate_and_says_so(waveform_model, make_tone):
    system = find_bare_system(str(waveform_model))
    system.require(7960, 2)
    assert "made for 8000 Hz, run at 7960 Hz" in system.note(7960)
    assert system.note(8000) == ""
    base = make_tone(300, 7960, 0.5)
    out = system.upsample(base[:, ::2], 3980, 7960, base)
    assert np.allclose(out, 0.5 * base)
    with pytest.raises(InvalidInputError, match="made for 8000 Hz"):
        system.require(7900, 2)


def test_the_shipped_model_extends_low_samples_at_any_ratio(examples_dir):
    from overtone.audio.reader import read_audio
    from overtone.dsp.resample import resample

    samples, rate = read_audio(examples_dir / "speech_en_48k.flac")
    high = resample(samples, rate, 22050)[:, : 22050 // 4 * 4]
    low = decimate(high, 4)
    base = interpolate(low, 4)
    system = find_bare_system("speech")
    out = system.upsample(low, 22050 / 4, 22050, base)
    assert not system.takes_spline
    assert out.shape == high.shape
    # 5512 in place of 5512.5 Hz would drift by two samples in this second.
    assert snr_db(high, out) > snr_db(high, base) - 3


def test_names_that_mean_nothing_are_told_what_would(tmp_path):
    with pytest.raises(ModelError, match=r"no system 'nope'.*spline, soxr, copy-up.*train"):
        find_bare_system("nope")
    with pytest.raises(ConfigError, match="not a checkpoint"):
        find_bare_system(str(tmp_path))


def test_a_checkpoint_of_another_kind_of_network_must_be_exported(checkpoint, monkeypatch):
    from overtone.training import checkpoint as module

    recipe = SimpleNamespace(name="speech", model=SimpleNamespace(sample_rate=8000))
    monkeypatch.setattr(module, "load_model", lambda folder: (None, recipe, {}))
    with pytest.raises(
        InvalidInputError, match=r"best: not a network that runs on patches.*export"
    ):
        find_bare_system(str(checkpoint))


def test_without_torch_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"overtone\[train\]"):
        find_bare_system(str(tmp_path))


def test_pieces_join_where_a_network_sees_less_than_the_margin(make_noise):
    base = make_noise(1000, 2 * systems.PIECE_SAMPLES / 1000 + 321, channels=2)
    lengths = []

    def smooth(samples):
        lengths.append(samples.shape[1])
        out = samples.copy()
        out[:, 500:] += samples[:, :-500]
        out[:, :-500] += samples[:, 500:]
        return out

    whole = smooth(base)
    assert np.array_equal(in_pieces(smooth, base), whole)
    assert max(lengths[1:]) <= systems.PIECE_SAMPLES + 2 * systems.MARGIN_SAMPLES
