"""A slope is lifted to where it was, and nothing else is; outputs of low rates end in time."""

import numpy as np
import pytest

from overtone.audio.reader import read_audio
from overtone.degrade.lowpass import LowPass, apply
from overtone.inference import Enhancer
from overtone.inference.bands import CROSSOVER_START, OutputBandLimit
from overtone.inference.model import load_model
from overtone.inference.pipeline import EnhanceStream
from overtone.inference.spectral import FrameBandLimit, RollOffCompensation
from overtone.metrics import lsd, snr_db

ORDER, CUTOFF_HZ = 6, 6000.0
FRAMES = 9


def down_db(hz):
    return 10 * np.log10(1 + (np.asarray(hz) / CUTOFF_HZ) ** (2 * ORDER))


SLOPE = tuple((hz, float(down_db(hz))) for hz in CUTOFF_HZ * np.linspace(1, 1.3, 12))


@pytest.fixture(scope="module")
def model():
    return load_model(device="cpu", threads=1)


@pytest.fixture
def frames(model, rng):
    """Frames of noise, and the same under the low-pass."""
    noise = rng.normal(size=(2, FRAMES, model.info.bins, 2)).astype(np.float32)
    whole = noise.view(np.complex64)[..., 0]
    hz = np.fft.rfftfreq(model.info.window_samples, 1 / model.info.sample_rate)
    return whole, (whole * 10 ** (-down_db(hz) / 20)).astype(np.complex64), hz


def test_a_known_slope_is_undone_as_far_as_it_is_given(model, frames):
    whole, soft, hz = frames
    lifted = RollOffCompensation(model.info, CUTOFF_HZ, SLOPE).compensate(soft)
    on_slope = (hz >= CUTOFF_HZ) & (hz <= SLOPE[-1][0])
    np.testing.assert_allclose(lifted[..., on_slope], whole[..., on_slope], rtol=0.02)
    elsewhere = (hz < CROSSOVER_START * CUTOFF_HZ) | (hz > SLOPE[-1][0])
    assert np.array_equal(lifted[..., elsewhere], soft[..., elsewhere])


def test_what_lifting_added_is_added_to_the_residual(model, frames):
    whole, soft, _ = frames
    slope = RollOffCompensation(model.info, CUTOFF_HZ, SLOPE)
    lifted, residual = slope.compensate(soft), whole.copy()
    slope.add(lifted, residual)
    np.testing.assert_allclose(residual - whole, lifted - soft, atol=1e-5)


@pytest.mark.parametrize("slope", [(), ((CUTOFF_HZ, 0.0),)])
def test_no_slope_changes_nothing(model, frames, slope):
    _, soft, _ = frames
    lift = RollOffCompensation(model.info, CUTOFF_HZ, slope)
    residual = np.zeros_like(soft)
    lifted = lift.compensate(soft)
    assert np.array_equal(lifted, soft)
    lift.add(lifted, residual)
    assert not residual.any()


@pytest.mark.parametrize("past", [False, True])
def test_a_ceiling_keeps_the_band_below_and_leaves_nothing_above(model, frames, past):
    predicted, observed, hz = frames
    residual = predicted - observed
    FrameBandLimit(model.info, CUTOFF_HZ, OutputBandLimit(8000.0, past)).lower(observed, residual)
    heard = residual if past else observed + residual
    assert np.abs(heard[..., hz > 8060]).max() < 1e-3
    below = hz < 7200
    kept = (predicted - observed if past else predicted)[..., below]
    np.testing.assert_allclose(heard[..., below], kept, atol=1e-4)


def test_no_converter_rolls_off_what_was_recorded(model, frames):
    predicted, observed, hz = frames
    residual = predicted - observed
    FrameBandLimit(model.info, 7900.0, OutputBandLimit(8000.0, bypass=False)).lower(
        observed, residual
    )
    below = hz < 7900
    np.testing.assert_allclose((observed + residual)[..., below], predicted[..., below], atol=1e-5)


def test_a_stream_with_a_slope_gives_the_same_samples_in_any_blocks(model, make_noise, rng):
    noise = make_noise(48000, 0.5)

    def run(parts):
        stream = EnhanceStream(model, 48000, 48000, 1, CUTOFF_HZ, 1.0, transition=SLOPE)
        return np.concatenate([*(stream.push(part) for part in parts), stream.flush()], axis=1)

    cuts = np.sort(rng.integers(0, noise.shape[1], 7))
    np.testing.assert_allclose(run(np.split(noise, cuts, axis=1)), run([noise]), atol=1e-5)


def test_a_gently_filtered_recording_comes_closer_by_its_slope(examples_dir):
    samples, rate = read_audio(examples_dir / "speech_en_48k.flac")
    low = apply(samples[0], rate, LowPass("butterworth", 8000, order=8))
    enhancer = Enhancer(threads=1)
    plan = enhancer.plan([low[None]], rate)
    assert plan.cutoff.transition
    with_slope, _ = enhancer.enhance(low, rate)
    without, _ = enhancer.enhance(low, rate, cutoff_hz=plan.cutoff.cutoff_hz)
    assert snr_db(samples[0], with_slope) > snr_db(samples[0], without) + 1
    assert snr_db(samples[0], with_slope) > snr_db(samples[0], low) - 3
    assert lsd(samples[0], with_slope) < lsd(samples[0], without)
