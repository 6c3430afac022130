"""A live stream is the offline one with a fixed delay, whatever the blocks."""

import numpy as np
import pytest

from overtone.audio.reader import read_audio
from overtone.dsp.resample import resampled_length
from overtone.errors import InvalidInputError
from overtone.inference import Enhancer, StreamEnhancer
from overtone.inference.streaming import resampler_delay_s

RATES = [
    (48000, 48000),
    (8000, 48000),
    (16000, 16000),
    (44100, 44100),
    (22050, 44100),
    (32000, 32000),
    (96000, 16000),
]


@pytest.fixture(scope="module")
def enhancer():
    return Enhancer(device="cpu", threads=1)


@pytest.fixture(scope="module")
def call(examples_dir):
    samples, rate = read_audio(examples_dir / "speech_en_8k.flac")
    assert rate == 8000
    return samples


def run(stream, blocks):
    return np.concatenate([*(stream.push(block) for block in blocks), stream.flush()], axis=-1)


def random_cuts(signal, rng, pieces):
    return np.split(signal, np.sort(rng.integers(0, signal.shape[-1], pieces)), axis=-1)


@pytest.mark.parametrize("pieces", [0, 5, 200])
def test_analysing_as_long_as_offline_gives_the_offline_output(enhancer, call, rng, pieces):
    call = call[:, :16000]
    wanted, rate = enhancer.enhance(call, 8000)
    stream = StreamEnhancer(8000, analysis_s=45, enhancer=enhancer)
    found = run(stream, random_cuts(call, rng, pieces))
    assert stream.output_rate == rate
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_with_the_offline_plan_a_stream_is_the_offline_output(enhancer, call, rng):
    stereo = np.concatenate([call, call[:, ::-1]])[:, :12000]
    wanted, _ = enhancer.enhance(stereo, 8000, output_rate=44100)
    plan = enhancer.plan([stereo[:, :8000], stereo[:, 8000:]], 8000, output_rate=44100)
    stream = StreamEnhancer(8000, 2, plan=plan, enhancer=enhancer)
    np.testing.assert_allclose(run(stream, random_cuts(stereo, rng, 30)), wanted, atol=1e-5)


