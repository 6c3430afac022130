"""The losses: exact transforms, weights that add up, distances that equal their formulas."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from overtone.metrics import lsd
from overtone.models.extender import CROSSOVER_START, POWER_FLOOR
from overtone.models.stft import frames
from overtone.training.losses import (
    LossConfig,
    band_power_distance,
    band_weight,
    fidelity_distance,
    log_power,
    signal_distance,
    spectral_distances,
)

RATE = 48000
CUTOFF = torch.tensor([4000.0, 9000.0])
BANDWIDTH = torch.tensor([24000.0, 16000.0])
# 1 / (1 + f / pivot) is flat then: all bins count the same.
FLAT_HZ = 1e12


@pytest.fixture
def noise():
    generator = torch.Generator().manual_seed(2)
    return 0.1 * torch.randn(2, RATE // 2, generator=generator)


@pytest.mark.parametrize("pivot_hz", [1000.0, 4000.0, FLAT_HZ])
def test_band_weights_add_up_to_one_inside_the_band_and_are_zero_outside(pivot_hz):
    weight = band_weight(769, RATE, CUTOFF, BANDWIDTH, pivot_hz)
    assert torch.allclose(weight.sum(-1), torch.ones(2), atol=1e-5)
    frequencies_hz = torch.linspace(0, RATE / 2, 769)
    for row, cutoff_hz, bandwidth_hz in zip(weight, CUTOFF, BANDWIDTH, strict=True):
        inside = (frequencies_hz >= CROSSOVER_START * cutoff_hz) & (frequencies_hz <= bandwidth_hz)
        assert (row[~inside] == 0).all()
        assert (row[inside] > 0).all()
        assert (row[inside].diff() <= 0).all()


def test_the_pivot_is_where_a_bin_counts_half_as_much_as_at_0_hz():
    weight = band_weight(769, RATE, torch.tensor([0.0]), torch.tensor([24000.0]), 4000.0)[0]
    assert weight[128] / weight[0] == pytest.approx(0.5)  # 4000 Hz, 31.25 Hz a bin


def test_an_item_with_nothing_to_predict_costs_nothing(noise):
    nothing = (torch.tensor([12000.0] * 2), torch.tensor([7000.0] * 2))
    assert (band_weight(769, RATE, *nothing, 4000.0) == 0).all()
    assert signal_distance(2 * noise, noise, RATE, *nothing, LossConfig()) == pytest.approx(0.01)
    assert band_power_distance(2 * noise, noise, RATE, *nothing, LossConfig()) == 0


def test_identical_signals_are_as_near_as_the_square_root_s_floor(noise):
    distance = signal_distance(noise, noise, RATE, CUTOFF, BANDWIDTH, LossConfig())
    assert distance == pytest.approx(math.sqrt(1e-4), abs=1e-6)
    assert band_power_distance(noise, noise, RATE, CUTOFF, BANDWIDTH, LossConfig()) == 0


@pytest.mark.parametrize("gain", [0.1, 0.5, 1.3, 3.0])
def test_a_gain_of_g_db_costs_g_tenths(noise, gain):
    wanted = abs(20 * math.log10(gain)) / 10
    distance = signal_distance(gain * noise, noise, RATE, CUTOFF, BANDWIDTH, LossConfig())
    assert distance == pytest.approx(math.sqrt(wanted**2 + 1e-4), rel=1e-4)
    distance = band_power_distance(gain * noise, noise, RATE, CUTOFF, BANDWIDTH, LossConfig())
    assert distance == pytest.approx(wanted, rel=1e-4)


def test_the_signal_distance_is_the_metric_s_lsd(noise):
    """One window of 2048, all bins alike, and the ends reflected as the metric does."""
    config = LossConfig(windows=(2048,), pivot_hz=FLAT_HZ)
    generator = torch.Generator().manual_seed(9)
    estimate = noise + 0.05 * torch.randn(noise.shape, generator=generator)

    def reflected(signal):
        return torch.nn.functional.pad(signal, (1024, 1024), mode="reflect")

    lo_hz, hi_hz = 4000.0, 16000.0
    band = (torch.tensor([lo_hz / CROSSOVER_START] * 2), torch.tensor([hi_hz] * 2))
    found = signal_distance(reflected(estimate), reflected(noise), RATE, *band, config)
    wanted = lsd(noise.numpy(), estimate.numpy(), sample_rate=RATE, band_hz=(lo_hz, hi_hz))
    assert found == pytest.approx(wanted, rel=1e-3)


def test_the_signal_distance_is_the_formula(noise):
    """The same by numpy alone, frame by frame."""
    config = LossConfig(windows=(512, 2048), pivot_hz=4000.0)
    estimate = 0.5 * noise.flip(0)
    found = signal_distance(estimate, noise, RATE, CUTOFF, BANDWIDTH, config)
    distances = []
    for window in (512, 2048):
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
        hz = np.fft.rfftfreq(window, 1 / RATE)
        for item in range(2):
            inside = (hz >= CROSSOVER_START * float(CUTOFF[item])) & (hz <= float(BANDWIDTH[item]))
            weight = inside / (1 + hz / 4000)
            weight /= weight.sum()
            for start in range(0, noise.shape[1] - window + 1, window // 4):
                logs = [
                    np.log10(
                        np.abs(np.fft.rfft(x[item, start : start + window].numpy() * hann)) ** 2
                        / (hann**2).sum()
                        + POWER_FLOOR
                    )
                    for x in (estimate, noise)
                ]
                squared = (weight * (logs[0] - logs[1]) ** 2).sum()
                distances.append((window, np.sqrt(squared + 1e-4)))
    means = [np.mean([d for w, d in distances if w == window]) for window in (512, 2048)]
    assert found == pytest.approx(np.mean(means), rel=1e-4)


def test_the_band_power_distance_is_the_formula(noise):
    """By numpy alone: mean power of each band's bins, in bands of a sixth of an octave."""
    estimate = 0.3 * noise.flip(0)
    found = band_power_distance(estimate, noise, RATE, CUTOFF, BANDWIDTH, LossConfig())
    window, hop = 2048, 1024
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    hz = np.fft.rfftfreq(window, 1 / RATE)
    edges = [0.0, 500.0]
    while edges[-1] < RATE / 2:
        edges.append(edges[-1] + max(200.0, edges[-1] * (2 ** (1 / 6) - 1)))
    distances = []
    for item in range(2):
        inside = (hz >= CROSSOVER_START * float(CUTOFF[item])) & (hz <= float(BANDWIDTH[item]))
        weight = inside / (1 + hz / 4000)
        weight /= weight.sum()
        for start in range(0, noise.shape[1] - window + 1, hop):
            powers = [
                np.abs(np.fft.rfft(x[item, start : start + window].numpy() * hann)) ** 2
                / (hann**2).sum()
                for x in (estimate, noise)
            ]
            total = 0.0
            for lo_hz, hi_hz in pairwise(edges):
                band = inside & (hz > lo_hz) & (hz <= hi_hz)
                if band.any():
                    levels = [np.log10(power[band].mean() + POWER_FLOOR) for power in powers]
                    total += weight[band].sum() * abs(levels[0] - levels[1])
            distances.append(total)
    assert found == pytest.approx(np.mean(distances), rel=1e-3)


