"""Some seconds of a file are those of the whole, and its stretches move with them."""

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi")

from overtone import Enhancer
from overtone.dsp.bandwidth import CutoffEstimate
from overtone.dsp.stretches import Stretch
from overtone.serve.options import Options
from overtone.serve.preview import Look, Section, from_second
from overtone.serve.settings import Limits


@pytest.fixture
def call(examples_dir):
    return examples_dir / "speech_en_8k.flac"


def section(call, tmp_path, **wanted):
    task = Section(call, "call", tmp_path / "out", Options.model_validate({}), **wanted)
    told = task.do(lambda _: None)
    return told, np.fromfile(tmp_path / "out", "<f4")


def test_some_seconds_sound_as_in_the_whole_file(call, tmp_path):
    given, rate = soundfile.read(call, dtype="float32")
    whole, _ = Enhancer(device="cpu", threads=1).enhance(given, rate)
    before, after = (
        section(call, tmp_path, start_s=2.5, duration_s=0.5, enhanced=enhanced)
        for enhanced in (False, True)
    )
    wanted = whole[120_000:144_000]
    hz = np.fft.rfftfreq(24_000, 1 / 48_000)
    spectra = [np.abs(np.fft.rfft(np.hanning(24_000) * x)) for x in (before[1], after[1], wanted)]
    low, high = hz < 3400, hz > 4500
    for spectrum in spectra[:2]:
        np.testing.assert_allclose(spectrum[low], spectra[2][low], atol=1e-2 * spectra[2].max())
    levels = [np.sum(spectrum[high] ** 2) for spectrum in spectra]
    assert levels[0] < 1e-3 * levels[2]
    assert 0.7 < levels[1] / levels[2] < 1.4
    assert after[0]["rate"] == 48_000
    assert after[0]["edges"] == [(0.0, pytest.approx(0.5), after[0]["cutoff"])]


def test_stretches_move_with_the_seconds():
    first, second = (CutoffEstimate("band-limited", hz, 1.0) for hz in (4000.0, 8000.0))
    parts = (Stretch(0.0, 3.0, (0,), first), Stretch(3.0, 9.0, (0,), second))
    moved = from_second(parts, 2.0)
    assert [(part.start_s, part.end_s) for part in moved] == [(0.0, 1.0), (1.0, 7.0)]
    assert from_second(parts, 5.0) == (Stretch(0.0, 4.0, (0,), second),)


def test_a_look_says_what_is_in_a_file(call):
    told = Look(call, "call", Limits()).do(lambda _: None)
    info = soundfile.info(call)
    assert (told["rate"], told["channels"]) == (info.samplerate, info.channels)
    assert told["duration"] == pytest.approx(info.duration)
    assert 3400 < told["cutoff"] < 4000
    loudest = np.abs(soundfile.read(call)[0]).max()
    assert max(told["peaks"]) == pytest.approx(loudest, abs=1e-3)
