"""The second generation at work: texture from the recording, levels, silence, clicks, stereo."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.audio.reader import read_audio
from overtone.errors import InvalidInputError, ModelError
from overtone.inference.blend import BlendedModel
from overtone.inference.enhancer import Enhancer
from overtone.inference.model import load_model
from overtone.inference.source_filter import RunningLevel, SourceFilterModel
from overtone.metrics.texture import texture_scores

RATE, CUTOFF_HZ = 48000, 4000.0
Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def model():
    return load_model("speech", device="cpu", threads=1)


@pytest.fixture(scope="module")
def voice(examples_dir) -> Samples:
    samples, _ = read_audio(examples_dir / "speech_en_48k.flac")
    voice = samples[0, 24000 : 24000 + 2 * RATE]
    return 0.05 * voice / voice.std()


def low_passed(samples: Samples) -> Samples:
    spectrum = np.fft.rfft(samples)
    spectrum[..., np.fft.rfftfreq(samples.shape[-1], 1 / RATE) >= CUTOFF_HZ] = 0
    return np.fft.irfft(spectrum, samples.shape[-1]).astype(np.float32)


def extend(model, low: Samples, cuts=(), **conditions: float) -> Samples:
    low = np.atleast_2d(low)
    given = {"cutoff_hz": CUTOFF_HZ, "fidelity": 0.0} | conditions
    stream = model.residual_stream(len(low), 1.0, given)
    parts = [stream.push(part) for part in np.split(low, cuts, axis=1)]
    return low + np.concatenate([*parts, stream.flush()], axis=1)


def high_db(samples: Samples, least_hz: float = CUTOFF_HZ) -> float:
    spectrum = np.fft.rfft(samples * np.hanning(samples.shape[-1]))
    above = np.fft.rfftfreq(samples.shape[-1], 1 / RATE) >= least_hz
    return float(10 * np.log10(np.sum(np.abs(spectrum[..., above]) ** 2) + 1e-20))


def test_it_is_the_second_generation(model):
    assert isinstance(model, SourceFilterModel)
    assert model.info.latency_samples <= 0.040 * RATE


def test_any_chunking_gives_the_same_samples(model, voice, rng):
    low = low_passed(voice)
    cuts = np.sort(rng.integers(0, low.size, 30))
    np.testing.assert_allclose(extend(model, low, cuts), extend(model, low), atol=1e-5)


def test_the_given_band_is_untouched(model, voice):
    low = low_passed(voice)
    spectrum = np.fft.rfft(extend(model, low)[0] - low)
    kept = np.fft.rfftfreq(low.size, 1 / RATE) < 0.93 * CUTOFF_HZ
    error = np.sum(np.abs(spectrum[kept]) ** 2) / np.sum(np.abs(np.fft.rfft(low)) ** 2)
    assert 10 * np.log10(error) < -60


def test_the_texture_is_that_of_speech(model, voice):
    made = extend(model, low_passed(voice))[0]
    scores = texture_scores(voice, made, RATE, CUTOFF_HZ)
    assert scores["grain_db"] == pytest.approx(scores["reference_grain_db"], abs=0.6)
    assert scores["pulses_db"] == pytest.approx(scores["reference_pulses_db"], abs=4)


@pytest.mark.parametrize("gain_db", [-20, -40])
def test_a_softer_passage_gets_the_same_high_band(model, voice, gain_db):
    low = low_passed(voice)
    both = np.concatenate([low, np.float32(10 ** (gain_db / 20)) * low])
    made = extend(model, both)[0]
    loud, soft = (high_db(half) for half in np.split(made, 2))
    assert soft - loud == pytest.approx(gain_db, abs=3)


def test_digital_silence_stays_silent(model, voice):
    low = np.concatenate([low_passed(voice), np.zeros(RATE, np.float32)])
    made = extend(model, low)[0]
    assert np.abs(made[-RATE // 2 :]).max() < 1e-9
    assert not extend(model, np.zeros(RATE, np.float32)).any()


def test_steady_noise_does_not_pulse_at_the_hop_rate(model, rng):
    low = low_passed((0.05 * rng.standard_normal(4 * RATE)).astype(np.float32))
    made = extend(model, low)[0]
    spectrum = np.fft.rfft(made)
    spectrum[np.fft.rfftfreq(made.size, 1 / RATE) < 1.1 * CUTOFF_HZ] = 0
    power = np.fft.irfft(spectrum, made.size) ** 2
    hop = model.info.hop_samples
    folded = power[RATE : RATE + 400 * hop].reshape(-1, hop).mean(axis=0)
    smooth = np.convolve(np.tile(folded, 3), np.ones(16) / 16, "same")[hop : 2 * hop]
    assert 10 * np.log10(smooth.max() / smooth.min()) < 0.8


def test_nothing_is_heard_long_before_a_click(model):
    low = np.zeros(RATE, np.float32)
    low[RATE // 2] = 0.9
    low = low_passed(low) + np.float32(1e-5) * np.random.default_rng(0).standard_normal(RATE)
    made = extend(model, low.astype(np.float32))[0]
    spectrum = np.fft.rfft(made)
    spectrum[np.fft.rfftfreq(RATE, 1 / RATE) < 1.5 * CUTOFF_HZ] = 0
    power = np.fft.irfft(spectrum, RATE) ** 2
    click = RATE // 2
    before = power[click - RATE // 50 : click - RATE // 250].sum()
    assert 10 * np.log10(before / power[click - 200 : click + 2000].sum()) < -10


def test_strength_changes_the_new_band_alone(model, voice):
    low = low_passed(voice)
    plain, tamed = extend(model, low)[0], extend(model, low, strength_db=-6.0)[0]
    assert high_db(tamed, 4500) - high_db(plain, 4500) == pytest.approx(-6, abs=0.1)
    kept = np.fft.rfftfreq(low.size, 1 / RATE) < 0.93 * CUTOFF_HZ
    error, whole = (np.sum(np.abs(np.fft.rfft(x)[kept]) ** 2) for x in (tamed - plain, low))
    assert 10 * np.log10(error / whole) < -60


# Stereo ---------------------------------------------------------------------------------------


def test_equal_channels_stay_equal(model, voice):
    out = extend(model, np.stack([low_passed(voice)] * 2))
    np.testing.assert_allclose(out[0], out[1], atol=1e-5)


def test_a_panned_voice_stays_in_its_place(model, voice):
    low = low_passed(voice)
    left, right = extend(model, np.stack([low, np.float32(0.25) * low]))
    assert high_db(right) - high_db(left) == pytest.approx(20 * np.log10(0.25), abs=1)
    assert high_db(left - 4 * right) < high_db(left) - 10


def test_an_empty_channel_stays_empty(model, voice):
    for empty in (0, 1):
        pair = np.stack([low_passed(voice)] * 2)
        pair[empty] = 0
        assert not extend(model, pair)[empty].any()


def test_voices_of_their_own_have_nothing_in_common(model, voice):
    low = low_passed(voice)
    pair = np.stack([low[:RATE], low[RATE:]])
    made = extend(model, pair) - pair
    assert abs(np.corrcoef(made)[0, 1]) < 0.35


# Levels, fidelity and strength ----------------------------------------------------------------


def test_the_level_forgets_silence_and_all_but_its_frames(rng):
    energy = rng.random((1, 300)).astype(np.float32) + 0.5
    energy[:, 40:60] = 0
    level = RunningLevel(1, 128).push(energy, energy > 0)[0]
    for frame in (0, 10, 50, 100, 299):
        last = energy[0, max(0, frame - 127) : frame + 1]
        assert level[frame] == pytest.approx(last[last > 0].mean(), rel=1e-4)


def test_full_fidelity_is_the_companions(voice):
    low = low_passed(voice)
    faithful = load_model("speech-faithful", device="cpu", threads=1)
    wanted = extend(faithful, low, fidelity=1.0)
    found = extend(Enhancer("speech", device="cpu", threads=1, fidelity=1.0).model, low)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_fidelity_lies_between_both_ends(model, voice):
    low = low_passed(voice)
    natural, faithful = (
        extend(Enhancer("speech", device="cpu", threads=1, fidelity=f).model, low) for f in (0, 1)
    )
    half = extend(Enhancer("speech", device="cpu", threads=1, fidelity=0.5).model, low)
    np.testing.assert_allclose(half, (natural + faithful) / 2, atol=1e-5)


def test_companions_have_to_fit(model):
    waveform = load_model("tfilm-speech-x4", device="cpu", threads=1)
    with pytest.raises(ModelError, match="does not fit"):
        BlendedModel(model, waveform, 0.5)


@pytest.mark.parametrize(
    ("name", "strength_db", "said"),
    [("speech", 41, "within -40 to 40, not 41"), ("tfilm-speech-x4", -3, "cannot change")],
)
def test_impossible_strengths_are_refused(name, strength_db, said):
    with pytest.raises(InvalidInputError, match=said):
        Enhancer(name, device="cpu", threads=1, strength_db=strength_db)
