"""Traces are found where something is known to have left them, and nowhere else."""

import numpy as np
import pytest
import soxr
from scipy import signal

from overtone.audio.reader import read_audio
from overtone.degrade.codecs import mp3_roundtrip, opus_roundtrip
from overtone.dsp.traces import TraceMeter

RATE = 48000


@pytest.fixture(scope="module")
def speech(examples_dir):
    return read_audio(examples_dir / "speech_en_48k.flac")[0]


def measured(samples, rate=RATE, block=10_007):
    meter = TraceMeter(rate)
    # Whole frames, so that no block's end is left out.
    block -= block % round(rate / 25)
    for start in range(0, samples.shape[1], block):
        meter.push(samples[:, start : start + block].astype(np.float32))
    return meter


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000])
def test_mirror_images_name_the_old_rate(speech, rate):
    low = soxr.resample(speech.T, RATE, rate).T
    common = np.gcd(RATE, rate)
    high = signal.resample_poly(low, RATE // common, rate // common, axis=1)
    assert measured(high).upsampled_from() == rate
    linear = np.interp(
        np.arange(0, low.shape[1] - 1, rate / RATE), np.arange(low.shape[1]), low[0]
    )[None]
    assert measured(linear).upsampled_from() == rate


def test_blocks_do_not_matter(speech):
    assert measured(speech, block=48_000).wall() == measured(speech).wall()


def test_recordings_and_filtered_ones_have_neither_images_nor_walls(speech, rng):
    gentle = signal.sosfilt(signal.butter(6, 5000, fs=RATE, output="sos"), speech)
    noise = rng.standard_normal((1, RATE)) / 10
    for samples in (speech, gentle, noise, 0 * speech, speech[:, :100]):
        meter = measured(samples)
        assert meter.upsampled_from() is None
        assert meter.wall() is None


@pytest.mark.parametrize(("kbps", "edge_hz"), [(64, 16_300), (48, 11_250)])
def test_an_mp3_ends_on_a_wall_with_holes_before_it(speech, kbps, edge_hz):
    wall = measured(mp3_roundtrip(speech, RATE, kbps)).wall()
    assert wall.edge_hz == pytest.approx(edge_hz, rel=0.04)
    assert wall.holes > 0.003
    assert wall.drop_db > 25


def test_a_steep_resampler_ends_on_a_wall_without_holes(speech):
    low = soxr.resample(soxr.resample(speech.T, RATE, 16000), 16000, RATE).T
    meter = measured(low)
    wall = meter.wall()
    assert wall.edge_hz == pytest.approx(0.95 * 8000, rel=0.02)
    assert wall.holes == 0
    assert meter.upsampled_from() is None


def test_opus_ends_at_20_khz(speech):
    assert measured(opus_roundtrip(speech, RATE, 64)).wall().edge_hz == pytest.approx(
        20_000, abs=80
    )
