"""``overtone train`` and ``overtone export``: options reach the loop, errors are one line."""

import json
import signal
import sys

import pytest
from typer.testing import CliRunner

from overtone.cli import app, main
from overtone.cli.options import UsageError
from overtone.errors import ConfigError, InvalidInputError, MissingExtraError
from overtone.training import loop

RECIPE = """
name = "small"
description = "For tests"

[model]
window_samples = 768
hop_samples = 192
channels = 16
blocks = 2

[loss]
windows = [512]

[optimiser]
steps = 2
batch_size = 1
crop_frames = 12

[validation]
cutoffs_hz = [4000]
clips_per_corpus = 1
clip_seconds = 0.2

[[corpora]]
name = "speech"
path = "."
glob = "speech_*_48k.flac"
bandwidth_hz = 19500
licence = "CC0 1.0"
"""


@pytest.fixture
def train(tmp_path, examples_dir, monkeypatch):
    """Run ``overtone train`` in an empty folder on the example recordings."""
    (tmp_path / "small.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)

    def run(*options, recipe="small.toml", data=examples_dir):
        arguments = ["train", recipe, "--data-root", data, "--no-compile", *options]
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def step_of(folder):
    return json.loads((folder / "last" / "progress.json").read_text())["step"]


def test_a_run_goes_to_runs_and_its_samples_to_cache(train, tmp_path):
    result = train()
    assert result.exit_code == 0
    assert step_of(tmp_path / "runs" / "small") == 2
    assert {path.name for path in (tmp_path / "cache" / "small").iterdir()} == {
        "index.json",
        "lock",
        "samples.int16",
    }
    lines = result.output.splitlines()
    said = [line.split()[0] for line in lines]
    assert said == ["small", "decoding", "step", "validation", "done,"]
    assert lines[0].startswith("small on ")
    assert lines[2].startswith("step 2/2  ")
    assert "lsd_hf" in lines[3]


def test_folders_can_be_chosen_and_steps_replaced_and_a_run_resumed(train, tmp_path):
    folders = ("--out", tmp_path / "here", "--cache", tmp_path / "there", "--threads", 1)
    train("--steps", 3, *folders)
    assert step_of(tmp_path / "here") == 3
    with pytest.raises(ConfigError, match=r"here: holds a run already; add --resume"):
        train("--steps", 5, *folders)
    result = train("--steps", 5, "--resume", *folders)
    assert step_of(tmp_path / "here") == 5
    assert "step 5/5" in result.output
    config = json.loads((tmp_path / "here" / "last" / "config.json").read_text())
    assert config["optimiser"]["steps"] == 5
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_a_signal_ends_is_saved_and_says_so(train, tmp_path, monkeypatch, number, code):
    original = loop.update_ema

    def stop(*arguments):
        original(*arguments)
        signal.raise_signal(number)

    monkeypatch.setattr(loop, "update_ema", stop)
    result = train("--steps", 5)
    assert result.exit_code == code
    assert result.output.splitlines()[-1].startswith("stopped at step 1 of 5")
    assert step_of(tmp_path / "runs" / "small") == 1


def test_a_run_can_begin_from_the_weights_of_another(train, tmp_path):
    train("--out", tmp_path / "first")
    start = tmp_path / "first" / "last"
    train("--out", tmp_path / "second", "--warm-start", start)
    progress = json.loads((tmp_path / "second" / "last" / "progress.json").read_text())
    assert progress["warm_start"]["step"] == 2
    with pytest.raises(ConfigError, match=r"first: not a checkpoint"):
        train("--out", tmp_path / "third", "--warm-start", tmp_path / "first")
    assert not (tmp_path / "third").exists()


def test_the_data_root_must_exist(train, tmp_path):
    with pytest.raises(ConfigError, match=r"no folder .*nowhere; .*--data-root"):
        train(data=tmp_path / "nowhere")


@pytest.mark.parametrize(("option", "value"), [("--steps", "0"), ("--threads", "0")])
def test_wrong_usage_exits_with_2(train, option, value):
    assert train(option, value).exit_code == 2


def test_a_run_is_begun_or_resumed(train, tmp_path):
    with pytest.raises(UsageError, match="leave it out to --resume"):
        train("--resume", "--warm-start", tmp_path)


def test_without_the_extra_it_is_named(train, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"overtone\[train\]"):
        train()
    for module in ("release", "checkpoint"):
        monkeypatch.delitem(sys.modules, f"overtone.training.{module}", raising=False)
    with pytest.raises(MissingExtraError, match=r"overtone export .*overtone\[train\]"):
        CliRunner().invoke(app, ["export", str(tmp_path), "-o", "a.onnx"], catch_exceptions=False)


def test_export_passes_its_arguments_on(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"")
    for options, error in (([], InvalidInputError), (["--force"], ConfigError)):
        arguments = ["export", str(tmp_path / "nothing"), "-o", str(tmp_path / "a.onnx")]
        with pytest.raises(error):
            CliRunner().invoke(app, arguments + options, catch_exceptions=False)


def test_an_error_is_one_line_and_exit_code_1(tmp_path, monkeypatch, capsys):
    (tmp_path / "bad.toml").write_text(RECIPE.replace("steps", "stepz"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["overtone", "train", "bad.toml"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("overtone: bad.toml: optimiser.steps: missing")
    assert "optimiser.stepz: unknown key" in line
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]
