"""Steady tones neither hide a cutoff nor make one."""

import numpy as np
import pytest
import soundfile
import soxr

from overtone.dsp.bandwidth import estimate_cutoff
from overtone.dsp.lines import find_lines, without
from overtone.dsp.stft import hann, stft

RATE = 48000
LINES_HZ = (50, 3000, 4300, 8000, 12000, 15625, 19000)


@pytest.fixture(scope="session")
def speech(examples_dir):
    return soundfile.read(examples_dir / "speech_en_48k.flac")[0]


def line(hz: float, level_db: float, samples: int) -> np.ndarray:
    return 10 ** (level_db / 20) * np.sin(2 * np.pi * hz / RATE * np.arange(samples))


@pytest.mark.parametrize("hz", LINES_HZ)
@pytest.mark.parametrize("level_db", [-70, -45, -20])
def test_full_band_stays_full_band(speech, hz, level_db):
    estimate = estimate_cutoff(speech + line(hz, level_db, len(speech)), RATE)
    assert estimate.verdict == "full band"
    assert any(abs(found - hz) < 40 for found in estimate.lines_hz)


@pytest.mark.parametrize("hz", LINES_HZ)
@pytest.mark.parametrize("level_db", [-70, -45, -20])
def test_a_cutoff_is_found_as_without(speech, hz, level_db):
    phone = soxr.resample(soxr.resample(speech, RATE, 8000), 8000, RATE)
    alone = estimate_cutoff(phone, RATE)
    estimate = estimate_cutoff(phone + line(hz, level_db, len(phone)), RATE)
    # Right beside the edge a strong line covers it: rather too low than too high.
    near = 0.75 if 0.7 < hz / alone.cutoff_hz < 1.3 else 0.97
    assert near * alone.cutoff_hz < estimate.cutoff_hz < 1.03 * alone.cutoff_hz


def test_noise_and_speech_have_no_lines(speech, make_noise):
    for samples in (make_noise(RATE, 2.0)[0], speech[:RATE], speech[RATE : 2 * RATE]):
        powers = np.abs(stft(samples, hann(2048), 1024)) ** 2
        peaks, covered = find_lines(powers)
        assert len(peaks) <= 1  # this recording has one, soft, at 9.8 kHz
        assert covered.mean() < 0.01


def test_what_a_line_covers_is_filled_in_from_beside_it(make_noise):
    noise = 1e-3 * make_noise(RATE, 2.0)[0]
    clean, dirty = (
        np.abs(stft(noise + extra, hann(2048), 1024)) ** 2
        for extra in (0.0, line(6000.3, -20, len(noise)))
    )
    _, covered = find_lines(dirty)
    filled = without(dirty, covered)
    near = slice(200, 312)
    ratio = filled[:, near].mean() / clean[:, near].mean()
    assert 0.8 < ratio < 1.25
    assert dirty[:, near].mean() > 100 * filled[:, near].mean()
    assert (filled[:, ~covered] == dirty[:, ~covered]).all()
