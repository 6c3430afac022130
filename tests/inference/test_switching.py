"""Recordings whose bandwidth changes: what has its high band keeps it, the rest is extended."""

import numpy as np
import pytest
import soundfile
import soxr
from scipy import signal

from overtone import Enhancer
from overtone.dsp.resample import StreamResampler, resampled_length
from overtone.inference.streaming import StreamEnhancer
from overtone.inference.switching import SwitchingStream

RATE = 48000


@pytest.fixture(scope="session")
def enhancer():
    return Enhancer(threads=1)


@pytest.fixture(scope="session")
def host(examples_dir):
    return soundfile.read(examples_dir / "speech_en_48k.flac", dtype="float32")[0]


@pytest.fixture(scope="session")
def guest(examples_dir):
    wide = soundfile.read(examples_dir / "speech_nl_48k.flac", dtype="float32")[0]
    return soxr.resample(soxr.resample(wide, RATE, 8000), 8000, RATE)


def above(samples, hz=4500):
    return signal.sosfiltfilt(signal.butter(8, hz, "high", fs=RATE, output="sos"), samples)


def kept_db(before, after):
    return 10 * np.log10(np.sum(before**2) / (np.sum((before - after) ** 2) + 1e-20))


def power_db(samples):
    return 10 * np.log10(np.mean(samples**2) + 1e-20)


def test_the_host_is_kept_and_the_guest_extended(enhancer, host, guest):
    joined = np.concatenate([guest[: 2 * RATE], host])
    out, rate = enhancer.enhance(joined, RATE)
    assert rate == RATE
    assert kept_db(above(joined)[2 * RATE :], above(out)[2 * RATE :]) > 60
    spoken = slice(RATE, RATE * 3 // 2)
    assert power_db(above(out)[spoken]) > power_db(above(joined)[spoken]) + 20
    assert kept_db(joined - above(joined, 3000), out - above(out, 3000)) > 40


def test_each_channel_has_its_own_band(enhancer, host, guest):
    pair = np.stack([guest[: len(host)], host])
    out, _ = enhancer.enhance(pair, RATE)
    assert np.array_equal(out[1], pair[1])
    assert power_db(above(out[0])) > power_db(above(pair[0])) + 20
    alone, _ = enhancer.enhance(pair[0], RATE)
    assert abs(power_db(above(out[0])) - power_db(above(alone))) < 3


@pytest.mark.parametrize(("rate_in", "rate_out"), [(48000, 48000), (16000, 48000), (44100, 48000)])
def test_any_chunking_gives_the_same_samples(enhancer, host, guest, rate_in, rate_out):
    joined = np.concatenate([guest[RATE : 3 * RATE], host[: 2 * RATE]])
    joined = soxr.resample(joined, RATE, rate_in)[None]
    plan = enhancer.plan([joined], rate_in, output_rate=rate_out)
    assert len(plan.stretches) == 2
    whole, _ = enhancer.enhance(joined, rate_in, output_rate=rate_out)
    assert whole.shape[1] == resampled_length(joined.shape[1], rate_in, rate_out)
    stream = StreamEnhancer(rate_in, plan=plan, enhancer=enhancer)
    pieces = [stream.push(joined[:, at : at + 4001]) for at in range(0, joined.shape[1], 4001)]
    streamed = np.concatenate([*pieces, stream.flush()], axis=1)
    assert streamed.shape == whole.shape
    assert np.abs(streamed - whole).max() < 1e-5


def test_streams_that_agree_add_up_to_one(rng):
    samples = rng.standard_normal((2, 3 * 16000)).astype(np.float32)
    switching = SwitchingStream(16000, 48000, 2)
    for start, end in ((0, 16100), (16100, 30000), (30000, np.inf)):
        switching.add(lambda: StreamResampler(16000, 48000, 2), (0, 1), start, end)
    pieces = [switching.push(samples[:, at : at + 999]) for at in range(0, samples.shape[1], 999)]
    out = np.concatenate([*pieces, switching.flush()], axis=1)
    alone = StreamResampler(16000, 48000, 2)
    wanted = np.concatenate([alone.push(samples), alone.flush()], axis=1)
    assert out.shape == wanted.shape
    assert np.abs(out - wanted).max() < 1e-5


@pytest.mark.parametrize("model", ["speech", "music", "tfilm-speech-x4"])
def test_a_line_above_the_cutoff_is_kept(guest, model):
    whistle = 10 ** (-50 / 20) * np.sin(2 * np.pi * 15625 / RATE * np.arange(len(guest)))
    dirty = (guest + whistle).astype(np.float32)[None]
    enhancer = Enhancer(model, threads=1)
    out, rate = enhancer.enhance(dirty, RATE, output_rate=RATE)
    window = signal.windows.blackmanharris(len(guest))
    at = round(15625 * len(guest) / RATE)
    before, after = (np.abs(np.fft.rfft(x[0] * window))[at - 4 : at + 5] for x in (dirty, out))
    if rate == RATE and enhancer.plan([dirty], RATE).extend_from_hz:
        assert kept_db(before, after) > 30
        assert power_db(above(out[0], 4500)) != power_db(above(dirty[0], 4500))
