import json

import numpy as np
import onnx
import onnxruntime
import pytest

from overtone.errors import InvalidInputError, ModelError
from overtone.inference.enhancer import Enhancer
from overtone.inference.family import METADATA_KEY
from overtone.inference.model import list_models, load_model, model_path

CONDITIONS = {"cutoff_hz": 5000.0, "fidelity": 0.0}


def shipped(kind):
    return [info for info in list_models() if info.kind == kind]


def test_every_shipped_model_describes_itself():
    models = list_models()
    assert [info.name for info in models if info.is_default] == ["speech"]
    for info in models:
        assert info.training_data
        assert info.license == "Apache-2.0"
        assert len(info.config_sha256) == 64
        assert 0 < info.size_bytes < 16e6
        assert info.parameters > 0
        assert 0 < info.level_rms < 1
        assert 0 < info.min_cutoff_hz < info.max_cutoff_hz < info.sample_rate / 2


def test_shipped_extenders_are_small_and_soon():
    for info in shipped("spectral-extender"):
        assert 3e6 < info.parameters < 8e6
        assert info.latency_samples / info.sample_rate <= 0.060
        # A call for the default model, a radio for music.
        assert info.min_cutoff_hz <= (1000 if info.is_default else 2000)
        assert info.max_cutoff_hz >= 14000


def test_shipped_waveform_models_are_those_of_the_paper():
    for info in shipped("waveform"):
        assert info.patch_samples % info.multiple_samples == 0
        assert info.max_cutoff_hz == info.sample_rate / 2 / info.scale
        assert info.latency_samples / info.sample_rate <= 0.5


def test_every_shipped_model_has_a_card():
    for info in list_models():
        card = model_path(info.name).with_suffix(".md")
        assert info.name in card.read_text(encoding="utf-8")


def test_auto_is_the_default_model():
    assert model_path("auto") == model_path("speech")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"shipped: .*speech"):
        load_model("speeech")


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x07" * 50])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        load_model(path)


def test_a_truncated_model_is_named(tmp_path):
    path = tmp_path / "short.onnx"
    path.write_bytes(model_path("auto").read_bytes()[:200_000])
    with pytest.raises(ModelError, match=r"short\.onnx"):
        load_model(path)


def identity_model(path, metadata):
    shape = [1]
    value = [
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in ("x", "y")
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)
    onnx.save(model, path)
    return path


def test_a_model_of_something_else_is_refused(tmp_path):
    with pytest.raises(ModelError, match="not an overtone model"):
        load_model(identity_model(tmp_path / "other.onnx", {}))


def test_metadata_of_another_version_is_refused(tmp_path):
    own = load_model("auto", device="cpu").info.model_dump(mode="json")
    incomplete = {"format_version": 1, "name": "x"}
    with pytest.raises(ModelError, match="another version"):
        load_model(identity_model(tmp_path / "a.onnx", {METADATA_KEY: json.dumps(incomplete)}))
    unknown = json.dumps({**own, "kind": "oracle"})
    with pytest.raises(ModelError, match=r"kind 'oracle'.*'source-filter' or 'waveform'"):
        load_model(identity_model(tmp_path / "c.onnx", {METADATA_KEY: unknown}))
    for text in ("{", "[]", "3"):
        with pytest.raises(ModelError, match=r"d\.onnx: made for another version"):
            load_model(identity_model(tmp_path / "d.onnx", {METADATA_KEY: text}))
    with pytest.raises(ModelError, match="format 2"):
        load_model(
            identity_model(
                tmp_path / "b.onnx", {METADATA_KEY: json.dumps({**own, "format_version": 2})}
            )
        )


@pytest.mark.parametrize(("device", "threads"), [("gpu", None), ("cpu", 0), ("cpu", -1)])
def test_impossible_settings_are_refused(device, threads):
    with pytest.raises(InvalidInputError, match=r"device|threads"):
        load_model("auto", device=device, threads=threads)


