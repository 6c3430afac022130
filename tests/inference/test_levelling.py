"""Outputs brought to a loudness: by one gain, and never into clipping."""

import numpy as np
import pytest
import soundfile

from overtone.dsp.loudness import LoudnessMeter
from overtone.errors import InvalidInputError
from overtone.inference import Enhancer, enhance_files


@pytest.fixture(scope="module")
def enhancer():
    return Enhancer("speech", device="cpu", threads=1)


def meter_of(path):
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    meter = LoudnessMeter(rate, samples.shape[1])
    meter.push(samples.T)
    meter.finish()
    return meter


@pytest.mark.parametrize("target", [-30.0, -23.0])
def test_the_output_has_the_loudness_asked_for(enhancer, examples_dir, tmp_path, target):
    source = examples_dir / "speech_en_8k.flac"
    report = enhancer.enhance_file(source, tmp_path / "level.flac", target_lufs=target)
    assert meter_of(tmp_path / "level.flac").lufs == pytest.approx(target, abs=0.05)
    assert report.lufs == pytest.approx(target, abs=1e-3)
    enhancer.enhance_file(source, tmp_path / "plain.wav", subtype="FLOAT")
    level, plain = (soundfile.read(tmp_path / name)[0] for name in ("level.flac", "plain.wav"))
    gain = level @ plain / (plain @ plain)
    assert np.abs(level - gain * plain).max() < 2e-4  # nothing but a gain and 16 bits


def test_peaks_are_never_clipped(enhancer, examples_dir, tmp_path):
    report = enhancer.enhance_file(
        examples_dir / "speech_en_8k.flac", tmp_path / "loud.wav", target_lufs=-5
    )
    assert report.clipped_samples == 0
    assert "its peaks would pass -1 dBTP" in report.warning
    assert meter_of(tmp_path / "loud.wav").true_peak == pytest.approx(10 ** (-1 / 20), abs=0.01)


def test_silence_stays_silent_and_says_so(enhancer, tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    report = enhancer.enhance_file(tmp_path / "silent.wav", tmp_path / "o.wav", target_lufs=-16)
    assert not soundfile.read(tmp_path / "o.wav")[0].any()
    assert "too quiet for a loudness" in report.warning
    assert report.lufs is None


def test_a_full_band_file_is_levelled_too(enhancer, make_noise, tmp_path):
    soundfile.write(tmp_path / "full.wav", make_noise(48000, 2)[0], 48000)
    report = enhancer.enhance_file(tmp_path / "full.wav", tmp_path / "o.wav", target_lufs=-20)
    assert (report.changed, report.action) == (False, "written")
    assert meter_of(tmp_path / "o.wav").lufs == pytest.approx(-20, abs=0.05)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target_lufs": 3}, "-70 to -5"),
        ({"target_lufs": -16, "select": [(0, 1)]}, "give only one"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(options, said, tmp_path):
    with pytest.raises(InvalidInputError, match=said):
        enhance_files(tmp_path / "gone.wav", **options)
