"""The torch twin of the excitations gives what the runtime's numpy gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from overtone.dsp.excitation import NAMES, ExcitationConstants, Excitations, white_noise
from overtone.dsp.stft import StreamStft, hann
from overtone.models.source_filter import SourceFilterConfig
from overtone.models.stft import frames
from overtone.training.excitation import excitations, local_mean, running_level, trailing_mean

CONFIG = SourceFilterConfig(excitations=NAMES)
CONSTANTS = ExcitationConstants(
    pulse_power=4, noise_power=1, dispersion_ms=3.0, copy_power=2, wave_power=1.5
)


def speech_like(rng: np.random.Generator, samples: int = 24000) -> np.ndarray:
    wave = rng.normal(0, 0.05, samples)
    wave *= 0.2 + np.sin(2 * np.pi * np.arange(samples) / 9000) ** 2
    return np.asarray(wave, np.float32)


def test_the_twins_agree(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    window, hop, cutoff_hz = CONFIG.window_samples, CONFIG.hop_samples, 4000.0
    samples = speech_like(rng)[None]
    padded = np.pad(samples, ((0, 0), (window - hop, 0)))[:, : 80 * hop + window]
    spectrum = frames(torch.from_numpy(padded), window, hop)

    def noise(like: torch.Tensor) -> torch.Tensor:
        drawn = white_noise(0, 0, 0, like.shape[1])[None]
        return torch.from_numpy(drawn / np.float32(np.sqrt(12)) + np.float32(0.5))

    monkeypatch.setattr(torch, "rand_like", noise)
    wanted = excitations(spectrum, torch.tensor([cutoff_hz]), CONFIG, CONSTANTS)

    taper = hann(window)
    runtime = Excitations(
        CONSTANTS,
        NAMES,
        sample_rate=CONFIG.sample_rate,
        window_samples=window,
        hop_samples=hop,
        channels=1,
        cutoff_hz=cutoff_hz,
    )
    analysed = StreamStft(1, taper / np.sqrt(np.sum(taper**2)), hop).push(samples)
    late = window // hop - 1
    found = runtime.push(analysed[:, : spectrum.shape[1]])[:, 0, late:]
    # The first frames reach before the recording, where the twins begin differently.
    for index, name in enumerate(NAMES):
        a, b = wanted[index][0, 4 : found.shape[1] - 4].numpy(), found[index, 4:-4]
        np.testing.assert_allclose(b, a, atol=2e-3, err_msg=name)


def test_means(rng: np.random.Generator) -> None:
    values = torch.from_numpy(rng.random((2, 30)).astype(np.float32))
    padded = torch.nn.functional.pad(values, (3, 0))
    torch.testing.assert_close(trailing_mean(values, 4), padded.unfold(1, 4, 1).mean(-1))
    middle = values.unfold(1, 5, 1).mean(-1)
    torch.testing.assert_close(local_mean(values, 5)[:, 2:-2], middle)


def test_the_level_follows_within_its_frames() -> None:
    spectrum = torch.ones(1, 400, CONFIG.bins, dtype=torch.complex64)
    spectrum[:, 200:] *= 0.1
    level = running_level(spectrum, torch.tensor([4000.0]), CONFIG)[0]
    assert level[:200].std() < 1e-3 * level[0]
    torch.testing.assert_close(level[200 + CONFIG.level_frames], 0.01 * level[0])
