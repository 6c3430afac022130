"""An offline file is a long stream: what holds for one must hold for the other."""

import numpy as np
import pytest
import soxr

from overtone.audio.reader import read_audio
from overtone.degrade.lowpass import LowPass, apply
from overtone.dsp.resample import resampled_length
from overtone.inference import Enhancer
from overtone.inference.model import load_model
from overtone.inference.pipeline import EnhanceStream, Fifo, Route

GAIN = 1.3


@pytest.fixture(scope="module")
def model():
    return load_model(device="cpu", threads=1)


@pytest.fixture(scope="module")
def call(examples_dir):
    samples, rate = read_audio(examples_dir / "speech_en_8k.flac")
    assert rate == 8000
    return samples[:, 4000:14000]


def run(stream, parts):
    return np.concatenate([*(stream.push(part) for part in parts), stream.flush()], axis=1)


@pytest.mark.parametrize("rate_out", [8000, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("pieces", [3, 60])
def test_any_chunking_gives_the_same_samples(model, call, rng, rate_out, pieces):
    def stream():
        return EnhanceStream(model, 8000, rate_out, 1, 3700.0, GAIN)

    whole = run(stream(), [call])
    cuts = np.sort(rng.integers(0, call.shape[1], pieces))
    parts = run(stream(), np.split(call, cuts, axis=1))
    assert whole.shape == (1, resampled_length(call.shape[1], 8000, rate_out))
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_single_samples_are_a_chunking_too(model, call):
    short = call[:, :300]
    whole = run(EnhanceStream(model, 8000, 48000, 1, 3700.0, GAIN), [short])
    stream = EnhanceStream(model, 8000, 48000, 1, 3700.0, GAIN)
    np.testing.assert_allclose(run(stream, np.split(short, 300, axis=1)), whole, atol=1e-5)


@pytest.mark.parametrize("samples", [0, 1, 2, 383, 1537])
def test_any_length_comes_back_exactly(model, call, samples):
    out = run(EnhanceStream(model, 8000, 44100, 1, 3700.0, GAIN), [call[:, :samples]])
    assert out.shape == (1, resampled_length(samples, 8000, 44100))


def test_future_input_never_changes_past_output(model, rng):
    before = rng.standard_normal((1, 24000)).astype(np.float32) * 0.1
    first = model.residual_stream(1, GAIN, {"cutoff_hz": 8000.0, "fidelity": 0.0})
    second = model.residual_stream(1, GAIN, {"cutoff_hz": 8000.0, "fidelity": 0.0})
    out_first, out_second = first.push(before), second.push(before)
    assert out_first.shape[1] >= 24000 - model.info.latency_samples
    np.testing.assert_array_equal(out_first, out_second)
    second.push(rng.standard_normal((1, 5000)).astype(np.float32))
    np.testing.assert_array_equal(out_first, out_second)


def test_latency_is_as_stated_and_at_most_60_ms(model, rng):
    # What the stream emits after n samples must not depend on the last samples it has not used,
    # and it must have emitted all but the stated latency.
    stream = model.residual_stream(1, GAIN, {"cutoff_hz": 8000.0, "fidelity": 0.0})
    given = 0
    for taken in range(1, 101):
        given += stream.push(rng.standard_normal((1, 480)).astype(np.float32)).shape[1]
        assert 480 * taken - given <= model.info.latency_samples
    assert model.info.latency_samples <= 0.060 * model.info.sample_rate


def band(signal, rate, low_hz, high_hz):
    # Tapered: the excerpt's own edges are wide-band.
    spectrum = np.fft.rfft(signal * np.hanning(signal.shape[-1]))
    frequencies = np.fft.rfftfreq(signal.shape[-1], 1 / rate)
    spectrum[..., (frequencies < low_hz) | (frequencies >= high_hz)] = 0
    return np.fft.irfft(spectrum, signal.shape[-1])


def relative_db(error, signal):
    return 10 * np.log10(np.sum(error**2) / np.sum(signal**2))


def test_below_the_cutoff_nothing_changes(model, call):
    out = run(EnhanceStream(model, 8000, 48000, 1, 3700.0, GAIN), [call])
    plain = soxr.resample(call[0], 8000, 48000, quality="VHQ")[None]
    kept = band(plain, 48000, 0, 3300)
    assert relative_db(band(out, 48000, 0, 3300) - kept, kept) < -80


def test_at_its_own_rate_the_recording_passes_untouched_below_the_cutoff(model, rng):
    # Predictions live above the cutoff alone: take them away and the input is what remains.
    signal = rng.standard_normal((1, 48000)).astype(np.float32) * 0.1
    out = run(EnhanceStream(model, 48000, 48000, 1, 8000.0, GAIN), [signal])
    added = out - signal
    assert relative_db(band(added, 48000, 0, 7000), band(signal, 48000, 0, 7000)) < -80


def test_the_band_up_to_a_low_rates_nyquist_frequency_is_kept(model):
    # A resampler alone would lose this tone in its roll-off.
    time = np.arange(16000) / 8000
    tone = 0.3 * np.sin(2 * np.pi * 3700 * time).astype(np.float32)[None]
    out = run(EnhanceStream(model, 8000, 48000, 1, 4000.0, GAIN), [tone])
    middle = out[0, 24000:-24000]
    amplitude = 2 * abs(
        np.mean(middle * np.exp(-2j * np.pi * 3700 * np.arange(middle.size) / 48000))
    )
    assert amplitude == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize(
    ("rate_in", "rate_out", "cutoff_hz"),
    [(8000, 16000, 3700.0), (8000, 24000, 3700.0), (8000, 8000, 2500.0), (16000, 16000, 3700.0)],
)
def test_a_lower_output_rate_is_the_top_ones_without_its_top(
    model, call, rate_in, rate_out, cutoff_hz
):
    recording = call.astype(np.float32)
    if rate_in != 8000:
        recording = soxr.resample(call[0], 8000, rate_in, quality="VHQ")[None].astype(np.float32)
    found = run(EnhanceStream(model, rate_in, rate_out, 1, cutoff_hz, GAIN), [recording])
    full = run(EnhanceStream(model, rate_in, 48000, 1, cutoff_hz, GAIN), [recording])
    wanted = soxr.resample(full[0], 48000, rate_out, quality="VHQ")[None]
    assert found.shape == wanted.shape
    top_hz = 0.89 * rate_out / 2
    kept = band(wanted, rate_out, 0, top_hz)
    assert relative_db(band(found, rate_out, 0, top_hz) - kept, kept) < -60


def butterworth_slope(cutoff_hz, order, reach):
    hz = cutoff_hz * np.linspace(1, reach, 20)
    return tuple((float(f), float(10 * np.log10(1 + (f / cutoff_hz) ** (2 * order)))) for f in hz)


@pytest.mark.parametrize(
    ("rate_in", "rate_out", "cutoff_hz"),
    [(48000, 16000, 6500.0), (16000, 8000, 3300.0), (44100, 22050, 9000.0), (48000, 44100, 13000)],
)
def test_a_slope_that_reaches_past_the_output_does_not_fold_down(
    model, rng, rate_in, rate_out, cutoff_hz
):
    noise = 0.1 * rng.standard_normal((1, rate_in)).astype(np.float32)
    slope = butterworth_slope(cutoff_hz, 8, 1.8)
    out = run(
        EnhanceStream(model, rate_in, rate_out, 1, cutoff_hz, GAIN, transition=slope), [noise]
    )
    plain = soxr.resample(noise[0], rate_in, rate_out, quality="VHQ")[None]
    kept = band(plain, rate_out, 0, 0.9 * cutoff_hz)
    assert relative_db(band(out, rate_out, 0, 0.9 * cutoff_hz) - kept, kept) < -60


def test_a_recording_whose_slope_reaches_past_the_output_is_enhanced(examples_dir):
    samples, rate = read_audio(examples_dir / "speech_en_48k.flac")
    low = apply(samples[0], rate, LowPass("butterworth", 15000, order=8))
    enhancer = Enhancer(threads=1)
    assert enhancer.plan([low[None]], rate).cutoff.usable_edge_hz > 22050
    out, _ = enhancer.enhance(low, rate, output_rate=44100)
    assert out.shape == (resampled_length(low.size, rate, 44100),)


@pytest.mark.parametrize("tone_hz", [7900, 7990])
def test_at_its_own_low_rate_a_tone_above_the_cutoff_vanishes_up_to_the_end(model, tone_hz):
    tone = (0.2 * np.sin(2 * np.pi * tone_hz * np.arange(32000) / 16000)).astype(np.float32)[None]
    out = run(EnhanceStream(model, 16000, 16000, 1, 3700.0, GAIN), [tone])[:, 4000:-4000]
    assert relative_db(out, tone[:, 4000:-4000]) < -40


def test_mirror_images_do_not_fold_onto_the_edge_of_a_lower_output_rate(model):
    # Zeros between the samples of a deep tone leave its images on both sides of 8 kHz.
    time = np.arange(8000) / 4000
    tone = (0.3 * np.sin(2 * np.pi * 40 * time)).astype(np.float32)[None]
    out = run(EnhanceStream(model, 4000, 16000, 1, 2000.0, GAIN), [tone])[:, 4000:-4000]
    assert relative_db(band(out, 16000, 7800, 8001), band(out, 16000, 0, 100)) < -80


def test_a_model_that_runs_slower_hears_everything_higher(model, rng):
    noise = 0.1 * rng.standard_normal((1, 44100)).astype(np.float32)

    def enhanced(rate, cutoff_hz):
        slope = butterworth_slope(cutoff_hz, 8, 1.3)
        return run(EnhanceStream(model, rate, rate, 1, cutoff_hz, GAIN, transition=slope), [noise])

    slow, own = enhanced(44100, 4000.0), enhanced(48000, 4000.0 * 48 / 44.1)
    kept = band(own, 44100, 0, 19500)
    assert relative_db(band(slow, 44100, 0, 19500) - kept, kept) < -60


@pytest.mark.parametrize("rate", [48000, 44100, 24000, 22050, 16000, 12000, 11025, 8000])
def test_common_output_rates_need_no_resampler(model, rate):
    for rate_in in (rate // 2, rate) if rate % 2 == 0 else (rate,):
        route = Route.choose(rate_in, rate, model.info)
        assert route.model_rate == rate * route.decimation
        assert route.zero_insertion * rate_in == route.model_rate


@pytest.mark.parametrize(("rate_in", "rate_out"), [(32000, 32000), (96000, 96000), (8000, 32000)])
def test_other_rates_are_resampled_from_the_models_own(model, rate_in, rate_out):
    route = Route.choose(rate_in, rate_out, model.info)
    assert (route.model_rate, route.decimation) == (48000, 0)


def test_what_the_input_holds_above_the_cutoff_is_replaced(model, call):
    # A tone above the cutoff is neither kept nor does it change the prediction.
    rate = 48000
    base = soxr.resample(call[0], 8000, rate, quality="VHQ")[None].astype(np.float32)
    tone = 0.2 * np.sin(2 * np.pi * 9000 * np.arange(base.shape[1]) / rate).astype(np.float32)
    clean = run(EnhanceStream(model, rate, rate, 1, 3700.0, GAIN), [base])
    dirty = run(EnhanceStream(model, rate, rate, 1, 3700.0, GAIN), [base + tone])
    inner = slice(2000, -2000)
    # Not nothing: what leaks by rounding can tip a number of the 8-bit products.
    assert relative_db((dirty - clean)[:, inner], tone[None, inner]) < -60


def test_silence_stays_silence(model, call):
    quiet = np.concatenate([call, np.zeros((1, 8000), np.float32)], axis=1)
    out = run(EnhanceStream(model, 8000, 48000, 1, 3700.0, GAIN), [quiet])
    assert np.abs(out[0, -24000:]).max() < 1e-9
    nothing = run(
        model.residual_stream(2, GAIN, {"cutoff_hz": 4000.0, "fidelity": 0.0}),
        [np.zeros((2, 9000), np.float32)],
    )
    assert not nothing.any()


def test_channels_do_not_touch_each_other(model, call):
    # Two channels are left and right of one image: test_stereo.py says how they are kept apart.
    three = np.concatenate([call, 0.5 * call[:, ::-1], -call])
    out = run(EnhanceStream(model, 8000, 48000, 3, 3700.0, GAIN), [three])
    for channel in range(3):
        others = 0.3 * call.repeat(3, axis=0)
        others[channel] = three[channel]
        again = run(EnhanceStream(model, 8000, 48000, 3, 3700.0, GAIN), [others])
        np.testing.assert_allclose(out[channel], again[channel], atol=1e-5)


def test_gain_is_only_the_networks_view(model, call):
    # A recording at half the level with twice the gain is the same recording at half the level.
    loud = run(EnhanceStream(model, 8000, 48000, 1, 3700.0, GAIN), [call])
    soft = run(EnhanceStream(model, 8000, 48000, 1, 3700.0, 2 * GAIN), [0.5 * call])
    np.testing.assert_allclose(2 * soft, loud, atol=1e-5)


def test_fifo_gives_back_in_order():
    fifo = Fifo(1)
    fifo.push(np.arange(3, dtype=np.float32)[None])
    fifo.push(np.arange(3, 5, dtype=np.float32)[None])
    assert fifo.pop(4).tolist() == [[0, 1, 2, 3]]
    assert fifo.pop(4).tolist() == [[4]]
