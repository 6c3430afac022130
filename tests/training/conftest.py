"""A recipe small enough to train in a second, on the example recordings."""

import tomllib
from types import SimpleNamespace

import onnx
import pytest
import torch
from typer.testing import CliRunner

from overtone.cli import app
from overtone.data.corpora import SampleStore
from overtone.export import frames
from overtone.training.spectral import SpectralRecipe

RECIPE = """
name = "tiny"
description = "For tests"
seed = 3

[model]
window_samples = 768
hop_samples = 192
lookahead_frames = 2
channels = 16
blocks = 2

[loss]
windows = [512, 1024]

[optimiser]
steps = 6
batch_size = 2
crop_frames = 24
warmup_steps = 2

[validation]
cutoffs_hz = [4000]
clips_per_corpus = 1
clip_seconds = 0.5

[[corpora]]
name = "speech"
path = "."
glob = "speech_*.flac"
exclude = ["_8k"]
bandwidth_hz = 11000
license = "CC0 1.0"

[[corpora]]
name = "wide"
path = "."
glob = "speech_*_48k.flac"
bandwidth_hz = 19500
weight = 0.5
license = "CC0 1.0, too"
"""


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Sums in one order, so that what should be equal is; and tests run side by side."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def recipe():
    """The recipe as TOML."""
    return RECIPE


@pytest.fixture(scope="session")
def tiny():
    """Make the recipe's configuration; ``tiny(optimiser={"steps": 3})`` changes settings."""

    def make(**changes):
        settings = tomllib.loads(RECIPE)
        for key, value in changes.items():
            settings[key] = settings.get(key, {}) | value if isinstance(value, dict) else value
        return SpectralRecipe.model_validate(settings)

    return make


@pytest.fixture(scope="session")
def cache(tmp_path_factory, tiny, examples_dir):
    """The folder of the recipe's decoded samples."""
    folder = tmp_path_factory.mktemp("cache")
    config = tiny()
    SampleStore.build(folder, config.corpora, examples_dir, config.model.sample_rate)
    return folder


@pytest.fixture(scope="session")
def store(cache, tiny, examples_dir):
    """The recipe's decoded samples."""
    config = tiny()
    return SampleStore.build(cache, config.corpora, examples_dir, config.model.sample_rate)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, recipe, examples_dir, cache):
    """What ``overtone train`` leaves of the recipe."""
    folder = tmp_path_factory.mktemp("train")
    (folder / "tiny.toml").write_text(recipe)
    options = ["--data-root", examples_dir, "--cache", cache, "--out", folder / "run"]
    arguments = ["train", folder / "tiny.toml", *options, "--no-compile", "--threads", "1"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return folder / "run" / "last"


@pytest.fixture(scope="session")
def exported(tmp_path_factory, checkpoint):
    """What ``overtone export`` makes of that: ``path``, what was ``said``, and ``exact``.

    ``exact`` is the graph as it is before its weights are rounded to 8 bits.
    """
    folder = tmp_path_factory.mktemp("export")
    path, exact = folder / "tiny.onnx", folder / "exact.onnx"
    shrink = frames.shrink

    def keep_a_copy(proto):
        onnx.save(proto, str(exact))
        shrink(proto)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "shrink", keep_a_copy)
        result = CliRunner().invoke(app, ["export", str(checkpoint), "-o", str(path)])
    assert result.exit_code == 0, result.output
    return SimpleNamespace(path=path, exact=exact, said=result.output)
