"""Models in folders as the hub keeps them, and a hub that is not there."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overtone import Enhancer, load_model
from overtone.errors import InvalidInputError, MissingExtraError, ModelError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("huggingface_hub")
    folder = tmp_path_factory.mktemp("models") / "speech"
    Enhancer("speech", device="cpu").save_pretrained(folder)
    return folder


def copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_saved_model_gives_the_same_samples(folder: Path, make_noise: Any) -> None:
    x = make_noise(8000)
    shipped = Enhancer("speech", device="cpu", threads=1)
    saved = Enhancer.from_pretrained(folder, device="cpu", threads=1)
    assert np.array_equal(saved.enhance(x, 8000)[0], shipped.enhance(x, 8000)[0])
    assert pickle.loads(pickle.dumps(saved)).model.info == saved.model.info
    assert load_model(folder, device="cpu").info.name == "speech"


def test_the_weights_are_those_of_the_graph(folder: Path) -> None:
    onnx = pytest.importorskip("onnx")
    safetensors = pytest.importorskip("safetensors.numpy")
    weights = safetensors.load_file(folder / "model.safetensors")
    graph = onnx.load(folder / "model.onnx").graph
    assert weights.keys() == {one.name for one in graph.initializer}
    for one in graph.initializer:
        assert np.array_equal(weights[one.name], onnx.numpy_helper.to_array(one))


def test_the_card_has_the_hubs_facts_and_the_figures(folder: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(folder / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.pipeline_tag == "audio-to-audio"
    metrics = {(one.dataset_name, one.metric_type) for one in card.data.eval_results}
    assert len(metrics) == len(card.data.eval_results) >= 12
    assert any(metric == "LSD" for _, metric in metrics)
    assert "](../" not in card.text


def test_a_file_that_is_not_whole_is_refused(folder: Path, tmp_path: Path) -> None:
    half = copy(folder, tmp_path / "half")
    (half / "model.onnx").write_bytes((half / "model.onnx").read_bytes()[:-10])
    changed = copy(folder, tmp_path / "changed")
    content = bytearray((changed / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (changed / "model.onnx").write_bytes(content)
    for broken in (half, changed):
        with pytest.raises(ModelError, match=r"model\.onnx: not whole, or changed; delete it"):
            Enhancer.from_pretrained(broken)
    for text in ("{", json.dumps({"file": 3}), json.dumps({})):
        (half / "config.json").write_text(text)
        with pytest.raises(ModelError, match=r"config\.json is missing or damaged"):
            Enhancer.from_pretrained(half)
    with pytest.raises(ModelError, match=r"no model\.onnx here"):
        Enhancer.from_pretrained(tmp_path)


def test_the_cache_serves_without_the_hub(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    # The layout that huggingface_hub gives its cache.
    cached = tmp_path / "models--somebody--speech"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots").mkdir()
    copy(folder, cached / "snapshots" / ("0" * 40))
    found = Enhancer.from_pretrained("somebody/speech", cache_dir=tmp_path, device="cpu")
    assert found.model.info.name == "speech"
    with pytest.raises(
        ModelError, match=r"^nobody/nothing: not to be had from the hub \(not in the"
    ):
        Enhancer.from_pretrained("nobody/nothing", cache_dir=tmp_path)
    with pytest.raises(ModelError, match=r"^not a name: not to be had from the hub \("):
        load_model("hub:not a name")


def test_names_that_are_no_hub_names_are_those_of_models(folder: Path, tmp_path: Path) -> None:
    for name in ("speech", folder / "model.onnx"):
        assert Enhancer.from_pretrained(name, device="cpu").model.info.name == "speech"
    for name in ("spech", tmp_path / "nothing"):
        with pytest.raises(ModelError, match=rf"{name}.*\.onnx"):
            Enhancer.from_pretrained(name)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match=r"file: cannot be a folder \(File exists\)"):
        Enhancer("speech", device="cpu").save_pretrained(tmp_path / "file")


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"overtone\[hub\]"):
        load_model("hub:somebody/speech")


def test_uploading_sends_the_whole_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    sent: dict[str, set[str]] = {}

    class Api:
        def create_repo(self, name: str, exist_ok: bool) -> None:
            sent[name] = set()

        def upload_folder(self, repo_id: str, folder_path: Path, private: bool) -> str:
            sent[repo_id] |= {path.name for path in folder_path.iterdir()}
            return f"https://hub/{repo_id}"

    monkeypatch.setattr(hub, "HfApi", Api)
    address = Enhancer("speech", device="cpu").push_to_hub("me/speech", private=True)
    assert address == "https://hub/me/speech"
    assert sent["me/speech"] == {"README.md", "config.json", "model.onnx", "model.safetensors"}


def test_torch_hub_finds_the_models() -> None:
    hub = pytest.importorskip("torch.hub")
    for name in ("speech", "music"):
        enhancer = hub.load(str(ROOT), name, source="local", device="cpu")
        assert isinstance(enhancer, Enhancer)
        assert enhancer.model.info.name == name
