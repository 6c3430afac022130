import numpy as np
import pytest

from overtone.dsp.level import LevelMeter, active_rms


def test_pauses_do_not_lower_the_level(make_noise):
    noise = make_noise(16000, 1.0, 0.1)
    pauses = np.zeros_like(noise)
    assert active_rms(np.concatenate([noise, pauses], axis=-1), 16000) == pytest.approx(
        0.1, rel=0.03
    )


def test_the_level_scales_with_the_signal(make_noise):
    noise = make_noise(8000, 0.5, 0.05)
    assert active_rms(3 * noise, 8000) == pytest.approx(3 * active_rms(noise, 8000), rel=1e-5)


@pytest.mark.parametrize("samples", [0, 500])
def test_silence_has_level_zero(samples):
    assert active_rms(np.zeros((2, samples), np.float32), 48000) == 0.0


def test_a_recording_shorter_than_a_frame_has_its_plain_rms():
    assert active_rms(np.full((1, 10), 0.5, np.float32), 48000) == pytest.approx(0.5)


def test_block_sizes_do_not_matter(rng, make_noise):
    noise = np.atleast_2d(make_noise(16000, 0.7, 0.1))
    meter = LevelMeter(16000)
    for part in np.split(noise, np.sort(rng.integers(0, noise.shape[1], 25)), axis=1):
        meter.push(part)
    assert meter.active_rms() == pytest.approx(active_rms(noise, 16000), rel=1e-9)
