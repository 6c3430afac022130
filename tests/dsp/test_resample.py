import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtone.dsp.resample import Decimator, StreamResampler, resample, resampled_length

RATES = st.sampled_from([1000, 7001, 8000, 16000, 22050, 44100, 48000, 96000])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5000), RATES, RATES)
def test_the_length_is_as_promised(samples, rate_in, rate_out):
    out = resample(np.ones((2, samples), np.float32), rate_in, rate_out)
    assert out.shape == (2, resampled_length(samples, rate_in, rate_out))


@pytest.mark.parametrize(
    ("samples", "rate_in", "rate_out", "wanted"),
    [
        (0, 8000, 48000, 0),
        (1, 8000, 48000, 6),
        (3, 48000, 8000, 1),
        (2, 48000, 8000, 0),
        (5, 2, 1, 3),
    ],
)
def test_length_rounds_half_up(samples, rate_in, rate_out, wanted):
    assert resampled_length(samples, rate_in, rate_out) == wanted


@pytest.mark.parametrize("rate_out", [8000, 44100, 96000])
def test_blocks_leave_no_seam(rng, rate_out):
    signal = rng.standard_normal((2, 30000)).astype(np.float32)
    whole = resample(signal, 48000, rate_out)
    stream = StreamResampler(48000, rate_out, 2)
    cuts = np.sort(rng.integers(0, 30000, 40))
    parts = [stream.push(part) for part in np.split(signal, cuts, axis=1)]
    np.testing.assert_allclose(np.concatenate([*parts, stream.flush()], axis=1), whole, atol=1e-6)


def test_a_tone_keeps_its_place_in_time():
    # Resampling must neither delay nor advance: compare with the same tone sampled directly.
    def tone(rate):
        return np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)[None]

    out = resample(tone(16000), 16000, 48000)
    inner = slice(4800, -4800)
    np.testing.assert_allclose(out[0, inner], tone(48000)[0, inner], atol=1e-4)


def test_equal_rates_change_nothing(rng):
    signal = rng.standard_normal((1, 100)).astype(np.float32)
    assert resample(signal, 48000, 48000) is signal


def test_zero_insertion_keeps_the_band_and_filters_nothing(rng):
    signal = rng.standard_normal((2, 100)).astype(np.float32)
    stream = StreamResampler(8000, 24000, 2, zero_insertion=3)
    stuffed = np.concatenate([stream.push(signal), stream.flush()], axis=1)
    assert stuffed.shape == (2, 300)
    # The discrete spectrum of a stuffed signal is that of the signal, as loud, over and over.
    wanted = np.tile(np.fft.fft(signal), (1, 3)) * 3
    np.testing.assert_allclose(np.fft.fft(stuffed), wanted, atol=1e-3)


@pytest.mark.parametrize("cuts", [[], [1, 2, 3], [10, 11, 40]])
def test_decimation_takes_every_nth_sample_in_any_blocks(rng, cuts):
    signal = rng.standard_normal((2, 50)).astype(np.float32)
    decimator = Decimator(3, 2)
    parts = [decimator.push(part) for part in np.split(signal, cuts, axis=1)]
    found = np.concatenate([*parts, decimator.flush()], axis=1)
    np.testing.assert_array_equal(found, signal[:, ::3])
