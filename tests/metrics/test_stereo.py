"""The side relative to the mid, against an independent formula and by what it must imply."""

import math

import numpy as np
import pytest

from overtone.errors import InvalidInputError
from overtone.metrics import evaluate_pair, side_mid_db

RATE, CUTOFF_HZ = 16000, 4000


def stereo(mid, side):
    return np.stack([mid + side, mid - side])


@pytest.fixture
def noise(rng):
    """``noise(low_hz, high_hz)``: 4 s of noise in that band and nothing elsewhere."""

    def make(low_hz=0.0, high_hz=8000.0):
        spectrum = np.fft.rfft(rng.standard_normal(4 * RATE))
        frequencies = np.fft.rfftfreq(4 * RATE, 1 / RATE)
        spectrum[(frequencies < low_hz) | (frequencies >= high_hz)] = 0
        return 0.1 * np.fft.irfft(spectrum)

    return make


def test_it_agrees_with_the_energies_of_one_transform(noise):
    # Over 4 s of steady noise frames and a single transform see the same energies.
    reference = stereo(noise(), 0.3 * noise())
    estimate = stereo(noise(), 0.9 * noise(0, 6000))
    ratios = []
    for left, right in (reference, estimate):
        mid, side = (
            np.sum(np.abs(np.fft.rfft(s)[4 * CUTOFF_HZ :]) ** 2)
            for s in (left + right, left - right)
        )
        ratios.append(10 * math.log10(side / mid))
    expected = abs(ratios[1] - ratios[0])
    assert expected > 5
    assert side_mid_db(reference, estimate, RATE, CUTOFF_HZ) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("gain", [0.25, 4.0])
def test_a_side_four_times_as_strong_or_soft_is_12_db_off(noise, gain):
    mid, side = noise(), 0.3 * noise()
    found = side_mid_db(stereo(mid, side), stereo(mid, gain * side), RATE, CUTOFF_HZ)
    assert found == pytest.approx(20 * math.log10(4), abs=1e-9)


def test_only_what_lies_above_the_cutoff_counts(noise):
    top, side = noise(4500), 0.3 * noise(4500)
    low = stereo(0, noise(0, 3500))
    pair = stereo(top, side), stereo(top, 0.5 * side)
    expected = side_mid_db(*pair, RATE, CUTOFF_HZ)
    assert side_mid_db(pair[0], pair[1] + low, RATE, CUTOFF_HZ) == pytest.approx(expected, abs=0.01)


def test_level_balance_of_both_and_order_of_channels_do_not_count(noise):
    reference, estimate = stereo(noise(), 0.3 * noise()), stereo(noise(), 0.2 * noise())
    expected = side_mid_db(reference, estimate, RATE, CUTOFF_HZ)
    for other in (0.1 * estimate, estimate[::-1], -estimate):
        found = side_mid_db(reference, other, RATE, CUTOFF_HZ)
        assert found == pytest.approx(expected, abs=1e-9)


def test_integers_are_read_at_full_scale(noise):
    pair = stereo(noise(), 0.3 * noise()), stereo(noise(), 0.2 * noise())
    as_integers = [np.round(32767 * signal).astype(np.int16) for signal in pair]
    expected = side_mid_db(*pair, RATE, CUTOFF_HZ)
    assert side_mid_db(*as_integers, RATE, CUTOFF_HZ) == pytest.approx(expected, abs=0.01)


def test_what_does_not_exist_is_nan(noise):
    mid, side = noise(), noise()
    wide, narrow, silent = stereo(mid, side), stereo(mid, 0 * side), np.zeros((2, mid.size))
    assert math.isnan(side_mid_db(narrow, wide, RATE, CUTOFF_HZ))  # no side to compare with
    assert math.isnan(side_mid_db(stereo(mid, 1e-4 * side), wide, RATE, CUTOFF_HZ))
    assert math.isnan(side_mid_db(silent, wide, RATE, CUTOFF_HZ))
    assert math.isnan(side_mid_db(wide, silent, RATE, CUTOFF_HZ))
    for channels in (mid, mid[None], np.stack([mid, side, mid])):
        assert math.isnan(side_mid_db(channels, channels, RATE, CUTOFF_HZ))


def test_a_lost_side_or_mid_is_60_db_at_most(noise):
    wide = stereo(noise(), noise())
    lost = side_mid_db(wide, stereo(noise(), 0), RATE, CUTOFF_HZ)
    assert lost == pytest.approx(60, abs=1)
    assert side_mid_db(wide, stereo(0 * noise(), noise()), RATE, CUTOFF_HZ) < 61
    assert side_mid_db(wide, wide, RATE, CUTOFF_HZ) == 0


def test_a_cutoff_outside_the_band_is_refused(noise):
    wide = stereo(noise(), noise())
    with pytest.raises(InvalidInputError, match="no frequency bin"):
        side_mid_db(wide, wide, RATE, RATE)


def test_it_is_scored_for_two_channels_and_a_cutoff(noise):
    pair = stereo(noise(), 0.3 * noise()), stereo(noise(), 0.2 * noise())
    scores = evaluate_pair(*pair, RATE, cutoff_hz=CUTOFF_HZ)
    assert scores["side_mid_db"] == side_mid_db(*pair, RATE, CUTOFF_HZ)
    assert "side_mid_db" not in evaluate_pair(*pair, RATE)
    assert "side_mid_db" not in evaluate_pair(*(s[0] for s in pair), RATE, cutoff_hz=CUTOFF_HZ)
