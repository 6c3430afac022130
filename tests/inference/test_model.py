import json

import numpy as np
import onnx
import pytest

from overtone.errors import InvalidInputError, ModelError
from overtone.inference.model import METADATA_KEY, list_models, load_model, model_path


def test_every_shipped_model_describes_itself():
    models = list_models()
    assert [info.name for info in models if info.is_default] == ["speech"]
    for info in models:
        assert info.training_data
        assert info.license == "Apache-2.0"
        assert len(info.config_sha256) == 64
        assert 0 < info.size_bytes < 16e6
        assert 3e6 < info.parameters < 8e6
        assert info.latency_samples / info.sample_rate <= 0.060
        assert info.min_cutoff_hz <= 1000
        assert info.max_cutoff_hz >= 14000


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
    model = load_model("auto", device="cpu", threads=1)
    bins = model.info.bins
    spectrum = (rng.standard_normal((2, 12, bins, 2)) * 0.1).astype(np.float32)
    spectrum = spectrum.view(np.complex64)[..., 0]
    whole, _ = model.run(spectrum, 5000.0, model.initial_state(2))
    state, parts = model.initial_state(2), []
    for part in np.split(spectrum, [1, 2, 7], axis=1):
        out, state = model.run(np.ascontiguousarray(part), 5000.0, state)
        parts.append(out)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)
