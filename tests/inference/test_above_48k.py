"""Outputs of 88.2 kHz and more hold the band that the model has, and nothing false above it."""

import numpy as np
import pytest
import soundfile
import soxr

from overtone import Enhancer

TOP_HZ = 24_000  # where both models end


@pytest.fixture(scope="module")
def call(examples_dir):
    wide, rate = soundfile.read(examples_dir / "speech_nl_48k.flac", frames=72_000)
    return soxr.resample(wide, rate, 8000)


@pytest.fixture(scope="module", params=["speech", "music"])
def enhancer(request):
    return Enhancer(request.param, device="cpu", threads=1)


def level_db(samples, rate, low_hz, high_hz):
    """Mean power of a band, in dB."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / rate)
    return 10 * np.log10(power[(frequency >= low_hz) & (frequency < high_hz)].mean() + 1e-30)


@pytest.mark.parametrize("rate_in", [8000, 44100, 96000])
@pytest.mark.parametrize("rate_out", [88200, 96000])
def test_the_band_is_the_models_and_nothing_is_above(enhancer, call, rate_in, rate_out):
    recording = soxr.resample(call, 8000, rate_in, quality="VHQ")
    ordinary, _ = enhancer.enhance(recording, rate_in, output_rate=48000, cutoff_hz=3800.0)
    out, rate = enhancer.enhance(recording, rate_in, output_rate=rate_out, cutoff_hz=3800.0)
    assert rate == rate_out
    assert abs(len(out) - len(recording) * rate_out / rate_in) < 1
    band = level_db(out, rate, 6000, 0.9 * TOP_HZ)
    assert level_db(out, rate, 1.005 * TOP_HZ, rate / 2) < band - 100
    again = soxr.resample(out.astype(float), rate, 48000, quality="VHQ")[: len(ordinary)]
    difference = ordinary[: len(again)] - again
    below = 100, 0.9 * TOP_HZ
    assert level_db(difference, 48000, *below) < level_db(ordinary, 48000, *below) - 80


def test_what_was_recorded_above_stays(enhancer, call):
    """Bats above a telephone call: kept as they are, and not mirrored."""
    recording = soxr.resample(call, 8000, 96000, quality="VHQ")
    bats = 0.01 * np.sin(2 * np.pi * 33_000 * np.arange(len(recording)) / 96000)
    out, _ = enhancer.enhance(recording + bats, 96000, cutoff_hz=3800.0)
    plain, _ = enhancer.enhance(recording, 96000, cutoff_hz=3800.0)
    around = 32_900, 33_100
    assert level_db(out, 96000, *around) == pytest.approx(level_db(bats, 96000, *around), abs=0.1)
    beside = 34_000, 47_000
    assert level_db(out, 96000, *beside) < level_db(out, 96000, *around) - 100
    inner = slice(9600, -9600)
    assert np.std((out - bats - plain)[inner]) < 0.1 * np.std(plain[inner])
