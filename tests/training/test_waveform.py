"""Training on archives: every patch once an epoch, exact resume, the best weights kept."""

import json
import os
import signal
import tomllib
from contextlib import closing, nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from overtone.cli import app
from overtone.data.archive import PatchArchive
from overtone.errors import ConfigError
from overtone.metrics import kuleshov_lsd, kuleshov_snr_db
from overtone.training import loop
from overtone.training.checkpoint import load_model, load_start, save_weights
from overtone.training.families import build_network, read_recipe
from overtone.training.families import make_task as make_any_task
from overtone.training.losses import PatchLossConfig, patch_losses
from overtone.training.recipe import EpochsConfig
from overtone.training.watch import Stopped
from overtone.training.waveform import (
    WaveformRecipe,
    WaveformTask,
    patch_scores,
    recipe_for_archives,
    restore,
)
from overtone.training.world import World, default_accumulate

RECIPE = """
name = "tiny"
description = "For tests"
network = "tfilm"
training_data = ["examples: CC0"]
seed = 5

[archives]
train = "train.h5"
validation = "validation.h5"

[model]
filters = [4, 4]
kernels = [9, 5]
block_samples = 256

[optimiser]
epochs = 2
batch_size = 3
learning_rate = 3e-3
"""
NETWORKS = {
    "tfilm": {},
    "audiounet": {"block_samples": None},
    "afilm": {"heads": 2, "feedforward": 8, "attention_layers": 1},
}


def make_recipe(network="tfilm", **changes):
    values = tomllib.loads(RECIPE)
    values["network"] = network
    values["model"] |= NETWORKS[network]
    values["model"] = {k: v for k, v in values["model"].items() if v is not None}
    for key, value in changes.items():
        values[key] = values.get(key, {}) | value if isinstance(value, dict) else value
    return read_recipe(values)


@pytest.fixture(scope="module")
def archives(tmp_path_factory, examples_dir):
    """A folder with two small archives, made by ``overtone prepare`` from an example."""
    folder = tmp_path_factory.mktemp("archives")
    (folder / "list.txt").write_text("speech_en_48k.flac\n")
    for name, options in {
        "train": ["--sam", "0.5"],
        "validation": ["--sam", "0.25", "--seed", "3"],
        "other_scale": ["--scale", "2"],
        "low_rate_side": ["--no-interpolate"],
        "whole": ["--dimension", "-1"],
        "odd": ["--dimension", "2112", "--stride", "8192"],
        "short": ["--dimension", "1024", "--stride", "8192"],
    }.items():
        arguments = [
            *("prepare", "files", "--file-list", folder / "list.txt", "--in-dir", examples_dir),
            *("--out", folder / f"{name}.h5", "--sr", "16000", "--low-pass", "--batch-size", "1"),
        ]
        arguments += ["--interpolate", *options] if name != "low_rate_side" else options
        if "--scale" not in arguments:
            arguments += ["--scale", "4"]
        if "--dimension" not in arguments:
            arguments += ["--dimension", "2048", "--stride", "2048"]
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def run(tmp_path, archives):
    def train(recipe, name="run", *, stopped=False, **options):
        said = []
        options = {"cache": tmp_path, "compile_model": False, "log": said.append} | options
        with pytest.raises(Stopped) if stopped else nullcontext():
            loop.train(recipe, archives, tmp_path / name, **options)
        return tmp_path / name / "last", said

    return train


def make_task(recipe, archives, world=None):
    return make_any_task(
        recipe,
        archives,
        cache=archives,
        device=torch.device("cpu"),
        compile_model=False,
        world=world or World(),
        log=lambda line: None,
    )


def weights(folder):
    model, _, progress = load_model(folder)
    return {name: value.clone() for name, value in model.state_dict().items()}, progress