def test_bands_forgive_what_bins_do_not(noise):
    """Another draw of the same noise is as loud, band by band, but not bin by bin."""
    bands = band_power_distance(noise.flip(0), noise, RATE, CUTOFF, BANDWIDTH, LossConfig())
    bins = signal_distance(noise.flip(0), noise, RATE, CUTOFF, BANDWIDTH, LossConfig())
    assert 0.01 < bands < 0.25 * bins


def test_what_lies_below_the_cutoff_or_above_the_bandwidth_costs_nothing(noise):
    spectrum = torch.fft.rfft(noise)
    hz = torch.fft.rfftfreq(noise.shape[1], 1 / RATE)
    changed = spectrum.clone()
    # Half the crossover away, so that what the windows smear stays outside, too.
    changed[:, hz < 3500] *= 2
    changed[:, hz > 16500] *= 2
    other = torch.fft.irfft(changed, n=noise.shape[1])
    band = (torch.tensor([4000.0] * 2), torch.tensor([16000.0] * 2))
    config = LossConfig(windows=(2048, 6144))
    assert signal_distance(other, noise, RATE, *band, config) < 0.05
    assert band_power_distance(other, noise, RATE, *band, config) < 0.05
    everything = (torch.tensor([100.0] * 2), torch.tensor([24000.0] * 2))
    assert signal_distance(other, noise, RATE, *everything, config) > 0.2


