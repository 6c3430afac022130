"""All baselines share one interface: aligned, of the promised length, channels apart."""

from fractions import Fraction

import numpy as np
import pytest

from overtone.degrade.spline import decimate, interpolate
from overtone.errors import InvalidInputError
from overtone.evaluation.baselines import BASELINES, SHALLOWEST_SLOPE_DB, copy_up, soxr, upsample

every_baseline = pytest.mark.parametrize("name", BASELINES)


def band_level(samples, rate, low_hz, high_hz):
    spectrum = np.abs(np.fft.rfft(samples[0] * np.hanning(samples.shape[1])))
    frequencies = np.fft.rfftfreq(samples.shape[1], 1 / rate)
    return np.sqrt(np.mean(spectrum[(frequencies >= low_hz) & (frequencies < high_hz)] ** 2))


@every_baseline
@pytest.mark.parametrize("rates", [(4000, 16000), (5512.5, 22050), (8000, 22050), (16000, 16000)])
@pytest.mark.parametrize("samples", [0, 1, 50, 3001])
def test_length_is_scaled_by_the_rate_exactly(name, rates, samples, rng):
    low = rng.standard_normal((2, samples)).astype(np.float32)
    wide = upsample(name, low, *rates)
    expected = Fraction(rates[1]) / Fraction(rates[0]) * samples
    assert wide.shape == (2, int(expected + Fraction(1, 2)))
    assert wide.dtype == np.float32
    assert np.isfinite(wide).all()


@every_baseline
def test_a_tone_in_the_band_comes_out_aligned(name, make_tone):
    wide = upsample(name, make_tone(200, 4000, channels=2), 4000, 16000)
    middle = slice(1000, -1000)
    expected = make_tone(200, 16000, channels=2)
    assert np.abs(wide - expected)[:, middle].max() < 0.01


@every_baseline
def test_channels_do_not_touch_each_other(name, rng):
    low = rng.standard_normal((3, 2000)).astype(np.float32)
    together = upsample(name, low, 4000, 16000)
    for channel in range(3):
        alone = upsample(name, low[channel : channel + 1], 4000, 16000)
        assert np.allclose(together[channel], alone[0], atol=1e-6)


@every_baseline
def test_silence_stays_silence(name):
    assert not upsample(name, np.zeros((1, 4000), np.float32), 4000, 16000).any()


def test_spline_is_kuleshovs_interpolation(make_noise):
    low = decimate(make_noise(16000), 4)
    assert np.array_equal(upsample("spline", low, 4000, 16000), interpolate(low, 4))


def test_soxr_puts_nothing_above_the_low_nyquist_and_copy_up_does(make_lowpassed_noise):
    low = decimate(make_lowpassed_noise(8000, 16000, 2.0), 4)
    empty = band_level(soxr(low, 4000, 16000), 16000, 2100, 8000)
    filled = band_level(copy_up(low, 4000, 16000), 16000, 2100, 8000)
    given = band_level(soxr(low, 4000, 16000), 16000, 800, 1500)
    assert empty < 1e-4 * given
    assert 1e-2 * given < filled < given


def test_copy_up_keeps_the_band_below_its_edge(make_noise):
    low = decimate(make_noise(16000, 2.0), 4)
    added = copy_up(low, 4000, 16000) - soxr(low, 4000, 16000)
    assert band_level(added, 16000, 0, 1500) < 1e-3 * band_level(added, 16000, 1700, 3000)


def test_copies_follow_the_slope_of_the_band(make_noise):
    noise = make_noise(16000, 4.0).astype(float)
    spectrum = np.fft.rfft(noise)
    frequencies = np.fft.rfftfreq(noise.shape[1], 1 / 16000)
    levels = {}
    for slope_db in (-12.0, -24.0):
        tilt = 10 ** (slope_db * np.log2(np.maximum(frequencies, 100) / 1000) / 20)
        low = decimate(np.fft.irfft(spectrum * tilt), 4)
        wide = copy_up(low, 4000, 16000)
        octave = band_level(wide, 16000, 3600, 4400) / band_level(wide, 16000, 1800, 2200)
        levels[slope_db] = 20 * np.log10(octave)
        assert levels[slope_db] == pytest.approx(slope_db, abs=5)
    assert levels[-24.0] < levels[-12.0] - 6


def test_a_rising_band_is_never_continued_upward(make_noise):
    noise = make_noise(16000, 2.0).astype(float)
    rising = np.fft.rfft(noise) * np.linspace(0, 1, noise.shape[1] // 2 + 1)
    wide = copy_up(decimate(np.fft.irfft(rising), 4), 4000, 16000)
    fall = band_level(wide, 16000, 6000, 8000) / band_level(wide, 16000, 1200, 1600)
    assert 20 * np.log10(fall) < SHALLOWEST_SLOPE_DB


def test_what_cannot_be_is_refused():
    low = np.zeros((1, 100), np.float32)
    with pytest.raises(InvalidInputError, match=r"no baseline 'sinc'; known: spline, soxr"):
        upsample("sinc", low, 4000, 16000)
    with pytest.raises(InvalidInputError, match="go up, not from 16000 to 4000 Hz"):
        upsample("spline", low, 16000, 4000)
    with pytest.raises(InvalidInputError, match=r"\[channels, samples\], not \(100,\)"):
        upsample("soxr", low[0], 4000, 16000)
