"""A file of the AudioUNet family does what its checkpoint does, at any length the network takes."""

import runpy
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch
from onnx import TensorProto
from safetensors.torch import load_file

from overtone import load_model
from overtone.degrade.spline import decimate
from overtone.errors import ConfigError
from overtone.export import waveform
from overtone.export.waveform import TOLERANCE, disagreement, random_patches
from overtone.inference import Enhancer
from overtone.models.audiounet import AudioUNet, AudioUNetConfig
from overtone.models.tfilm import TFiLMConfig, TFiLMUNet
from overtone.training import checkpoint as checkpoints
from overtone.training.families import build_network, read_recipe
from overtone.training.release import export

RECIPE = {
    "name": "tiny-x4",
    "description": "For tests",
    "network": "tfilm",
    "archives": {"train": "a.h5", "validation": "b.h5"},
    "training_data": ["speech: CC0 1.0"],
    "model": {"filters": [8], "kernels": [33], "block_samples": 64, "sample_rate": 16000},
}
PROGRESS = {"step": 30, "seconds": 600.0, "level_rms": 0.06}


def audible(model):
    """New networks return their input nearly: let this one add what can be told apart."""
    torch.nn.init.normal_(model.last.weight, std=0.3)
    for name, parameter in model.named_parameters():
        if name.endswith("convolve.bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A folder as ``overtone train`` leaves it."""
    torch.manual_seed(1)
    recipe = read_recipe(RECIPE)
    model = audible(build_network(recipe))
    folder = tmp_path_factory.mktemp("waveform") / "best"
    checkpoints.save_weights(folder, recipe, model.state_dict(), PROGRESS)
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory, checkpoint):
    """The one file that is traced here: that takes seconds."""
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    info = export(checkpoint, path)
    assert info.name == "tiny-x4"
    return path


@pytest.fixture
def ready(monkeypatch, exported):
    """Let the graph be the one that was traced once."""
    proto = onnx.load(exported)
    monkeypatch.setattr(waveform, "graph", lambda model, info: proto)


@pytest.fixture
def rounded(checkpoint):
    """The network with the weights that float16 leaves of it."""
    model, _, _ = checkpoints.load_model(checkpoint)
    for parameter in model.parameters():
        if parameter.numel() >= 4096:
            parameter.data = parameter.data.half().float()
    return model


@pytest.mark.parametrize("shape", [(1, 64), (1, 8192), (3, 640), (2, 1000)])
def test_the_file_does_what_the_network_does(exported, rounded, rng, shape):
    low = (0.06 * rng.standard_normal(shape)).astype("float32")
    with torch.no_grad():
        wanted = rounded(torch.from_numpy(low)).numpy()
    found = load_model(exported, device="cpu", threads=1).run(low)
    added = (wanted - low).std()
    assert added > 0.05 * low.std()
    assert abs(found - wanted).max() < TOLERANCE * added


def test_the_file_says_what_it_is(exported):
    info = load_model(exported, device="cpu").info
    assert info.model_dump(exclude={"size_bytes", "config_sha256", "overtone_version"}) == {
        "format_version": 1,
        "kind": "waveform",
        "name": "tiny-x4",
        "description": "For tests",
        "sample_rate": 16000,
        "scale": 4,
        "patch_samples": 8192,
        "multiple_samples": 64,
        "min_cutoff_hz": 1600.0,
        "max_cutoff_hz": 2000.0,
        "level_rms": 0.06,
        "has_fidelity": False,
        "parameters": sum(p.numel() for p in build_network(read_recipe(RECIPE)).parameters()),
        "license": "CC0 1.0",
        "training_data": ("speech: CC0 1.0",),
        "training": "30 steps of 16 patches, 10 minutes",
        "is_default": False,
    }
    assert info.config_sha256 == read_recipe(RECIPE).sha256()


def test_large_weights_are_stored_in_half(exported):
    proto = onnx.load(exported)
    onnx.checker.check_model(proto, full_check=True)
    large = [w for w in proto.graph.initializer if torch.Size(w.dims).numel() >= 4096]
    assert large
    assert {w.data_type for w in large} == {TensorProto.FLOAT16}


def test_the_file_names_no_folder(exported):
    assert b".py" not in exported.read_bytes()


