"""Kuleshov's decimation and spline are scipy's, sample by sample, in blocks of any length."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import signal
from scipy.interpolate import CubicSpline, splev, splrep

from overtone.degrade import spline
from overtone.degrade.spline import MIN_DECIMATED_SAMPLES, decimate, interpolate
from overtone.errors import InvalidInputError


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("samples", [28, 1000, 1003])
def test_decimation_keeps_length_and_alignment(scale, samples, make_tone):
    low = decimate(make_tone(100, 16000, samples / 16000), scale)
    assert low.shape == (1, -(-samples // scale))
    expected = make_tone(100, 16000, samples / 16000)[:, ::scale]
    inside = slice(10, -10)
    assert np.abs(low - expected)[:, inside].max(initial=0) < 0.02


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_tones_below_the_pass_band_stay_and_tones_above_the_low_nyquist_vanish(scale, make_tone):
    low_nyquist = 8000 / scale
    kept = decimate(make_tone(0.5 * low_nyquist, 16000), scale)
    lost = decimate(make_tone(1.2 * low_nyquist, 16000), scale)
    middle = slice(100, -100)
    assert kept[0, middle].std() == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    assert lost[0, middle].std() < 1e-3


def test_decimation_is_scipys(make_noise):
    high = make_noise(16000)
    expected = signal.filtfilt(*signal.cheby1(8, 0.05, 0.8 / 4), high.astype(float))[:, ::4]
    assert np.allclose(decimate(high, 4), expected, atol=1e-5)


def test_without_low_pass_samples_are_picked(make_noise):
    high = make_noise(16000)
    assert np.array_equal(decimate(high, 4, low_pass=False), high[:, ::4])


def test_the_shortest_recording_that_can_be_filtered(rng):
    assert decimate(rng.standard_normal(MIN_DECIMATED_SAMPLES), 4).size == 7
    with pytest.raises(InvalidInputError, match="27 samples are too few"):
        decimate(rng.standard_normal(MIN_DECIMATED_SAMPLES - 1), 4)
    with pytest.raises(InvalidInputError, match="scale must be at least 2, not 1"):
        decimate(rng.standard_normal(100), 1)


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_interpolation_is_splrep_and_splev(rng, ratio):
    low = rng.standard_normal((2, 500))
    up = interpolate(low, ratio)
    assert up.shape == (2, 500 * ratio)
    for channel, result in zip(low, up, strict=True):
        tck = splrep(np.arange(500) * ratio, channel)
        assert np.allclose(result, splev(np.arange(500 * ratio), tck), atol=1e-6)


def test_interpolation_passes_through_its_samples_and_is_a_natural_family_member(rng):
    low = rng.standard_normal(400)
    up = interpolate(low, 4)
    assert np.allclose(up[::4], low, atol=1e-6)
    # Another implementation of the same curve: cubic, not-a-knot ends.
    other = CubicSpline(np.arange(400), low, bc_type="not-a-knot")
    assert np.allclose(up, other(np.arange(1600) / 4), atol=1e-5)


@pytest.mark.parametrize("samples", [199, 200, 201, 250, 1024])
def test_blocks_leave_no_seam(rng, monkeypatch, samples):
    low = rng.standard_normal(samples)
    whole = interpolate(low, Fraction(7, 2))
    monkeypatch.setattr(spline, "BLOCK_KNOTS", 100)
    assert np.allclose(interpolate(low, Fraction(7, 2)), whole, atol=1e-6)


@pytest.mark.parametrize("samples", [0, 1, 2, 3])
def test_very_short_recordings_get_the_spline_they_determine(samples):
    line = 0.5 + 0.25 * np.arange(samples)
    up = interpolate(line, 4)
    assert up.shape == (4 * samples,)
    expected = 0.5 + 0.25 * np.arange(4 * samples) / 4 if samples > 1 else np.full(4 * samples, 0.5)
    assert np.allclose(up, expected, atol=1e-6)
