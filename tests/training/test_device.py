"""Devices are chosen by name, and constants follow what they are applied to."""

import os

import numpy as np
import pytest
import torch

from overtone.data.crops import Batch
from overtone.errors import ConfigError
from overtone.inference.model import load_model
from overtone.models.stft import frames, overlap_add
from overtone.training import checkpoint, device, loop
from overtone.training.adversarial import Adversary
from overtone.training.device import (
    autocast,
    autocast_dtype,
    choose_device,
    describe,
    idle_cores,
    to_device,
)
from overtone.training.families import build_network, read_recipe
from overtone.training.losses import (
    LossConfig,
    band_power_distance,
    signal_distance,
)
from overtone.training.optimiser import OptimisedNetwork
from overtone.training.recipe import OptimiserConfig
from overtone.training.source_filter import SourceFilterTask
from overtone.training.spectral import SpectralTask


def test_the_cpu_is_always_there_and_auto_takes_what_there_is(monkeypatch):
    assert choose_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device() == torch.device("cuda", 0)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("auto", local_rank=1) == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device() == choose_device("mps") == torch.device("mps")


@pytest.mark.parametrize("name", ["cuda:2", "mps", "gpu", "", "cpu:0", "meta"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"no device '.*'.* auto, cpu, cuda:0, cuda:1"):
        choose_device(name)


def test_threads_leave_the_cores_of_others_alone(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    for load, cores in ((0.0, 6), (1.4, 6), (5.2, 3), (30.0, 1)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0, 0))
        assert idle_cores() == cores


def test_autocast_is_off_where_it_is_not_wanted():
    with autocast(torch.device("cpu"), reduced=False):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize(("own", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_computes_in_what_it_has_and_says_so(monkeypatch, own, dtype):
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: own)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "H100")
    autocast_dtype.cache_clear()
    try:
        assert autocast_dtype(gpu, True) is dtype
        assert autocast_dtype(gpu, False) is torch.float32
        said = f"cuda:0 (H100), {'bfloat16' if own else 'float16'}, TF32 where it is float32"
        assert describe(gpu, True) == said
        assert describe(gpu, False) == "cuda:0 (H100), float32"
        assert autocast_dtype(torch.device("mps"), True) is torch.float32
    finally:
        autocast_dtype.cache_clear()


def half_trained(monkeypatch):
    """A network of one weight 1 in float16, whose gradients are scaled."""
    monkeypatch.setattr(device, "autocast_dtype", lambda *_: torch.float16)
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(network.weight)
    settings = OptimiserConfig(weight_decay=0, warmup_steps=0, decay_fraction=0)
    return OptimisedNetwork(network, settings, 10)


def test_float16_scales_the_loss_and_leaves_out_a_step_that_overflows(monkeypatch):
    trained = half_trained(monkeypatch)
    weight, scale = trained.network.weight, trained.scaler.get_scale()
    trained.backward(weight.sum() * 1e38, 1.0, 0)  # times the scale, beyond float32
    trained.step(0)
    assert weight.item() == 1
    assert trained.scaler.get_scale() == scale / 2
    trained.backward(weight.sum() * 1e-3, 1.0, 1)
    trained.step(1)
    # Adam's first step is the learning rate, whatever the gradient, if that was unscaled rightly.
    assert weight.item() == pytest.approx(1 - 1e-3, abs=1e-6)
    resumed = half_trained(monkeypatch)
    checkpoint._restore(resumed, checkpoint._resume_tensors(trained))
    assert resumed.scaler.get_scale() == scale / 2
    assert resumed.network.weight.item() == weight.item()


@pytest.mark.parametrize("name", ["spectral", "source-filter"])
def test_a_whole_step_runs_where_its_network_is(tiny, name):
    """On torch's device without memory: a constant on another device would be refused."""
    meta = torch.device("meta")
    if name == "spectral":
        recipe, task = tiny(adversarial={}), SpectralTask
    else:
        values = tiny().model_dump(exclude={"network", "model", "loss"})
        values["model"] = {"channels": 16, "dilations": [1, 2], "lookahead_frames": 4}
        values["optimiser"]["crop_frames"] = 64
        recipe = read_recipe(values | {"network": "source-filter", "adversarial": {}})
        task = SourceFilterTask
    c, o = recipe.model, recipe.optimiser
    samples = c.window_samples + (o.crop_frames - 1) * c.hop_samples
    one = task.__new__(task)
    one.recipe, one.device = recipe, meta
    one.model = build_network(recipe).to(meta)
    one.predict = one.entry()
    if name == "source-filter":
        one.teacher = load_model("speech-faithful", device="cpu", threads=1)
    adversary = Adversary(recipe.adversarial, c.sample_rate, bfloat16=False)
    adversary.network.to(meta)
    signal, hz = np.zeros((2, samples), "f4"), np.full(2, 4000, "f4")
    terms, pair = one.losses(Batch(signal, signal, hz, 2 * hz), 10**6, adversary)
    terms["total"].backward()
    loss, _ = adversary.discriminator_loss(pair)
    assert terms["total"].device == loss.device == meta
    assert all(p.grad is not None for p in one.model.parameters())


DEVICES = [
    "cpu",
    *["cuda"] * torch.cuda.is_available(),
    *["mps"] * torch.backends.mps.is_available(),
]


@pytest.mark.parametrize("name", DEVICES)
def test_a_checkpoint_moves_between_devices(name, tiny, tmp_path, examples_dir, cache):
    for steps, where in ((1, name), (2, "cpu"), (3, name)):
        loop.train(
            tiny(optimiser={"steps": steps}),
            examples_dir,
            tmp_path / "run",
            cache=cache,
            resume=steps > 1,
            device=where,
            compile_model=False,
            log=lambda line: None,
        )
    assert checkpoint.load_model(tmp_path / "run" / "last")[2]["step"] == 3


def test_arrays_become_tensors(rng):
    (found,) = to_device(torch.device("cpu"), rng.standard_normal(3).astype("f4"))
    assert found.dtype == torch.float32


def test_losses_run_where_their_signals_are():
    """On torch's device without memory: a constant on another device would be refused."""
    meta = torch.device("meta")
    signal, ends = torch.empty(2, 12000, device=meta), torch.empty(2, device=meta)
    assert overlap_add(frames(signal, 512, 128), 512, 128).device == meta
    for distance in (signal_distance, band_power_distance):
        assert distance(signal, signal, 48000, ends, ends, LossConfig()).device == meta