def test_it_enhances_a_recording(exported, examples_dir):
    wide, _ = soundfile.read(examples_dir / "speech_en_48k.flac", dtype="float32")
    low = decimate(wide[::3][:48000], 4)
    found, rate = Enhancer(exported, device="cpu", threads=1).enhance(low, 4000, output_rate=16000)
    assert rate == 16000
    assert found.shape == (48000,)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("last.bias", lambda x: x + 0.05, "off by"),
        ("down.0.modulation.lstm.weight_hh_l0", lambda x: x.flip(0), "off by"),
        ("up.0.weight", lambda x: x * float("nan"), "off by nan"),
    ],
)
def test_a_graph_that_differs_is_not_written(ready, checkpoint, tmp_path, name, change, said):
    tensors = load_file(checkpoint / "model.safetensors")
    tensors[name] = change(tensors[name])
    recipe, output = read_recipe(RECIPE), tmp_path / "a.onnx"
    checkpoints.save_weights(tmp_path / "altered", recipe, tensors, PROGRESS)
    output.write_bytes(b"the one before")
    with pytest.raises(ConfigError, match=rf"altered: the exported graph is {said}.*not written"):
        export(tmp_path / "altered", output, overwrite=True)
    assert output.read_bytes() == b"the one before"
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_checkpoint_without_its_level_is_refused(checkpoint, tmp_path):
    progress = {"step": 1, "seconds": 1.0}
    tensors = load_file(checkpoint / "model.safetensors")
    checkpoints.save_weights(tmp_path / "old", read_recipe(RECIPE), tensors, progress)
    with pytest.raises(ConfigError, match=r"old: .*level_rms.*train it again; not written"):
        export(tmp_path / "old", tmp_path / "a.onnx")
    assert not list(tmp_path.glob("*.onnx*"))


def test_a_patch_length_that_does_not_fit_is_refused(checkpoint):
    _, recipe, progress = checkpoints.load_model(checkpoint)
    with pytest.raises(ConfigError, match=r"patches of 1000 samples.*prepare"):
        recipe.describe(progress | {"patch_samples": 1000}, 1)


def test_another_networks_graph_agrees(exported, tmp_path):
    model = audible(AudioUNet(AudioUNetConfig(filters=(8,), kernels=(9,))))
    info = load_model(exported, device="cpu").info.model_copy(update={"multiple_samples": 16})
    onnx.save(waveform.graph(model, info), str(tmp_path / "a.onnx"))
    assert disagreement(model, info, tmp_path / "a.onnx") < TOLERANCE
    assert {low.shape[1] % 16 for low in random_patches(info)} == {0}


def test_a_second_network_of_a_process_is_exported_too(exported, tmp_path):
    """Torch remembers what it found out about sizes, and once divided by zero because of it."""
    config = TFiLMConfig(filters=(4,), kernels=(9,), block_samples=64)
    info = load_model(exported, device="cpu").info
    for _ in range(2):
        waveform.write(audible(TFiLMUNet(config)), info, tmp_path / "a.onnx")


def test_levels_are_taken_away_as_by_hand(exported, rounded, rng):
    tool = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "levels.py"))
    low = (0.06 * rng.standard_normal((2, 640))).astype("float32")
    with torch.no_grad():
        whole = rounded(torch.from_numpy(low)).numpy()
        parts = list(tool["without_levels"](onnx.load(exported)))
        for part, name in zip(parts, ("down.0", "bottleneck"), strict=True):
            silent = deepcopy(rounded)
            for parameter in silent.get_submodule(name).convolve.parameters():
                parameter.zero_()
            wanted = silent(torch.from_numpy(low)).numpy()
            assert abs(wanted - whole).max() > 0.1, name
            np.testing.assert_allclose(tool["run"](part, low), wanted, atol=TOLERANCE)


def test_gains_of_levels_are_over_the_spline(rng):
    tool = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "levels.py"))
    high = rng.standard_normal((2, 8192)).astype("float32")
    low, output = 0.9 * high, 0.99 * high  # errors of a tenth and a hundredth
    snr_db, lsd = tool["gains"](high, low, output)
    assert snr_db == pytest.approx(20, abs=0.2)
    assert lsd == pytest.approx(2 * np.log(0.9 / 0.99), abs=0.01)
