"""A name stands for a method of one rate and scale, or one line says why not."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from overtone.degrade.spline import decimate, interpolate
from overtone.errors import ConfigError, InvalidInputError, MissingExtraError, ModelError
from overtone.evaluation import methods
from overtone.evaluation.baselines import upsample
from overtone.evaluation.methods import find_method, in_pieces
from overtone.metrics import snr_db


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
    monkeypatch.setattr(methods, "load_model", lambda name, device: model)
    return path


@pytest.mark.parametrize("name", ["spline", "soxr", "copy-up"])
def test_baselines_are_those_of_the_laboratory(name, make_noise):
    high = make_noise(22050, 0.2, channels=2)[:, :4400]
    low = decimate(high, 4)
    base = interpolate(low, 4)
    method = find_method(name, 22050, 4)
    assert method.name == name
    assert method.identity.startswith("overtone ")
    expected = upsample(name, low, 22050 / 4, 22050)
    assert np.allclose(method.upsample(low, base), expected, atol=1e-6)


def test_networks_get_the_spline_and_keep_its_length(checkpoint, waveform_model, make_noise):
    base = make_noise(8000, 0.1, channels=3)
    for name, factor, shown in ((checkpoint, 2, "tfilm/best"), (waveform_model, 0.5, "half")):
        method = find_method(str(name), 8000, 2)
        assert (method.name, len(method.identity)) == (shown, 64)
        assert not method.takes_low
        out = method.upsample(base[:, ::2], base)
        assert out.dtype == np.float32
        assert np.allclose(out, factor * base)


@pytest.mark.parametrize(("rate", "scale"), [(8000, 4), (16000, 2)])
def test_a_network_for_another_rate_or_scale_is_refused(checkpoint, waveform_model, rate, scale):
    for name in (checkpoint, waveform_model):
        with pytest.raises(InvalidInputError, match=r"made for 8000 Hz from 4000 Hz, not for "):
            find_method(str(name), rate, scale)


def test_the_shipped_model_extends_low_samples_at_any_ratio(examples_dir):
    from overtone.audio.files import read_audio
    from overtone.dsp.resample import resample

    samples, rate = read_audio(examples_dir / "speech_en_48k.flac")
    high = resample(samples, rate, 22050)[:, : 22050 // 4 * 4]
    low = decimate(high, 4)
    base = interpolate(low, 4)
    method = find_method("speech", 22050, 4)
    out = method.upsample(low, base)
    assert method.takes_low
    assert out.shape == high.shape
    # 5512 in place of 5512.5 Hz would drift by two samples in this second.
    assert snr_db(high, out) > snr_db(high, base) - 3


def test_names_that_mean_nothing_are_told_what_would(tmp_path):
    with pytest.raises(ModelError, match=r"no method 'nope'.*spline, soxr, copy-up.*train"):
        find_method("nope", 16000, 4)
    with pytest.raises(ConfigError, match="not a checkpoint"):
        find_method(str(tmp_path), 16000, 4)


def test_a_checkpoint_of_another_kind_of_network_must_be_exported(checkpoint, monkeypatch):
    from overtone.training import checkpoint as module

    recipe = SimpleNamespace(name="speech", model=SimpleNamespace(sample_rate=8000))
    monkeypatch.setattr(module, "load_model", lambda folder: (None, recipe, {}))
    with pytest.raises(InvalidInputError, match=r"best: not a network of the lineage.*export"):
        find_method(str(checkpoint), 8000, 2)


def test_without_torch_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"overtone\[train\]"):
        find_method(str(tmp_path), 16000, 4)


def test_pieces_join_where_a_network_sees_less_than_the_margin(make_noise):
    base = make_noise(1000, 2 * methods.PIECE_SAMPLES / 1000 + 321, channels=2)
    lengths = []

    def smooth(samples):
        lengths.append(samples.shape[1])
        out = samples.copy()
        out[:, 500:] += samples[:, :-500]
        out[:, :-500] += samples[:, 500:]
        return out

    whole = smooth(base)
    assert np.array_equal(in_pieces(smooth, base), whole)
    assert max(lengths[1:]) <= methods.PIECE_SAMPLES + 2 * methods.MARGIN_SAMPLES