def test_state_carries_across_chunks(rng):
    model = load_model("speech-faithful", device="cpu", threads=1)
    bins = model.info.bins
    spectrum = (rng.standard_normal((2, 12, bins, 2)) * 0.1).astype(np.float32)
    spectrum = spectrum.view(np.complex64)[..., 0]
    network = model.network
    whole, _ = network.run({"spectrum": spectrum}, CONDITIONS, network.initial_state(2))
    state, parts = network.initial_state(2), []
    for part in np.split(spectrum, [1, 2, 7], axis=1):
        out, state = network.run({"spectrum": part}, CONDITIONS, state)
        parts.append(out["residual"])
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole["residual"], atol=1e-5)


def test_a_waveform_model_says_what_it_is(waveform_model, waveform_info):
    info = load_model(waveform_model, device="cpu").info
    assert info.model_dump(include=set(waveform_info)) == waveform_info
    assert (info.kind, info.low_nyquist_hz) == ("waveform", 2000)
    assert info.size_bytes == waveform_model.stat().st_size
    assert not info.is_default


@pytest.mark.parametrize("samples", [0, 1, 64, 8192, 10001])
def test_a_waveform_model_takes_any_length(waveform_model, rng, samples):
    low = rng.standard_normal((2, samples)).astype(np.float32)
    high = load_model(waveform_model, device="cpu").run(low)
    assert high.dtype == np.float32
    np.testing.assert_allclose(high, low + np.float32(0.3) * np.abs(low), atol=1e-6)


def test_damaged_metadata_of_a_waveform_model_is_refused(tmp_path, waveform_info):
    content = waveform_info | {"format_version": 1, "kind": "waveform"}
    for change in ({"patch_samples": 8000}, {"scale": 1}, {"multiple_samples": 0}, {"name": None}):
        path = identity_model(tmp_path / "a.onnx", {METADATA_KEY: json.dumps(content | change)})
        with pytest.raises(ModelError, match="another version"):
            load_model(path)


def test_a_model_warns_of_recordings_it_was_not_made_for(waveform_model):
    info = load_model(waveform_model, device="cpu").info
    for cutoff_hz in (1550, 1700, 2000, 2150):
        assert info.warning(cutoff_hz) == ""
    for cutoff_hz in (1000, 1400, 2300, 4000):
        assert info.warning(cutoff_hz) == "this model is made for recordings that end at 2000 Hz"
    assert load_model("speech", device="cpu").info.warning(16000) == ""


def test_a_model_leaves_the_processes_small_numbers_alone():
    model = load_model("speech-faithful", device="cpu", threads=1)
    silence = np.zeros((1, 3, model.info.bins), np.complex64)
    model.network.run({"spectrum": silence}, CONDITIONS, model.network.initial_state(1))
    smallest = np.float64(5e-324)
    assert smallest * 1.0 > 0  # onnxruntime can make the whole thread flush them to zero


@pytest.mark.parametrize("found", [True, False])
def test_cuda_is_used_where_onnxruntime_has_it_and_named_where_it_fails(monkeypatch, found):
    """By a fake provider: a session that says which it was given, and computes on the CPU."""
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    asked, session = [], onnxruntime.InferenceSession

    def open_fake(path, options, providers):
        asked.append(providers)
        opened = session(path, options, providers=[cpu])
        opened.get_providers = lambda: providers if found else [cpu]
        return opened

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [cuda, cpu])
    monkeypatch.setattr(onnxruntime, "InferenceSession", open_fake)
    if found:
        samples = np.zeros((1, 800), np.float32)
        enhanced, _ = Enhancer("speech", device="cuda").enhance(samples, 8000)
        assert enhanced.shape == (1, 4800)
    else:
        with pytest.raises(ModelError, match="'cuda' cannot be used: onnxruntime found no GPU"):
            load_model("speech", device="cuda")
        load_model("speech", device="auto")
    assert all(providers == [cuda, cpu] for providers in asked)
    load_model("speech", device="cpu")
    assert asked.pop() == [cpu]