@pytest.mark.parametrize("network", NETWORKS)
def test_a_run_that_was_cut_ends_as_one_that_was_not(run, network, monkeypatch):
    recipe = make_recipe(network)  # the papers' dropout and normalisation draw and count
    whole, _ = run(recipe, "whole")
    original = loop.update_ema
    done = []

    def stop_at_the_fourth(*arguments):
        original(*arguments)
        done.append(1)
        if len(done) == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "update_ema", stop_at_the_fourth)
    cut, _ = run(recipe, "cut", stopped=True)
    assert weights(cut)[1]["step"] == 4
    cut, _ = run(recipe, "cut", resume=True)
    found, wanted = weights(cut)[0], weights(whole)[0]
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_an_epoch_shows_every_patch_once_and_the_next_in_another_order(archives):
    task = make_task(make_recipe(), archives)
    archive = PatchArchive(archives / "train.h5")
    whole = sorted(archive[index][1].tobytes() for index in range(len(archive)))
    examples = task.examples(0)
    epochs = [
        [patch for _ in range(task.epoch_steps) for patch in next(examples)[0][0][1]]
        for _ in range(2)
    ]
    examples.close()
    first, second = ([patch.tobytes() for patch in epoch] for epoch in epochs)
    assert sorted(first) == sorted(second) == whole
    assert first != second


def test_examples_depend_on_the_step_alone(archives):
    task = make_task(make_recipe(), archives)
    start = task.examples(0)
    for _ in range(5):
        ((wanted, _),) = next(start)
    late = task.examples(4)
    ((found, _),) = next(late)
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    start.close()
    late.close()


@pytest.mark.parametrize("network", NETWORKS)
def test_one_two_and_four_processes_add_up_to_the_same_gradient(network, archives, monkeypatch):
    """To the bit, with dropout and normalisation, however they share the parts of a batch."""
    recipe = make_recipe(network, optimiser={"batch_size": 8, "bfloat16": False})

    def gradient(world):
        """Return what ``world`` adds to the sum of the second step."""
        torch.manual_seed(0)
        task = make_task(recipe, archives, world)
        sums = []
        monkeypatch.setattr(World, "sum", lambda _, values: sums.append(values.clone()) or values)
        with closing(task.examples(1)) as examples:
            task.step(next(examples), 1)
        return sums[0]

    found = []
    for size in (1, 2, 4):
        parts = default_accumulate(size, 8, torch.device("cpu"))
        worlds = [World(rank=rank, size=size, accumulate=parts) for rank in range(size)]
        found.append(sum(gradient(world) for world in worlds).float())
    assert found[0].norm() > 0
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_learns_to_beat_the_spline(network, archives):
    model = {"dropout": 0.0} | ({"batch_norm": False} if network == "audiounet" else {})
    recipe = make_recipe(network, model=model, optimiser={"bfloat16": False})
    torch.manual_seed(0)
    task = make_task(recipe, archives)
    low, high = (torch.from_numpy(side) for side in (task.low, task.high))
    optimiser = torch.optim.Adam(task.model.parameters(), 3e-3)
    task.model.train()
    for _ in range(60):
        optimiser.zero_grad()
        patch_losses(task.model(low), high, PatchLossConfig(snr=1))["total"].backward()
        optimiser.step()
    after = patch_scores(task.high, restore(task.model.eval(), task.low))
    assert after["kuleshov_snr_db"] > task.baseline["kuleshov_snr_db"] + 0.1


def test_the_log_has_baseline_network_and_gain_each_epoch(run):
    last, said = run(make_recipe())
    records = [json.loads(line) for line in (last.parent / "log.jsonl").read_text().splitlines()]
    validations = [record for record in records if "validation" in record]
    assert len(validations) == 2
    for record in validations:
        spline, network, gain = record["validation"]
        assert [row["label"] for row in record["validation"]] == ["spline", "tfilm", "gain"]
        for name in ("kuleshov_snr_db", "kuleshov_lsd", "lsd"):
            assert gain[name] == pytest.approx(network[name] - spline[name], abs=1e-9)
        assert record["score"] == network["kuleshov_snr_db"]
    assert sum(line.startswith("validation") for line in said) == 6


