"""SNR, SI-SDR and Kuleshov's SNR against torchmetrics and plain loops."""

import math

import numpy as np
import pytest

from overtone.errors import InvalidInputError
from overtone.metrics import kuleshov_snr_db, si_sdr_db, snr_db


@pytest.fixture
def pair(rng):
    reference = rng.standard_normal(20000)
    return reference, 0.7 * reference + 0.1 * rng.standard_normal(20000)


def test_snr_agrees_with_torchmetrics(pair):
    torch = pytest.importorskip("torch")
    audio = pytest.importorskip("torchmetrics.functional.audio")
    reference, estimate = map(torch.from_numpy, pair)
    expected = audio.signal_noise_ratio(estimate, reference).item()
    assert snr_db(*pair) == pytest.approx(expected, abs=1e-6)


def test_si_sdr_agrees_with_torchmetrics(pair):
    torch = pytest.importorskip("torch")
    audio = pytest.importorskip("torchmetrics.functional.audio")
    reference, estimate = map(torch.from_numpy, pair)
    expected = audio.scale_invariant_signal_distortion_ratio(estimate, reference).item()
    assert si_sdr_db(*pair) == pytest.approx(expected, abs=1e-6)


def test_snr_of_a_known_error_is_the_ratio_of_amplitudes():
    reference = np.tile([1.0, -1.0], 500_000)  # longer than a block
    assert snr_db(reference, 0.9 * reference) == pytest.approx(20.0, abs=1e-9)


@pytest.mark.parametrize("gain", [0.1, -3.0])
def test_si_sdr_ignores_the_level_of_the_estimate(pair, gain):
    reference, estimate = pair
    assert si_sdr_db(reference, gain * estimate) == pytest.approx(si_sdr_db(*pair), abs=1e-9)


@pytest.mark.parametrize("samples", [5000, 8192, 8193, 20000])
def test_kuleshov_snr_is_the_mean_over_overlapping_patches(rng, samples):
    reference = 0.1 * rng.standard_normal(samples) * np.linspace(0, 1, samples)
    estimate = reference + 0.01 * rng.standard_normal(samples)
    values, start = [], 0
    while True:
        y, x = reference[start : start + 8192], estimate[start : start + 8192]
        error = sum((a - b) ** 2 + 1e-6 for a, b in zip(y, x, strict=True)) / len(y)
        values.append(10 * math.log10(sum(a * a for a in y) / len(y) / error))
        start += 4096
        if start + 8192 > samples:
            break
    expected = sum(values) / len(values)
    assert kuleshov_snr_db(reference, estimate) == pytest.approx(expected, abs=1e-9)


def test_kuleshov_snr_of_a_perfect_quiet_patch_is_capped_by_its_constant():
    reference = np.full(8192, 1e-3)
    assert kuleshov_snr_db(reference, reference) == pytest.approx(0.0, abs=1e-9)


def test_kuleshov_snr_leaves_silent_patches_out(rng):
    loud = rng.standard_normal(8192)
    reference = np.concatenate([loud, np.zeros(8192)])
    estimate = reference + 0.01
    expected = kuleshov_snr_db(loud, loud + 0.01, stride_samples=8192)
    assert kuleshov_snr_db(reference, estimate, stride_samples=8192) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [snr_db, si_sdr_db, kuleshov_snr_db])
class TestAnyRatio:
    def test_silent_reference_has_no_figure(self, metric, rng):
        assert math.isnan(metric(np.zeros(9000), rng.standard_normal(9000)))

    def test_channels_are_averaged_and_silent_ones_left_out(self, metric, rng):
        reference = rng.standard_normal((3, 9000))
        reference[2] = 0
        estimate = reference + rng.standard_normal((3, 9000)) * [[0.1], [0.5], [0.1]]
        each = [metric(reference[c], estimate[c]) for c in (0, 1)]
        assert metric(reference, estimate) == pytest.approx(sum(each) / 2)
        assert each[0] - each[1] > 10

    def test_integers_count_as_full_scale(self, metric, rng):
        reference = rng.integers(-9000, 9000, 9000, dtype=np.int16)
        estimate = reference + rng.integers(-90, 90, 9000, dtype=np.int16)
        assert metric(reference, estimate) == pytest.approx(
            metric(reference / 32768, estimate / 32768)
        )

    @pytest.mark.parametrize(
        ("reference", "estimate", "named"),
        [
            (np.ones(5), np.ones(6), r"\(5,\).*\(6,\)"),
            (np.ones(0), np.ones(0), r"\(0,\)"),
            (np.ones((1, 1, 5)), np.ones((1, 1, 5)), r"\(1, 1, 5\)"),
            (np.ones(2), np.array([1, np.nan]), "estimate holds NaN"),
            (np.array([np.inf, 1]), np.ones(2), "reference holds NaN or inf"),
            (np.ones(2), np.ones(2, complex), "complex128"),
        ],
    )
    def test_unusable_arrays_are_named(self, metric, reference, estimate, named):
        with pytest.raises(InvalidInputError, match=named):
            metric(reference, estimate)


@pytest.mark.parametrize("metric", [snr_db, si_sdr_db])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_perfect_estimate_has_no_finite_ratio(metric, dtype, rng):
    reference = rng.standard_normal(9000).astype(dtype)
    assert math.isnan(metric(reference, reference))


def test_si_sdr_of_a_scaled_copy_or_of_silence_has_no_figure(rng):
    reference = rng.standard_normal(9000)
    assert math.isnan(si_sdr_db(reference, 0.3 * reference))
    assert math.isnan(si_sdr_db(reference, np.zeros(9000)))


def test_snr_of_a_silent_estimate_is_zero(rng):
    assert snr_db(rng.standard_normal(900), np.zeros(900)) == pytest.approx(0.0)
