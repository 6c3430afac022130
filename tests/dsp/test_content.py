from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, resample_poly, sosfilt

from overtone.audio.reader import read_audio
from overtone.dsp.content import speech_probability

EXAMPLES = Path(__file__).parents[2] / "examples"


def notes(seed: int) -> np.ndarray:
    """Chords of a plucked instrument, 0.4 s each, 6 s at 16 kHz."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(6400) / 16000
    chords = []
    for _ in range(15):
        f0 = 220 * 2 ** (rng.choice(12, 3, replace=False)[:, None, None] / 12)
        partials = np.arange(1, 7)[:, None]
        chord = np.sin(2 * np.pi * f0 * partials * time_s) / partials * np.exp(-3 * time_s)
        chords.append(chord.sum((0, 1)))
    return np.concatenate(chords)


@pytest.fixture(params=["speech_en_8k.flac", "music"])
def recording(request):
    """Samples at 16 kHz, and whether they are speech."""
    if request.param == "music":
        return notes(0), False
    samples, rate = read_audio(EXAMPLES / request.param)
    return resample_poly(samples[0], 16000 // rate, 1), True


def test_speech_and_music_are_told_apart(recording):
    samples, is_speech = recording
    assert (speech_probability(samples, 16000) > 0.7) == is_speech
    assert (speech_probability(samples, 16000) < 0.3) != is_speech


@pytest.mark.parametrize("change", ["softer", "low-passed", "telephone", "another rate"])
def test_the_answer_depends_on_the_content_alone(recording, change):
    samples, is_speech = recording
    rate = 16000
    if change == "softer":
        samples = 1e-3 * samples
    elif change == "low-passed":
        samples = sosfilt(butter(8, 2000, fs=rate, output="sos"), samples)
    elif change == "telephone":
        samples = sosfilt(butter(4, [300, 3400], "bandpass", fs=rate, output="sos"), samples)
    else:
        samples, rate = resample_poly(samples, 441, 160), 44100
    assert (speech_probability(samples, rate) > 0.5) == is_speech


def test_it_is_even_where_nothing_can_be_told(rng):
    assert speech_probability(np.zeros(48000), 16000) == 0.5
    assert speech_probability(rng.normal(size=1000), 16000) == 0.5
    assert speech_probability(rng.normal(size=8000), 2000) == 0.5
    assert speech_probability(np.zeros(0), 16000) == 0.5
