"""Alignment finds whole-sample shifts either way, and refuses what is no version of the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtone.errors import InvalidInputError
from overtone.evaluation.alignment import find_shift, overlap

RATE = 16000


def noise(samples, channels=1, seed=0):
    return np.random.default_rng(seed).standard_normal((channels, samples)).astype(np.float32)


def moved(samples, shift):
    """``samples`` as much later, as long as before."""
    return np.roll(np.pad(samples, ((0, 0), (8000, 8000))), shift, axis=1)[:, 8000:-8000]


@settings(max_examples=25, deadline=None)
@given(shift=st.integers(-3000, 3000), gain=st.floats(0.01, 100), extra=st.integers(-500, 500))
def test_a_shift_is_found_whatever_the_gain_and_the_length(shift, gain, extra):
    reference = noise(12000)
    estimate = gain * moved(reference, shift)
    estimate = np.pad(estimate, ((0, 0), (0, max(extra, 0))))[:, : 12000 + extra]
    assert find_shift(reference, estimate, RATE) == shift
    y, x = overlap(reference, estimate, RATE, shift)
    assert y.shape == x.shape
    assert y.shape[1] >= 12000 - abs(shift) - abs(extra)
    inside = slice(3000, y.shape[1] - 3500)
    np.testing.assert_allclose(x[:, inside], gain * y[:, inside], rtol=1e-5)


def test_of_equal_periods_the_nearest_counts():
    tone = np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)[None].astype(np.float32)
    assert find_shift(tone, tone, RATE) == 0


def test_errors_of_its_own_do_not_move_an_estimate(make_lowpassed_noise):
    both = make_lowpassed_noise(200, RATE, 1.0, channels=9)
    reference, errors = both[:1], both[1:]
    peaks = []
    for error in errors:
        estimate = reference + error
        assert find_shift(reference, estimate, RATE) == 0
        assert find_shift(reference, moved(estimate, 300), RATE) == pytest.approx(300, abs=9)
        peaks.append(np.argmax(np.correlate(estimate[0], reference[0, 100:-100])) - 100)
    # Though the highest correlation often lies elsewhere.
    assert np.any(peaks)


def test_silence_and_nothing_have_no_shift():
    assert find_shift(noise(800), np.zeros((1, 800), np.float32), RATE) == 0
    assert find_shift(noise(800), np.zeros((1, 0), np.float32), RATE) == 0


def test_without_a_shift_nothing_but_the_end_changes():
    reference = noise(5000)
    y, x = overlap(reference, reference[:, :4900], RATE)
    np.testing.assert_array_equal(y, reference[:, :4900])
    np.testing.assert_array_equal(x, y)


def test_channels_are_moved_together():
    reference = noise(8000, channels=2)
    reference[1] *= 0.01
    assert find_shift(reference, moved(reference, 37), RATE) == 37


@pytest.mark.parametrize(("samples", "shift"), [(14000, 0), (10000, 0), (13700, 60)])
def test_lengths_beyond_the_tolerance_and_the_shift_are_refused(samples, shift):
    with pytest.raises(InvalidInputError, match=r"its reference 0\.750 s: trim"):
        overlap(noise(12000), noise(samples), RATE, shift)
    overlap(noise(12000), noise(13600), RATE, 0)
