"""A stereo prediction is as wide as the recording, and a sound in one channel stays there."""

import numpy as np
import pytest

from overtone.audio.reader import read_audio
from overtone.inference.model import load_model
from overtone.inference.pipeline import EnhanceStream
from overtone.inference.stereo import StereoWidth

RATE, CUTOFF_HZ, GAIN = 48000, 4000.0, 1.0
CONDITIONS = {"cutoff_hz": CUTOFF_HZ, "fidelity": 0.0}


@pytest.fixture(scope="module")
def model():
    return load_model("speech-faithful", device="cpu", threads=1)


@pytest.fixture(scope="module")
def voices(examples_dir):
    """Two parts of one recording, ``[2, samples]`` at 48 kHz, with nothing above the cutoff."""
    samples, rate = read_audio(examples_dir / "speech_en_48k.flac")
    assert rate == RATE
    two = np.stack([samples[0, 24000:72000], samples[0, 60000:108000]])
    spectrum = np.fft.rfft(two.astype(float))
    spectrum[:, np.fft.rfftfreq(two.shape[1], 1 / RATE) >= CUTOFF_HZ] = 0
    return np.fft.irfft(spectrum, two.shape[1]).astype(np.float32)


def run(stream, parts):
    return np.concatenate([*(stream.push(part) for part in parts), stream.flush()], axis=1)


def enhance(model, signal, rate=RATE):
    return run(EnhanceStream(model, rate, RATE, len(signal), CUTOFF_HZ, GAIN), [signal])


def top(signal):
    spectrum = np.fft.rfft(signal * np.hanning(signal.shape[-1]))
    return spectrum[..., np.fft.rfftfreq(signal.shape[-1], 1 / RATE) >= CUTOFF_HZ]


def power_db(signal):
    return 10 * np.log10(np.sum(np.abs(top(signal)) ** 2))


def width_db(signal):
    return power_db(signal[0] - signal[1]) - power_db(signal[0] + signal[1])