def test_log_power_is_floored_and_its_gradient_finite_at_zero():
    spectrum = torch.zeros(1, 3, dtype=torch.complex64, requires_grad=True)
    level = log_power(spectrum)
    assert torch.allclose(level, torch.tensor(-11.0))
    level.sum().backward()
    assert torch.isfinite(torch.view_as_real(spectrum.grad)).all()


def exact_prediction(target):
    """The network's two outputs if it were right: natural log-magnitude, and unit phasors."""
    return target.abs().log(), torch.view_as_real(target / target.abs())


def test_spectral_distances_of_the_truth_are_zero_and_of_a_gain_its_decibels(noise):
    target = frames(noise, 1536, 384)
    weight = band_weight(769, RATE, CUTOFF, BANDWIDTH, 4000.0)
    log_magnitude, phase = exact_prediction(target)
    log_term, compressed_term = spectral_distances(log_magnitude, phase, target, weight)
    assert log_term < 1e-4
    assert compressed_term < 1e-6
    louder = log_magnitude + math.log(2)
    log_term, _ = spectral_distances(louder, phase, target, weight)
    assert log_term == pytest.approx(2 * math.log10(2), rel=1e-3)


def test_the_compressed_distance_is_that_of_spectra_to_the_power_of_three_tenths(noise):
    target = frames(noise, 1536, 384)
    weight = band_weight(769, RATE, CUTOFF, BANDWIDTH, 4000.0)
    log_magnitude, phase = exact_prediction(target.flip(0))

    def compress(spectrum):
        return spectrum / spectrum.abs() * spectrum.abs() ** 0.3

    error = (compress(target.flip(0)) - compress(target)).abs().square()
    wanted = (error * weight[:, None]).sum(-1).mean()
    _, found = spectral_distances(log_magnitude, phase, target, weight)
    assert found == pytest.approx(float(wanted), rel=1e-3)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"windows": (512, 1023)}, "windows"),
        ({"windows": ()}, "windows"),
        ({"windows": (0,)}, "windows"),
        ({"pivot_hz": 0}, "pivot_hz"),
        ({"signal": -1}, "signal"),
        ({"adversarial": 1}, "adversarial"),
    ],
)
def test_impossible_weights_are_refused(setting, named):
    with pytest.raises(ValidationError, match=named):
        LossConfig(**setting)


def test_the_fidelity_loss_is_the_error_of_the_shrunk_prediction(rng):
    shape = (2, 5, 40)
    target, prediction = (rng.normal(size=shape) + 1j * rng.normal(size=shape) for _ in range(2))
    coherence = rng.uniform(size=shape)
    weight = np.zeros((2, 40))
    weight[0, 10:30], weight[1, 20:] = 0.3, 7.0  # how much above 0 does not matter
    wanted = []
    for item in range(2):
        band = weight[item] > 0
        error = target[item] - coherence[item] * prediction[item]
        wanted.append(
            np.sum(np.abs(error[:, band]) ** 2) / np.sum(np.abs(target[item][:, band]) ** 2)
        )
    found = fidelity_distance(*map(torch.from_numpy, (prediction, coherence, target, weight)))
    assert found.item() == pytest.approx(np.mean(wanted), rel=1e-6)


def test_the_fidelity_loss_teaches_the_coherence_alone():
    prediction = torch.randn(1, 3, 8, dtype=torch.complex64, requires_grad=True)
    coherence = torch.rand(1, 3, 8, requires_grad=True)
    target = torch.zeros(1, 3, 8, dtype=torch.complex64)
    fidelity_distance(prediction, coherence, target, torch.ones(1, 8)).backward()
    assert prediction.grad is None
    assert torch.isfinite(coherence.grad).all()
    assert coherence.grad.abs().max() > 0