def test_the_best_is_kept_and_not_the_last(run, monkeypatch):
    scores = iter([2.0, 1.0])
    validate = WaveformTask.validate
    monkeypatch.setattr(
        WaveformTask,
        "validate",
        lambda self, weights: replace(validate(self, weights), score=next(scores)),
    )
    last, _ = run(make_recipe())
    best_weights, progress = weights(last.parent / "best")
    last_weights, last_progress = weights(last)
    assert progress["step"] * 2 == last_progress["step"]
    assert progress["best"] == last_progress["best"] == 2.0
    assert any(not torch.equal(best_weights[name], last_weights[name]) for name in last_weights)
    # It is for judging and exporting: an optimiser's state is in ``last`` only.
    assert not (last.parent / "best" / "resume.safetensors").exists()


def test_the_level_and_length_of_the_patches_travel_with_the_checkpoint(run, archives):
    last, _ = run(make_recipe())
    loud = np.concatenate([high for _, high in PatchArchive(archives / "validation.h5")])
    progress = weights(last)[1]
    assert 0.5 * loud.std() < progress["level_rms"] < 3 * loud.std()
    assert progress["patch_samples"] == 2048


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"archives": {"train": "missing.h5"}}, r"missing\.h5: no such file"),
        ({"archives": {"validation": "list.txt"}}, r"list\.txt: cut short or not HDF5"),
        ({"archives": {"train": "other_scale.h5"}}, r"other_scale\.h5: has scale 2, the recipe's"),
        ({"archives": {"train": "low_rate_side.h5"}}, r"side\.h5: has inputs that were not"),
        ({"archives": {"validation": "whole.h5"}}, r"whole\.h5: has whole files; training needs"),
        ({"archives": {"train": "odd.h5"}}, r"odd\.h5: has patches of 2112 .*no multiple of 128"),
        ({"archives": {"train": "short.h5"}}, r"short\.h5: has patches of 1024 samples, too short"),
        ({"model": {"sample_rate": 22050}}, r"has sample_rate 16000, the recipe's model 22050"),
    ],
)
def test_archives_that_do_not_fit_are_refused_by_name(archives, tmp_path, run, changes, said):
    with pytest.raises(ConfigError, match=said):
        run(make_recipe(**changes))
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_network_is_not_resumed(run):
    run(make_recipe("tfilm"))
    with pytest.raises(ConfigError, match="another model: network tfilm and not audiounet"):
        run(make_recipe("audiounet"), resume=True)


def test_a_run_may_begin_from_weights_of_another_rate_and_dropout(tmp_path):
    trained = make_recipe(model={"sample_rate": 22050, "dropout": 0.0})
    network = build_network(trained)
    save_weights(tmp_path / "start", trained, network.state_dict(), {"step": 7, "seconds": 0.0})
    wanted = make_recipe(model={"skip_dropout": [0.5, 0.5]})
    weights, origin = load_start(tmp_path / "start", wanted)
    assert torch.equal(weights["last.weight"], network.last.weight)
    assert origin["step"] == 7
    with pytest.raises(ConfigError, match="another model: dilation 2 and not 1; "):
        load_start(tmp_path / "start", make_recipe(model={"dilation": 1}))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"network": "wavenet"},
            "network: 'wavenet' is unknown; use one of extender, source-filter",
        ),
        ({"network": "tfilm", "model": {"filters": [4]}}, "filters and kernels need one value"),
    ],
)
def test_recipes_name_what_is_wrong(tmp_path, values, said):
    text = tomllib.loads(RECIPE) | values
    if "unknown" in said:
        with pytest.raises(ConfigError, match=said):
            read_recipe(text)
    else:
        with pytest.raises(ValueError, match=said):
            read_recipe(text)


