"""Several processes make the steps that one would, and say so when one is gone."""

import json
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from overtone.data.crops import CropSampler
from overtone.errors import ConfigError
from overtone.training import loop
from overtone.training.optimiser import OptimisedNetwork
from overtone.training.world import World, _from_environment, default_accumulate

FLOAT32 = {"bfloat16": False}
# Ends rank 1, as the kernel's out-of-memory killer would, when its second step is due.
DIES = """
import os
from overtone.cli import main
from overtone.training.spectral import SpectralTask
step = SpectralTask.step
def die(task, parts, number):
    if os.environ["RANK"] == "1" and number == 1:
        os._exit(9)
    return step(task, parts, number)
SpectralTask.step = die
main()
"""
TRAIN = """
from overtone.cli import main
main()
"""


@pytest.fixture
def together(tmp_path, recipe, examples_dir, cache):
    """Run ``overtone train`` in two processes; returns their exit codes and what they said."""
    (tmp_path / "tiny.toml").write_text(recipe)

    def run(*options, script=TRAIN):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        where = ["--data-root", examples_dir, "--cache", cache, "-o", tmp_path / "run"]
        words = ["train", tmp_path / "tiny.toml", *where, "--no-compile", "--device=cpu", *options]
        started = [
            subprocess.Popen(
                [sys.executable, "-c", script, *map(str, words)],
                env=os.environ
                | {"RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
                | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]
        ended = [one.communicate(timeout=120) for one in started]
        return [
            SimpleNamespace(code=one.returncode, out=out, err=err)
            for one, (out, err) in zip(started, ended, strict=True)
        ]

    return run


def losses_of(folder):
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {record["step"]: record["loss"] for record in records if "loss" in record}


def train(config, folder, examples_dir, cache, **options):
    return loop.train(
        config,
        examples_dir,
        folder,
        cache=cache,
        compile_model=False,
        device="cpu",
        log=lambda line: None,
        **options,
    )


@pytest.mark.parametrize("items", [1, 3, 8, 12])
@pytest.mark.parametrize(("size", "accumulate"), [(1, 1), (2, 1), (1, 3), (4, 2)])
def test_every_item_is_taken_once_by_one_process(items, size, accumulate):
    worlds = [World(rank=n, size=size, accumulate=accumulate) for n in range(size)]
    parts = [part for world in worlds for part in world.parts(items)]
    assert len(parts) == size * accumulate  # all have something to do at every step
    assert all(places for places, _ in parts)
    assert [n for places, share in parts if share for n in places] == list(range(items))
    assert sum(share for _, share in parts) == pytest.approx(1)


def test_several_processes_draw_the_batch_that_one_would(store, tiny):
    config = tiny()
    sampler = CropSampler(
        store, config.corpora, config.degrade, sample_rate=48000, crop_samples=5184, seed=3
    )
    whole = sampler.batch(5, range(6))
    parts = [sampler.batch(5, at) for n in range(3) for at, _ in World(rank=n, size=3).parts(6)]
    for name, wanted in vars(whole).items():
        assert np.array_equal(np.concatenate([vars(part)[name] for part in parts]), wanted)


@pytest.mark.parametrize("adversarial", [False, True])
def test_a_batch_in_parts_has_the_same_gradient_and_losses(
    tiny, tmp_path, examples_dir, cache, monkeypatch, adversarial
):
    """Adam does not see how large a gradient is, so gradients are compared, too."""
    monkeypatch.setattr(loop, "REPORT_STEPS", 1)
    # With larger steps, rounding alone grows to a percent: Adam divides noise by its own size.
    changes = {"optimiser": FLOAT32 | {"batch_size": 4, "learning_rate": 1e-4}}
    if adversarial:
        # The distance of features is relative to their size in each part, and so differs.
        changes["adversarial"] = {"channels": 4, "windows": [512], "features_weight": 0.0}
    gradients, losses = [], []

    share = OptimisedNetwork._share_gradients

    def keep(trained):
        share(trained)
        gradients[-1].append(torch.cat([p.grad.flatten() for p in trained.network.parameters()]))

    monkeypatch.setattr(OptimisedNetwork, "_share_gradients", keep)
    for accumulate in (1, 2):
        gradients.append([])
        folder = tmp_path / str(accumulate)
        train(tiny(**changes), folder, examples_dir, cache, accumulate=accumulate)
        losses.append(losses_of(folder))
    for whole, parts in zip(*(found[: 1 + adversarial] for found in gradients), strict=True):
        assert (whole - parts).norm() < 1e-4 * whole.norm()
    for step, one in losses[0].items():
        for name, value in one.items():
            if name != "features":
                assert losses[1][step][name] == pytest.approx(value, rel=1e-4), (step, name)
    assert ("discriminator" in losses[0][6]) == adversarial


def test_two_processes_train_as_one_and_one_goes_on(
    together, tmp_path, recipe, tiny, examples_dir, cache
):
    plain = "\n".join(f"{name} = {json.dumps(value)}" for name, value in FLOAT32.items())
    text = recipe.replace("[optimiser]\n", f"[optimiser]\n{plain}\n")
    (tmp_path / "tiny.toml").write_text(text)
    first, second = together()
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert "tiny on 2 processes, each on cpu" in first.out
    assert second.out == ""  # the first one logs
    config = tiny(optimiser=FLOAT32)
    train(config, tmp_path / "alone", examples_dir, cache)
    wanted, found = losses_of(tmp_path / "alone")[6], losses_of(tmp_path / "run")[6]
    assert found == pytest.approx(wanted, rel=1e-9)  # the parts are the same, and so is rounding
    longer = FLOAT32 | {"steps": 8}
    for name in ("alone", "run"):
        train(tiny(optimiser=longer), tmp_path / name, examples_dir, cache, resume=True)
    assert losses_of(tmp_path / "run")[8] == pytest.approx(
        losses_of(tmp_path / "alone")[8], rel=1e-9
    )


def test_a_process_that_dies_ends_the_run_with_its_name(together, tmp_path):
    first, second = together(script=DIES)
    assert second.code == 9
    assert first.code == 1
    (line,) = first.err.splitlines()
    assert line.startswith("overtone: rank 0: rank 1 has ended, and with it the run; --resume")


def test_a_batch_that_cannot_be_shared_is_refused(tiny, tmp_path, examples_dir, cache):
    with pytest.raises(ConfigError, match=r"batches of 2 cannot be cut into 3 parts"):
        train(tiny(), tmp_path / "run", examples_dir, cache, accumulate=3)
    with pytest.raises(ConfigError, match=r"4 by --nproc-per-node.* multiple of 4"):
        World(size=4).require_divides(6)
    assert list(tmp_path.iterdir()) == []


def test_torchrun_and_slurm_say_who_is_who():
    assert _from_environment({})["size"] == 1
    torchrun = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    found = _from_environment(torchrun | {"MASTER_ADDR": "head", "MASTER_PORT": "29500"})
    assert found == {
        **{"rank": 5, "size": 8, "local_rank": 1, "local_size": 4},
        **{"address": "head", "port": 29500},
    }
    job = {"SLURM_JOB_ID": "1234567", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}
    # A batch script without srun is one process, however many tasks it was given.
    assert _from_environment(job | {"SLURM_NTASKS": "4"})["size"] == 1
    step = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_TASKS_PER_NODE": "2(x2)"}
    for nodes, first in (("gpu[03-04,7]", "gpu03"), ("a-1,b-2", "a-1"), ("head", "head")):
        found = _from_environment(job | step | {"SLURM_STEP_NODELIST": nodes})
        assert found["address"] == first
        assert (found["rank"], found["size"], found["local_rank"]) == (3, 4, 1)
        assert found["local_size"] == 2
        assert 20_000 <= found["port"] < 40_000


def test_one_process_has_its_own_sums():
    assert World().sum(torch.tensor([2.0])) == 2.0
    assert World().total({"a": 1.0}) == {"a": 1.0}


def test_a_gpu_takes_its_batch_as_a_whole_and_odd_worlds_and_batches_have_parts_that_fit():
    cpu, gpu = torch.device("cpu"), torch.device("cuda:0")
    assert [default_accumulate(size, 16, gpu) for size in (1, 2, 4)] == [1, 1, 1]
    assert [default_accumulate(1, batch_size, cpu) for batch_size in (1, 2, 3, 6, 8)] == [
        *(1, 2, 1, 2, 4)
    ]
    assert [default_accumulate(size, 12, cpu) for size in (1, 2, 3, 4, 6)] == [4, 2, 1, 1, 1]
    small = [default_accumulate(1, size, cpu, bfloat16=True) for size in (4, 6, 8, 12)]
    assert small == [1, 2, 2, 4]
