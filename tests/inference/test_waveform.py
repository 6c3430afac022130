"""A waveform model does for recordings of any rate what a spectral one does."""

import numpy as np
import pytest
import soxr

from overtone.audio.reader import read_audio
from overtone.degrade.spline import decimate
from overtone.dsp.resample import resample, resampled_length
from overtone.errors import InvalidInputError
from overtone.inference import Enhancer, StreamEnhancer
from overtone.inference.microphone import run_duplex
from overtone.inference.model import load_model
from overtone.inference.pipeline import EnhanceStream

# Below, at and above the model's 16 kHz; around it, past it and back.
RATES = [
    (4000, 48000),
    (4000, 16000),
    (16000, 16000),
    (22050, 48000),
    (44100, 44100),
    (48000, 16000),
    (8000, 8000),
    (48000, 8000),
]
CUTOFF_HZ = 1900.0


@pytest.fixture(scope="module")
def enhancer(waveform_model):
    return Enhancer(waveform_model, device="cpu", threads=1)


def run(stream, parts):
    return np.concatenate([*(stream.push(part) for part in parts), stream.flush()], axis=-1)


def band(signal, rate, low_hz, high_hz):
    spectrum = np.fft.rfft(signal * np.hanning(signal.shape[-1]))
    frequencies = np.fft.rfftfreq(signal.shape[-1], 1 / rate)
    spectrum[..., (frequencies < low_hz) | (frequencies >= high_hz)] = 0
    return np.fft.irfft(spectrum, signal.shape[-1])


def relative_db(error, signal):
    return 10 * np.log10(np.sum(error**2) / np.sum(signal**2))


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_any_chunking_gives_the_same_samples(
    enhancer, make_lowpassed_noise, rng, rate_in, rate_out
):
    noise = make_lowpassed_noise(CUTOFF_HZ, rate_in, 1.2, channels=2)

    def stream():
        return EnhanceStream(enhancer.model, rate_in, rate_out, 2, CUTOFF_HZ, 1.3)

    whole = run(stream(), [noise])
    cuts = np.sort(rng.integers(0, noise.shape[1], 30))
    parts = run(stream(), np.split(noise, cuts, axis=1))
    assert whole.shape == (2, resampled_length(noise.shape[1], rate_in, rate_out))
    np.testing.assert_allclose(parts, whole, atol=1e-5)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_below_the_cutoff_nothing_changes_and_above_something_is_added(
    enhancer, make_lowpassed_noise, rate_in, rate_out
):
    noise = make_lowpassed_noise(CUTOFF_HZ, rate_in, 2.0)
    out = run(EnhanceStream(enhancer.model, rate_in, rate_out, 1, CUTOFF_HZ, 1.0), [noise])
    plain = soxr.resample(noise[0], rate_in, rate_out, quality="VHQ")[None]
    inner = slice(rate_out // 5, -rate_out // 5)
    kept = band(plain[:, inner], rate_out, 0, 1650)
    assert relative_db(band(out[:, inner], rate_out, 0, 1650) - kept, kept) < -65
    assert relative_db(band(out[:, inner], rate_out, 2000, 7000), kept) > -40


def test_what_lies_above_the_models_own_rate_is_kept(enhancer, make_lowpassed_noise):
    # From 44.1 to 48 kHz the recording passes by the model, not through its 16 kHz.
    rate = 44100
    tone = 0.1 * np.sin(2 * np.pi * 12000 / rate * np.arange(rate))[None].astype(np.float32)
    both = make_lowpassed_noise(CUTOFF_HZ, rate) + tone
    out = run(EnhanceStream(enhancer.model, rate, 48000, 1, CUTOFF_HZ, 1.0), [both])
    plain = soxr.resample(both[0], rate, 48000, quality="VHQ")[None]
    kept = band(plain, 48000, 11000, 13000)
    assert relative_db(band(out, 48000, 11000, 13000) - kept, kept) < -60
    assert not np.allclose(out, plain, atol=1e-3)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("block", [480, 5000])
def test_live_output_keeps_pace_and_is_the_offline_one(
    enhancer, make_lowpassed_noise, rate_in, rate_out, block
):
    noise = make_lowpassed_noise(CUTOFF_HZ, rate_in, 1.5)[0]
    plan = enhancer.plan([noise[None]], rate_in, output_rate=rate_out, cutoff_hz=CUTOFF_HZ)
    wanted, _ = enhancer.enhance(noise, rate_in, output_rate=rate_out, cutoff_hz=CUTOFF_HZ)
    stream = StreamEnhancer(rate_in, plan=plan, enhancer=enhancer)
    pieces, taken, given = [], 0, 0
    for start in range(0, noise.size, block):
        pieces.append(stream.push(noise[start : start + block]))
        taken, given = min(noise.size, start + block), given + pieces[-1].size
        assert given == max(0, taken * rate_out // rate_in - stream.latency_samples)
    found = np.concatenate([*pieces, stream.flush()])
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_file_from_kuleshovs_own_decimation_is_recognised(enhancer, examples_dir):
    speech, rate = read_audio(examples_dir / "speech_en_48k.flac")
    low = decimate(resample(speech, rate, 16000), 4)
    plan = enhancer.plan([low], 4000)
    assert 0.7 * 2000 < plan.extend_from_hz < 0.9 * 2000
    assert plan.warning == ""


@pytest.mark.parametrize(
    ("rate", "cutoff_hz", "extended", "note"),
    [
        (4000, 2000, True, ""),
        (16000, 4000, True, "this model is made for recordings that end at 2000 Hz"),
        (16000, 1200, True, "this model is made for recordings that end at 2000 Hz"),
        (16000, 700, False, "ends at 700 Hz, too low for this model"),
        (48000, 8000, False, "ends at 8000 Hz, and this model fills up to 8000 Hz only"),
        (48000, 11000, False, "ends at 11000 Hz, and this model fills up to 8000 Hz only"),
        (48000, 20000, False, "full band already"),
    ],
)
def test_plans_say_where_the_model_does_not_fit(
    enhancer, make_noise, rate, cutoff_hz, extended, note
):
    noise = make_noise(rate)
    plan = enhancer.plan([noise], rate, cutoff_hz=cutoff_hz)
    assert (plan.extend_from_hz is not None, plan.warning) == (extended, note)
    live = StreamEnhancer(rate, cutoff_hz=cutoff_hz, enhancer=enhancer)
    assert live.plan.extend_from_hz == plan.extend_from_hz
    assert live.plan.warning == note
    out, _ = enhancer.enhance(noise, rate, cutoff_hz=cutoff_hz)
    assert np.isfinite(out).all()


def test_the_level_is_that_of_training(enhancer, make_lowpassed_noise):
    noise = make_lowpassed_noise(CUTOFF_HZ, 16000, 1.0, rms=0.2)
    plan = enhancer.plan([noise], 16000, cutoff_hz=CUTOFF_HZ)
    assert plan.gain == pytest.approx(0.05 / 0.2, rel=0.1)


def test_a_microphone_is_refused_in_one_line(enhancer):
    stream = StreamEnhancer(16000, output_rate=16000, cutoff_hz=2000, enhancer=enhancer)
    with pytest.raises(InvalidInputError, match=r"model 'bent' .* use another .*overtone stream"):
        run_duplex(stream)


def test_latency_is_the_models(enhancer, waveform_model):
    stream = StreamEnhancer(16000, output_rate=16000, cutoff_hz=2000, enhancer=enhancer)
    assert stream.latency_samples == load_model(waveform_model).info.latency_samples == 7680