def test_a_short_analysis_decides_before_the_end(enhancer, call):
    stream = StreamEnhancer(8000, analysis_s=2, enhancer=enhancer)
    given = 0
    for start in range(0, call.shape[1], 800):
        block = call[:, start : start + 800]
        given += stream.push(block).shape[1]
        if stream.plan is None:
            assert given == 0
    assert stream.plan.cutoff.cutoff_hz is not None
    # It has caught up with the delay that it promises.
    assert given == call.shape[1] * 6 - stream.latency_samples


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("block", [1, 7, 480, 5000])
def test_output_keeps_pace_exactly(enhancer, rng, rate_in, rate_out, block):
    stream = StreamEnhancer(rate_in, output_rate=rate_out, cutoff_hz=3000, enhancer=enhancer)
    length = max(4 * block, 2500 if block == 1 else rate_in // 2)
    signal = (0.05 * rng.standard_normal(length)).astype(np.float32)
    taken = given = 0
    for start in range(0, length, block):
        part = signal[start : start + block]
        taken, given = taken + part.size, given + stream.push(part).size
        assert given == max(0, taken * rate_out // rate_in - stream.latency_samples)
    given += stream.flush().size
    assert given == resampled_length(length, rate_in, rate_out)


@pytest.mark.parametrize("analysis_s", [0.0, 0.5])
@pytest.mark.parametrize(("rate_in", "rate_out"), [(48000, 16000), (16000, 8000), (96000, 16000)])
def test_a_stream_that_is_only_resampled_keeps_pace_too(
    enhancer, rng, rate_in, rate_out, analysis_s
):
    signal = (0.05 * rng.standard_normal(rate_in)).astype(np.float32)
    stream = StreamEnhancer(
        rate_in, output_rate=rate_out, cutoff_hz=rate_out, analysis_s=analysis_s, enhancer=enhancer
    )
    taken = given = 0
    for start in range(0, rate_in, 160):
        part = signal[start : start + 160]
        taken, given = taken + part.size, given + stream.push(part).size
        due = 0 if stream.plan is None else taken * rate_out // rate_in - stream.latency_samples
        assert given == max(0, due)
    assert stream.plan.extend_from_hz is None


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("place", [1000, 1111, 1383])
def test_an_impulse_comes_out_after_the_stated_latency(enhancer, rate_in, rate_out, place):
    stream = StreamEnhancer(rate_in, output_rate=rate_out, cutoff_hz=rate_in / 4, enhancer=enhancer)
    block = 10
    # As a player would: the output starts with silence as long as the latency.
    heard = [np.zeros(stream.latency_samples, np.float32)]
    for start in range(0, 5 * rate_in // 10, block):
        samples = np.zeros(block, np.float32)
        if start <= place < start + block:
            samples[place - start] = 0.5
        heard.append(stream.push(samples))
    # What is new above the cutoff has moments of its own.
    out = np.concatenate(heard)
    spectrum = np.fft.rfft(out)
    spectrum[np.fft.rfftfreq(out.size, 1 / rate_out) > 0.9 * rate_in / 4] = 0
    peak = int(np.argmax(np.abs(np.fft.irfft(spectrum, out.size))))
    delay = peak - place * rate_out / rate_in
    # What lies below the cutoff is half the impulse's band: its peak is a sample or two wide.
    assert delay == pytest.approx(stream.latency_samples, abs=1 + rate_out / rate_in)


def test_latency_at_the_models_own_rate_is_the_models(enhancer):
    stream = StreamEnhancer(48000, cutoff_hz=8000, enhancer=enhancer)
    assert stream.latency_samples == enhancer.model.info.latency_samples
    assert stream.latency_s <= 0.060


@pytest.mark.parametrize(
    ("rate_in", "rate_out"),
    [(8000, 8000), (8000, 16000), (16000, 16000), (11025, 44100), (44100, 44100)],
)
def test_rates_that_need_no_resampler_have_its_latency_alone(enhancer, rate_in, rate_out):
    stream = StreamEnhancer(rate_in, output_rate=rate_out, cutoff_hz=3000, enhancer=enhancer)
    assert stream.latency_s <= 0.060


def test_resamplers_wait_no_longer_than_stated(rng):
    import soxr

    for rate_in, rate_out in [(32000, 48000), (48000, 44100), (44100, 48000)]:
        stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="VHQ")
        taken = given = 0
        while taken < 3 * rate_in:  # longer than it was measured over
            count = int(rng.integers(1, 200))
            taken += count
            given += len(stream.resample_chunk(np.zeros(count, np.float32)))
            assert taken / rate_in - given / rate_out <= resampler_delay_s(rate_in, rate_out)
    assert resampler_delay_s(48000, 48000) == 0


@pytest.mark.parametrize("rate", [48000, 16000])
def test_future_input_never_changes_emitted_samples(enhancer, rng, rate):
    start = (0.1 * rng.standard_normal(rate // 2)).astype(np.float32)
    outs = []
    for scale in (0.0, 1.0):
        stream = StreamEnhancer(rate, cutoff_hz=4000, enhancer=enhancer)
        out = stream.push(start)
        copy = out.copy()
        stream.push((scale * rng.standard_normal(rate // 4)).astype(np.float32))
        np.testing.assert_array_equal(out, copy)
        outs.append(copy)
    np.testing.assert_array_equal(*outs)


def test_level_and_speech_level_mean_the_same_gain(call):
    enhancer = Enhancer("speech-faithful", device="cpu", threads=1)
    call = call[:, :8000]
    assumed = run(StreamEnhancer(8000, enhancer=enhancer), [call])
    stated = run(StreamEnhancer(8000, level_dbfs=-26, enhancer=enhancer), [call])
    other = run(StreamEnhancer(8000, level_dbfs=-60, enhancer=enhancer), [call])
    np.testing.assert_array_equal(assumed, stated)
    assert np.abs(other - stated).max() > 1e-4


def test_integers_and_floats_are_the_same_stream(enhancer, call):
    integers = np.round(call[0, :4000] * 32768).astype(np.int16)
    floats = integers.astype(np.float32) / 32768
    out = [run(StreamEnhancer(8000, enhancer=enhancer), [x]) for x in (integers, floats)]
    np.testing.assert_array_equal(*out)
    assert out[0].ndim == 1


@pytest.mark.parametrize("samples", [0, 1, 100])
def test_short_streams_come_back_whole(enhancer, call, samples):
    for analysis_s in (0, 5):
        stream = StreamEnhancer(8000, analysis_s=analysis_s, enhancer=enhancer)
        out = run(stream, [call[:, :samples]])
        assert out.shape == (1, 6 * samples)


def test_silence_is_not_listened_to_for_ever(enhancer):
    stream = StreamEnhancer(8000, analysis_s=1, enhancer=enhancer)
    given = sum(stream.push(np.zeros(800, np.float32)).size for _ in range(60))
    assert given == 60 * 4800 - stream.latency_samples
    # A low rate says where the band ends, whatever was heard.
    assert stream.plan.extend_from_hz == 4000


def test_memory_stays_bounded(enhancer, rng):
    stream = StreamEnhancer(48000, cutoff_hz=8000, enhancer=enhancer)
    block = (0.1 * rng.standard_normal(480)).astype(np.float32)
    for _ in range(20):
        stream.push(block)
    held = stream._ready._held.size
    for _ in range(100):
        stream.push(block)
        assert stream._ready._held.size <= held + enhancer.model.info.hop_samples


@pytest.mark.parametrize(
    ("block", "word"),
    [
        (np.zeros((2, 10), np.float32), "2 channels"),
        (np.zeros((1, 2, 3), np.float32), "shape"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.array([0.0, np.inf]), "NaN or infinite"),
        (np.array(["a"]), "type"),
        (np.zeros(3, complex), "type"),
    ],
)
def test_a_bad_block_is_refused_and_the_stream_goes_on(enhancer, call, block, word):
    good = call[:, :3000]
    wanted = run(StreamEnhancer(8000, enhancer=enhancer), [good])
    stream = StreamEnhancer(8000, enhancer=enhancer)
    head = stream.push(good[:, :2000])
    with pytest.raises(InvalidInputError, match=word):
        stream.push(block)
    rest = run(stream, [good[:, 2000:]])
    np.testing.assert_allclose(np.concatenate([head, rest], axis=1), wanted, atol=1e-5)


def test_nothing_follows_a_flush(enhancer):
    stream = StreamEnhancer(8000, enhancer=enhancer)
    stream.push(np.zeros(10))
    assert stream.flush().size == 60
    assert stream.flush().size == 0
    with pytest.raises(InvalidInputError, match="flushed"):
        stream.push(np.zeros(10))


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"sample_rate": 48000}, "cutoff"),
        ({"sample_rate": 500}, "sample rate"),
        ({"sample_rate": 8000, "cutoff_hz": 5000}, "cutoff 5000"),
        ({"sample_rate": 8000, "channels": 0}, "channels"),
        ({"sample_rate": 8000, "level_dbfs": 3}, "level"),
        ({"sample_rate": 8000, "analysis_s": -1}, "analysis_s"),
        ({"sample_rate": 8000, "analysis_s": 1e9}, "analysis_s"),
    ],
)
def test_impossible_settings_are_refused(enhancer, settings, word):
    with pytest.raises(InvalidInputError, match=word):
        StreamEnhancer(**settings, enhancer=enhancer)


def test_a_full_band_is_passed_through_with_the_same_delay(enhancer, rng):
    noise = (0.1 * rng.standard_normal(20000)).astype(np.float32)
    stream = StreamEnhancer(48000, cutoff_hz=24000, enhancer=enhancer)
    first = stream.push(noise)
    assert first.size == noise.size - stream.latency_samples
    np.testing.assert_array_equal(np.concatenate([first, stream.flush()]), noise)
