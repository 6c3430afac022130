"""A model file does what its checkpoint does, says what it is, and is not written otherwise."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

import overtone
from overtone import Enhancer, load_model
from overtone.degrade.lowpass import LowPass, apply
from overtone.errors import ConfigError, InvalidInputError
from overtone.export import frames
from overtone.export.frames import ROUNDING_TOLERANCE
from overtone.export.graph import LARGE_WEIGHT
from overtone.inference.family import METADATA_KEY
from overtone.training import checkpoint as checkpoints
from overtone.training.release import export
from overtone.training.validate import extend, runtime_model


@pytest.fixture(scope="module")
def model(checkpoint):
    """The network of the checkpoint with the weights that float16 leaves."""
    network, _, _ = checkpoints.load_model(checkpoint)
    for parameter in network.parameters():
        if parameter.numel() >= LARGE_WEIGHT:
            parameter.data = parameter.data.half().float()
    return network


@pytest.fixture(scope="module")
def session_of():
    def open_session(path):
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    return open_session


def random_chunk(model, channels, frames, seed):
    """Frames, cutoffs and a state that are all different, as the graph's named inputs."""
    rng, c = np.random.default_rng(seed), model.config

    def noise(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    return {
        "spectrum": 0.1 * noise(channels, frames, c.bins, 2),
        "cutoff_hz": rng.uniform(1000, 14000, channels).astype(np.float32),
        "fidelity": rng.uniform(0, 1, channels).astype(np.float32),
        "context": noise(c.blocks, channels, c.kernel - 1, c.channels),
        "delay": 0.1 * noise(channels, c.lookahead_frames, c.bins, 2),
    }


CHUNKS = [(1, 1), (1, 40), (2, 1), (2, 7), (5, 3)]


@pytest.mark.parametrize(("channels", "frames"), CHUNKS)
def test_the_graph_equals_the_network(model, exported, session_of, channels, frames):
    chunk = random_chunk(model, channels, frames, seed=channels + frames)
    with torch.no_grad():
        wanted = model(*(torch.from_numpy(x) for x in chunk.values()))
    found = session_of(exported.exact).run(None, chunk)
    for a, b in zip(wanted, found, strict=True):
        assert b.shape == a.shape
        assert np.abs(a.numpy() - b).max() < 1e-4


@pytest.mark.parametrize(("channels", "frames"), CHUNKS)
def test_rounding_keeps_close_and_the_rest_exact(model, exported, session_of, channels, frames):
    chunk = random_chunk(model, channels, frames, seed=channels + frames)
    exact, rounded = (session_of(p).run(None, chunk) for p in (exported.exact, exported.path))
    for a, b in zip(exact, rounded, strict=True):
        assert np.linalg.norm(a - b) <= ROUNDING_TOLERANCE * np.linalg.norm(a)
    assert np.array_equal(exact[2], rounded[2])  # what is delayed is the input itself
    # Weights are rounded, so something must differ: the file is the rounded graph.
    assert not np.array_equal(exact[0], rounded[0])


def test_chunks_in_the_shipped_form_give_the_same_frames(model, exported, session_of):
    session, chunk = session_of(exported.path), random_chunk(model, 2, 12, seed=1)
    whole = session.run(None, chunk)
    state = {name: chunk[name] for name in ("context", "delay")}
    pieces = []
    settings = {name: chunk[name] for name in ("cutoff_hz", "fidelity")}
    for piece in np.split(chunk["spectrum"], [1, 6, 8], axis=1):
        inputs = {"spectrum": piece, **settings, **state}
        residual, *new = session.run(None, inputs)
        state = dict(zip(("context", "delay"), new, strict=True))
        pieces.append(residual)
    assert np.allclose(np.concatenate(pieces, axis=1), whole[0], atol=1e-5, rtol=0)


def test_the_file_says_what_it_is(exported, tiny):
    config = tiny()
    info = load_model(exported.path).info
    assert info.model_dump(exclude={"size_bytes", "parameters", "excitation"}) == {
        "texture": {},
        "format_version": 1,
        "kind": "spectral-extender",
        "name": "tiny",
        "description": "For tests",
        "sample_rate": 48000,
        "window_samples": 768,
        "hop_samples": 192,
        "lookahead_frames": 2,
        "min_cutoff_hz": 1000.0,
        "max_cutoff_hz": 14000.0,
        "level_rms": 0.05,
        "has_fidelity": True,
        "license": "CC0 1.0; CC0 1.0, too",
        "training_data": ("speech: CC0 1.0", "wide: CC0 1.0, too"),
        "training": "6 steps of 2 crops, 0 minutes",
        "config_sha256": config.sha256(),
        "overtone_version": overtone.__version__,
        "is_default": False,
    }
    assert info.size_bytes == exported.path.stat().st_size
    c = config.model
    block = 7 * 16 + 16 + 2 * 16 + (16 * 48 + 48) + (48 * 16 + 16) + 16
    embed = 3 * c.visible_bins * 16 + 16 + c.visible_bins * 16 + 2 * 16
    assert info.parameters == embed + 2 * block + 2 * 16 + 4 * c.bins * (16 + 1)


def test_the_metadata_is_json_beside_a_licence(exported):
    entries = {entry.key: entry.value for entry in onnx.load(exported.path).metadata_props}
    assert json.loads(entries[METADATA_KEY])["name"] == "tiny"
    assert entries["license"] == "CC0 1.0; CC0 1.0, too"


def test_the_file_names_no_folder_of_the_machine_that_made_it(exported):
    content = exported.path.read_bytes()
    for folder in (Path(overtone.__file__).parent, Path(torch.__file__).parent, Path.home()):
        assert str(folder).encode() not in content
    assert b".py" not in content


def test_the_graph_is_valid_and_takes_the_inputs_it_promises(exported):
    proto = onnx.load(exported.exact)
    onnx.checker.check_model(proto, full_check=True)
    inputs = ["spectrum", "cutoff_hz", "fidelity", "context", "delay"]
    assert [x.name for x in proto.graph.input] == inputs
    assert [x.name for x in proto.graph.output] == ["residual", "new_context", "new_delay"]


def test_the_command_says_what_it_wrote(exported):
    assert exported.said.startswith(f"{exported.path}: tiny, 0.0 M parameters, ")
    assert sorted(p.name for p in exported.path.parent.iterdir()) == ["exact.onnx", "tiny.onnx"]


@pytest.fixture(scope="module")
def dull(examples_dir):
    samples, rate = soundfile.read(examples_dir / "speech_en_48k.flac", dtype="float32")
    assert rate == 48000
    return apply(samples, rate, LowPass("resampler", 4000.0))


@pytest.mark.parametrize("fidelity", [0.0, 0.4])
def test_the_runtime_does_to_a_recording_what_validation_does(model, exported, dull, fidelity):
    enhancer = Enhancer(exported.exact, device="cpu", threads=1, fidelity=fidelity)
    plan = enhancer.plan([dull[None]], 48000, cutoff_hz=3800.0)
    assert plan.extend_from_hz == 3800
    found, rate = enhancer.enhance(dull, 48000, cutoff_hz=3800.0)
    gain = np.float32(plan.gain)
    network = runtime_model(model, load_model(exported.exact).info)
    wanted = extend(network, gain * dull, 3800.0, fidelity) / gain
    assert rate == 48000
    assert found.shape == dull.shape
    assert np.abs(found - wanted).max() < 1e-4
    # Not because nothing was added.
    assert np.abs(found - dull).max() > 1e-3


def test_the_exported_file_does_the_same_but_for_its_rounding(exported, dull):
    exact, rounded = (
        Enhancer(path, device="cpu", threads=1).enhance(dull, 48000, cutoff_hz=3800.0)[0] - dull
        for path in (exported.exact, exported.path)
    )
    assert np.linalg.norm(rounded - exact) < ROUNDING_TOLERANCE * np.linalg.norm(exact)


@pytest.mark.parametrize(
    ("name", "rate_out", "numerator", "denominator"),
    [
        ("speech_en_8k", 48000, 6, 1),
        ("speech_nl_male_24k", 48000, 2, 1),
        ("piano_44k", 48000, 160, 147),
    ],
)
def test_enhanced_examples_have_the_exact_length(
    exported, examples_dir, name, rate_out, numerator, denominator
):
    samples, rate = soundfile.read(examples_dir / f"{name}.flac", dtype="float32", always_2d=True)
    enhancer = Enhancer(exported.path, device="cpu", threads=1)
    found, rate_found = enhancer.enhance(
        samples.T, rate, output_rate=rate_out, cutoff_hz=rate * 0.4
    )
    wanted = (2 * len(samples) * numerator + denominator) // (2 * denominator)
    assert rate_found == rate_out
    assert found.shape == (samples.shape[1], wanted)
    assert np.isfinite(found).all()


@pytest.fixture
def ready(monkeypatch, exported):
    """Let the graph be the one that was traced once: tracing takes ten seconds."""
    monkeypatch.setattr(frames, "graph", lambda *_: onnx.load(exported.exact))


@pytest.fixture
def altered(checkpoint, tmp_path):
    """A copy of the checkpoint with one tensor changed."""

    def make(name, change):
        folder = shutil.copytree(checkpoint, tmp_path / "altered")
        tensors = load_file(folder / "model.safetensors")
        tensors[name] = change(tensors[name])
        save_file(tensors, folder / "model.safetensors")
        return folder

    return make


def test_an_agreeing_graph_is_written(ready, checkpoint, tmp_path):
    assert export(checkpoint, tmp_path / "a.onnx").name == "tiny"
    assert load_model(tmp_path / "a.onnx").info.name == "tiny"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("log_magnitude.bias", lambda x: x + 0.05, "off by"),
        ("blocks.1.contract.weight", lambda x: 10 * x.flip(0), "off by"),
        ("norm.weight", lambda x: x * float("nan"), "off by nan"),
    ],
)
def test_a_graph_that_differs_or_is_not_finite_is_not_written(
    ready, altered, tmp_path, name, change, said
):
    output = tmp_path / "model.onnx"
    output.write_bytes(b"the one before")
    with pytest.raises(ConfigError, match=rf"altered: the exported graph is {said}.*not written"):
        export(altered(name, change), output, overwrite=True)
    assert output.read_bytes() == b"the one before"
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_graph_that_rounding_spoils_is_not_written(ready, checkpoint, tmp_path, monkeypatch):
    def spoil(proto):
        for weight in proto.graph.initializer:
            if weight.name.endswith("log_magnitude.bias"):
                zeros = np.zeros(weight.dims, np.float32)
                weight.CopyFrom(onnx.numpy_helper.from_array(zeros, weight.name))

    monkeypatch.setattr(frames, "shrink", spoil)
    with pytest.raises(ConfigError, match=r"last: with 8-bit weights .*not written"):
        export(checkpoint, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("worst", [2e-4, float("nan"), float("inf")])
def test_the_verdict_on_the_graph_decides(ready, checkpoint, tmp_path, monkeypatch, worst):
    monkeypatch.setattr(frames, "disagreement", lambda *_, **__: worst)
    with pytest.raises(ConfigError, match="not written"):
        export(checkpoint, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_replaced_only_by_force(ready, checkpoint, tmp_path):
    output = tmp_path / "a.onnx"
    output.write_bytes(b"the one before")
    with pytest.raises(InvalidInputError, match=r"a\.onnx: already exists; use overwrite=True"):
        export(checkpoint, output)
    assert output.read_bytes() == b"the one before"
    export(checkpoint, output, overwrite=True)
    assert load_model(output).info.name == "tiny"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.bin", "model.bin: a model file's name ends in .onnx"),
        ("nowhere/a.onnx", "nowhere does not exist; create it"),
        ("folder.onnx", "folder.onnx: a folder"),
    ],
)
def test_impossible_outputs_are_refused_before_the_work(checkpoint, tmp_path, name, said):
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(InvalidInputError, match=said):
        export(checkpoint, tmp_path / name, overwrite=True)


def test_a_disk_that_is_full_is_said_and_leaves_nothing(ready, checkpoint, tmp_path, monkeypatch):
    def fail(proto, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx, "save", fail)
    with pytest.raises(InvalidInputError, match=r"a\.onnx: cannot be written \(No space left"):
        export(checkpoint, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="not a checkpoint"):
        export(tmp_path, tmp_path / "a.onnx")


def test_a_recipes_texture_reaches_the_file(tiny):
    config = tiny(model={"lookahead_frames": 3}, texture={"copy_up": 0.5, "noise": 0.5})
    info = config.describe({"step": 6, "seconds": 1.0}, 1)
    assert info.texture == {"copy_up": 0.5, "noise": 0.5}
