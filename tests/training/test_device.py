"""Devices are chosen by name, and constants follow what they are applied to."""

import os

import pytest
import torch

from overtone.errors import ConfigError
from overtone.models.stft import frames, overlap_add
from overtone.training.device import autocast, choose_device, idle_cores, to_device
from overtone.training.losses import (
    LossConfig,
    band_power_distance,
    signal_distance,
)


def test_the_cpu_is_always_there_and_auto_takes_what_there_is(monkeypatch):
    assert choose_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device() == torch.device("cuda", 0)
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ["cuda:2", "mps", "gpu", ""])
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
    with autocast(torch.device("cpu"), wanted=False):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


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
