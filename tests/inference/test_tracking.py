"""Live streams whose bandwidth changes after their analysis."""

import numpy as np
import pytest
import soundfile
import soxr
from scipy import signal

from overtone import Enhancer
from overtone.inference.streaming import StreamEnhancer
from overtone.inference.tracking import tracking_delay

RATE = 48000


@pytest.fixture(scope="module")
def voices(examples_dir):
    """A telephone, and a full-band host."""
    host, wide = (
        soundfile.read(examples_dir / f"{name}.flac", dtype="float32")[0]
        for name in ("speech_en_48k", "speech_nl_48k")
    )
    return {"guest": soxr.resample(soxr.resample(wide, RATE, 8000), 8000, RATE), "host": host}


@pytest.fixture(scope="module")
def enhancer():
    return Enhancer(threads=1)


def streamed(enhancer, samples, block, **settings):
    stream = StreamEnhancer(RATE, len(samples), analysis_s=2, enhancer=enhancer, **settings)
    pieces = [stream.push(samples[:, at : at + block]) for at in range(0, samples.shape[1], block)]
    given = sum(piece.shape[1] for piece in pieces)
    assert given == samples.shape[1] - stream.latency_samples
    return np.concatenate([*pieces, stream.flush()], axis=1)


def above(samples):
    return signal.sosfiltfilt(signal.butter(8, 4500, "high", fs=RATE, output="sos"), samples)


@pytest.mark.parametrize("order", ["guest host guest", "host guest host"])
def test_the_host_is_kept_from_the_first_sample_and_the_guest_extended(voices, enhancer, order):
    parts = [(who, voices[who]) for who in order.split()]
    samples = np.concatenate([part for _, part in parts])[None]
    out = streamed(enhancer, samples, 960)
    assert out.shape == samples.shape
    before, after, at = above(samples[0]), above(out[0]), 0
    for who, part in parts:
        here = slice(at, at + len(part))
        at += len(part)
        if who == "host":
            error = np.sum((before[here] - after[here]) ** 2)
            assert 10 * np.log10(np.sum(before[here] ** 2) / (error + 1e-20)) > 60
        else:
            assert np.mean(after[here] ** 2) > 1000 * np.mean(before[here] ** 2)


def test_blocks_do_not_change_the_samples(voices, enhancer):
    samples = np.concatenate([voices["guest"], voices["host"], voices["guest"]])[None]
    outs = [streamed(enhancer, samples, block) for block in (7777, samples.shape[1])]
    assert np.abs(outs[0] - outs[1]).max() < 1e-5


def test_sides_change_by_themselves(voices, enhancer):
    guest, host = (voices[who][: 3 * RATE] for who in ("guest", "host"))
    left = np.concatenate([guest, host])
    samples = np.stack([left, np.concatenate([host, guest])])
    out = streamed(enhancer, samples, 4800)
    kept = slice(3 * RATE, 6 * RATE)
    assert np.abs(out[0, kept] - samples[0, kept]).max() < 1e-6
    assert np.abs(out[1, : 3 * RATE] - samples[1, : 3 * RATE]).max() < 1e-6
    assert np.mean(above(out[1])[kept] ** 2) > 100 * np.mean(above(samples[1])[kept] ** 2)


def test_to_follow_takes_a_frame_and_a_fade(enhancer):
    given, found = (
        StreamEnhancer(RATE, enhancer=enhancer, **settings).latency_samples
        for settings in ({"cutoff_hz": 4000}, {"analysis_s": 2})
    )
    assert 0 <= found - given - tracking_delay(RATE) <= 1
    assert tracking_delay(RATE) / RATE < 0.042