def test_epochs_and_steps_each_belong_to_their_recipes(archives, tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    base = ["train", str(path), "--data-root", str(archives), "-o", str(tmp_path / "run")]
    wrong = CliRunner().invoke(app, [*base, "--steps", "3"])
    assert isinstance(wrong.exception, ConfigError)
    assert "its length is in epochs; use --epochs" in str(wrong.exception)
    right = CliRunner().invoke(app, [*base, "--epochs", "1", "--no-compile", "--threads", "1"])
    assert right.exit_code == 0, right.output
    assert isinstance(load_model(tmp_path / "run" / "last")[1], WaveformRecipe)


def test_the_published_train_line_runs_on_the_archives_it_finds(archives, tmp_path, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    for split, name in (("train", "train"), ("validation", "val")):
        path = root / f"vctk-speaker1-{name}.4.16000.8192.4096.h5"
        path.symlink_to(archives / f"{split}.h5")
    monkeypatch.chdir(tmp_path)
    found = []
    monkeypatch.setattr(loop, "train", lambda recipe, *_, **options: found.append(recipe))
    line = "train --dataset-root root --epochs 50 --lr 3*10e-4 --batch-size 16"
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 0, result.output
    (recipe,) = found
    assert recipe.name == "tfilm-vctk-speaker1-x4"
    assert (recipe.model.sample_rate, recipe.model.scale) == (16000, 4)
    o = recipe.optimiser
    assert (o.epochs, o.learning_rate, o.batch_size) == (50, pytest.approx(3e-3), 16)
    assert "learning rate 0.003, batches of 16" in result.output
    assert make_task(recipe, root).epoch_steps > 0
    # A pair is needed, and one alone.
    (root / "mine_train.h5").symlink_to(archives / "train.h5")
    assert recipe_for_archives(root) == recipe.model_copy(update={"optimiser": EpochsConfig()})
    (root / "mine_valid.h5").symlink_to(archives / "validation.h5")
    with pytest.raises(ConfigError, match=r"root: holds 2 pairs .*mine_train.h5, mine_valid.h5"):
        recipe_for_archives(root)
    with pytest.raises(ConfigError, match=r"holds 0 pairs of archives named X-train"):
        recipe_for_archives(tmp_path)


@pytest.mark.parametrize("text", ["fast", "3**4", "-1", "0", "nan"])
def test_a_learning_rate_is_above_zero(tmp_path, text):
    result = CliRunner().invoke(app, ["train", "--data-root", str(tmp_path), f"--lr={text}"])
    assert result.exit_code == 2
    assert "is not a learning rate" in result.output


def test_the_losses_are_the_metrics(rng):
    high = rng.normal(0, 0.05, (3, 8192)).astype(np.float32)
    low = (0.7 * high + rng.normal(0, 0.01, high.shape)).astype(np.float32)
    terms = patch_losses(
        torch.from_numpy(low),
        torch.from_numpy(high),
        PatchLossConfig(mse=2.0, snr=1.0, log_spectrum=0.5),
    )
    assert terms["mse"].item() == pytest.approx(np.mean((low - high) ** 2), rel=1e-4)
    power_db = 10 * np.log10(np.mean(high.astype(float) ** 2, axis=1))
    snr = [kuleshov_snr_db(y, x) for y, x in zip(high, low, strict=True)]
    assert 10 * terms["snr"].item() == pytest.approx(np.mean(power_db - snr), abs=1e-3)
    distance = np.mean([kuleshov_lsd(y, x) for y, x in zip(high, low, strict=True)])
    assert terms["log_spectrum"].item() == pytest.approx(distance, rel=1e-3)
    total = 2 * terms["mse"] + terms["snr"] + 0.5 * terms["log_spectrum"]
    assert terms["total"].item() == pytest.approx(total.item(), rel=1e-6)


def test_a_perfect_estimate_has_a_finite_gradient():
    high = torch.zeros(2, 4096)
    low = torch.zeros(2, 4096, requires_grad=True)
    patch_losses(low, high, PatchLossConfig(mse=1, snr=1, log_spectrum=1))["total"].backward()
    assert torch.isfinite(low.grad).all()


def test_a_recipe_needs_a_loss():
    with pytest.raises(ValueError, match="at least one weight must be above 0"):
        PatchLossConfig(mse=0)