# On whole recordings ---------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, RATE])
def test_channels_that_are_the_same_stay_so_to_the_bit(model, voices, rate):
    mono = voices[:1, :: RATE // rate]
    out = enhance(model, np.repeat(mono, 2, axis=0), rate)
    np.testing.assert_array_equal(out[0], out[1])
    np.testing.assert_allclose(out[:1], enhance(model, mono, rate), atol=1e-5)


@pytest.mark.parametrize("empty", [0, 1])
@pytest.mark.parametrize("rate", [8000, RATE])
def test_a_channel_that_is_empty_stays_empty_while_the_other_sounds(model, voices, rate, empty):
    signal = voices[:, :: RATE // rate].copy()
    signal[empty] = 0
    out = enhance(model, signal, rate)
    assert not out[empty].any()
    alone = enhance(model, signal[[1 - empty]], rate)
    np.testing.assert_allclose(out[[1 - empty]], alone, atol=1e-5)


def test_nothing_leaks_into_a_channel_that_falls_silent(model, voices):
    # At first both hold one voice, a little apart: the width is measured, and remembered.
    signal = np.stack([voices[0], voices[0] + 0.2 * voices[1]])
    signal[1, 24000:] = 0
    out = enhance(model, signal)
    assert power_db(out[0, 26000:]) > 0  # the other goes on
    assert np.abs(out[1, 24000 + model.info.window_samples :]).max() < 1e-9


def test_voices_in_channels_of_their_own_are_not_mixed(model, voices):
    out = enhance(model, voices)
    for channel in range(2):
        alone = enhance(model, voices[[channel]])[0]
        assert power_db(out[channel] - alone) < power_db(alone) - 20


@pytest.mark.parametrize("side", [0.03, 0.2])
def test_the_top_is_about_as_wide_as_the_recording(model, voices, side):
    difference = side * voices[1]
    signal = np.stack([voices[0] + difference, voices[0] - difference])
    spectrum = np.abs(np.fft.rfft(np.stack([signal[0] - signal[1], signal[0] + signal[1]]))) ** 2
    frequencies = np.fft.rfftfreq(signal.shape[1], 1 / RATE)
    shown = spectrum[:, (frequencies > 0.8 * CUTOFF_HZ) & (frequencies < 0.95 * CUTOFF_HZ)].sum(1)
    below_db = 10 * np.log10(shown[0] / shown[1])
    each = signal + np.concatenate([run(residual(model), [part]) for part in signal[:, None]])
    assert width_db(each) > below_db + 3  # what the network does by itself
    # The width changes from syllable to syllable, and with it what has the most energy.
    assert width_db(enhance(model, signal)) == pytest.approx(below_db, abs=5)


def residual(model):
    return model.residual_stream(1, GAIN, CONDITIONS)


def test_any_chunking_gives_the_same_samples(model, voices, rng):
    signal = np.stack([voices[0], 0.5 * voices[0] + 0.2 * voices[1]])
    cuts = np.sort(rng.integers(0, signal.shape[1], 40))
    stream = EnhanceStream(model, RATE, RATE, 2, CUTOFF_HZ, GAIN)
    parts = run(stream, np.split(signal, cuts, axis=1))
    np.testing.assert_allclose(parts, enhance(model, signal), atol=1e-5)


def test_stereo_is_as_late_as_mono_and_runs_the_network_once_a_channel(model, voices, monkeypatch):
    ran = []
    run_network = model.network.run

    def spy(signals, *rest):
        ran.append(signals["spectrum"].shape[:2])
        return run_network(signals, *rest)

    monkeypatch.setattr(model.network, "run", spy)
    given = [
        sum(stream.push(signal[:, k : k + 480]).shape[1] for k in range(0, 24000, 480))
        for signal, stream in (
            (voices[:1], model.residual_stream(1, GAIN, CONDITIONS)),
            (voices, model.residual_stream(2, GAIN, CONDITIONS)),
        )
    ]
    assert given[0] == given[1]
    frames = [sum(count for channels, count in ran if channels == wanted) for wanted in (1, 2)]
    assert frames[0] == frames[1]


def test_silence_stays_silence(model):
    assert not enhance(model, np.zeros((2, 9000), np.float32)).any()


# Frame by frame --------------------------------------------------------------------------------


@pytest.fixture
def frames(model, rng):
    """``frames(below, above)``: 400 frames of an even mid whose side is so many times as strong."""

    def make(below, above):
        shape = (2, 400, model.info.bins)
        noise = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        hz = np.arange(model.info.bins) * RATE / model.info.window_samples
        noise[1] *= np.where(hz < CUTOFF_HZ, below, above)
        return np.stack([noise[0] + noise[1], noise[0] - noise[1]]).astype(np.complex64)

    return make


def fitted(model, spectra, observed_top=0.0, parts=1):
    """The output above the cutoff of a network that predicts ``spectra``, late as it is."""
    seen = spectra.copy()
    first = int(np.ceil(CUTOFF_HZ * model.info.window_samples / RATE))
    seen[:, :, first:] *= observed_top
    late = np.pad(seen, ((0, 0), (model.info.lookahead_frames, 0), (0, 0)))[:, : seen.shape[1]]
    wanted = np.pad(spectra, ((0, 0), (model.info.lookahead_frames, 0), (0, 0)))[:, : seen.shape[1]]
    added = wanted - late
    info = model.info
    width = StereoWidth(info.sample_rate, info.window_samples, info.hop_samples, CUTOFF_HZ)
    for part in np.array_split(np.arange(seen.shape[1]), parts):
        piece = added[:, part].copy()
        width.fit(late[:, part], piece)
        added[:, part] = piece
    return (late + added)[:, 100:, first:], wanted[:, 100:, first:], added[:, :, :first]


def ratio(spectra):
    left, right = spectra
    return np.linalg.norm(left - right) / np.linalg.norm(left + right)


@pytest.mark.parametrize("below", [0.05, 0.4, 1.5])
@pytest.mark.parametrize("times", [0.3, 3])
def test_the_side_is_brought_to_the_ratio_below_the_cutoff(model, frames, below, times):
    out, predicted, under = fitted(model, frames(below, times * below))
    assert ratio(predicted) == pytest.approx(times * below, rel=0.02)
    # As exactly as a short time can tell.
    assert ratio(out) == pytest.approx(below, rel=0.2)
    assert abs(np.log(ratio(out) / below)) < abs(np.log(ratio(predicted) / below)) / 4
    assert np.linalg.norm(out) == pytest.approx(np.linalg.norm(predicted), rel=0.01)
    assert not under.any()


def test_a_recording_that_is_silent_below_the_cutoff_tells_nothing(model, frames):
    spectra = frames(0.5, 0.2)
    spectra[:, :, : int(CUTOFF_HZ * model.info.window_samples / RATE)] = 0
    out, predicted, _ = fitted(model, spectra)
    np.testing.assert_allclose(out, predicted, atol=1e-5)


def test_a_prediction_that_is_all_but_pure_side_gives_finite_numbers(model, frames):
    spectra = frames(0.5, 1e12)
    out, _, _ = fitted(model, spectra)
    assert np.isfinite(out).all()


def test_what_the_recording_holds_above_the_cutoff_is_still_taken_away(model, frames):
    # Mirror images, say: the residual takes them away, and must do so whatever the width.
    spectra = frames(0.1, 0.6)
    clean, _, _ = fitted(model, spectra)
    dirty, _, _ = fitted(model, spectra, observed_top=5.0)
    np.testing.assert_allclose(dirty, clean, atol=1e-4)


def test_the_past_alone_decides_whatever_the_blocks(model, frames):
    spectra = frames(0.1, 0.6)
    whole, _, _ = fitted(model, spectra)
    parts, _, _ = fitted(model, spectra, parts=57)
    np.testing.assert_allclose(parts, whole, atol=1e-6)
