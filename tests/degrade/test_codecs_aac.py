"""AAC round trips: length, place, what the bit rate buys, and what is refused."""

import sys

import numpy as np
import pytest
import soundfile

from overtone.degrade.codecs import aac_roundtrip
from overtone.errors import InvalidInputError, MissingExtraError

pytest.importorskip("av")


@pytest.fixture(scope="module")
def speech(examples_dir):
    samples, _ = soundfile.read(examples_dir / "speech_en_48k.flac", dtype="float32")
    return samples[:96_001]


def test_the_result_lies_where_the_original_did(speech):
    y = aac_roundtrip(speech, 48_000, 96)
    assert y.shape == speech.shape
    correlation = np.fft.irfft(np.fft.rfft(y) * np.conj(np.fft.rfft(speech)))
    assert np.argmax(correlation) == 0


def test_more_bits_are_closer(speech):
    errors = [np.mean((aac_roundtrip(speech, 48_000, k) - speech) ** 2) for k in (16, 48, 128)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_two_channels_stay_two(speech):
    pair = np.stack([speech, 0 * speech])
    y = aac_roundtrip(pair, 44_100, 64)
    assert y.shape == pair.shape
    assert np.abs(y[1]).max() < 0.1 * np.abs(y[0]).max()


def test_nothing_stays_nothing():
    assert aac_roundtrip(np.zeros(0), 48_000, 64).shape == (0,)


@pytest.mark.parametrize(
    ("shape", "rate", "kbps", "message"),
    [
        ((100,), 10_000, 64, "no rate of 10000 Hz"),
        ((3, 100), 48_000, 64, r"not \(3, 100\)"),
        ((100,), 48_000, 2, "8 to 512 kbit/s, not 2"),
    ],
)
def test_the_impossible_is_named(shape, rate, kbps, message):
    with pytest.raises(InvalidInputError, match=message):
        aac_roundtrip(np.zeros(shape), rate, kbps)


def test_without_pyav_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match="formats"):
        aac_roundtrip(np.zeros(100), 48_000, 64)
