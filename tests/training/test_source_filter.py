import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from overtone.dsp.stft import StreamStft, hann
from overtone.errors import ConfigError
from overtone.inference.model import load_model
from overtone.inference.source_filter import SourceFilterPredictor
from overtone.models.source_filter import SourceFilterConfig
from overtone.models.stft import frames
from overtone.training.losses import (
    ENVELOPE_KNEE_DB,
    TEACHER_TRUST,
    Extension,
    Teaching,
    envelope_distance,
)
from overtone.training.source_filter import (
    SourceFilterRecipe,
    SourceFilterTask,
    residual,
    scaled_envelope,
)

CONFIG = SourceFilterConfig()


def envelope_error(off_db, teacher_off_db=None, share=0.0):
    """The loss of a network and a teacher that are so many dB off, everywhere."""
    target = torch.full((1, 8, CONFIG.bins), 0.01 + 0j, dtype=torch.complex64)
    teaching = None
    if teacher_off_db is not None:
        teaching = Teaching(target * 10 ** (teacher_off_db / 20), share)
    shape = 1, 8, len(CONFIG.excitations), len(CONFIG.band_centres_hz)
    alone = torch.full(shape, -11.0)
    alone[:, :, 0] = np.log(10 ** (off_db / 20))
    found = Extension(alone, torch.full((1, 8), 1e-4))
    edges = torch.tensor([4000.0]), torch.tensor([16000.0])
    return float(envelope_distance(found, target, *edges, CONFIG, teaching))


@pytest.mark.parametrize("off_db", [3.0, -12.0, 30.0])
def test_the_envelope_s_error_is_square_up_to_the_knee(off_db):
    knee = ENVELOPE_KNEE_DB
    size = abs(off_db)
    wanted = size**2 / (2 * knee) if size < knee else size - knee / 2
    assert envelope_error(off_db) == pytest.approx(wanted / 10, rel=1e-3)


def test_a_teacher_that_knows_better_moves_the_target():
    own, towards = envelope_error(6.0), envelope_error(4.0)
    assert envelope_error(6.0, 2.0, share=0.25) == pytest.approx(0.75 * own + 0.25 * towards, 1e-3)
    # Errors grow with the square.
    worse_db = 6 * (1.1 * TEACHER_TRUST) ** 0.5
    assert envelope_error(6.0, worse_db, share=0.25) == pytest.approx(own)


def test_a_teacher_has_to_be_named():
    recipe = {
        "name": "x",
        "description": "x",
        "license": "CC0-1.0",
        "network": "source-filter",
        "corpora": [{"name": "c", "path": "c", "bandwidth_hz": 20000, "license": "CC0-1.0"}],
        "optimiser": {"steps": 10},
        "loss": {"teacher_share": 0.5},
    }
    with pytest.raises(ValidationError, match="teacher_share needs faithful"):
        SourceFilterRecipe.model_validate(recipe)
    unknown = SourceFilterRecipe.model_validate(recipe | {"faithful": "someone"})
    with pytest.raises(ConfigError, match="faithful: no model 'someone'"):
        SourceFilterTask(unknown)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_gradient_reaches_the_envelope(share):
    torch.manual_seed(0)
    envelope = torch.randn(2, 5, 1, 7, dtype=torch.float64, requires_grad=True)
    mixture = torch.randn(2, 5, 3, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 5, 3, 7, dtype=torch.float64)

    def gradients(share):
        gains = envelope + 0.5 * mixture.log_softmax(2)
        scaled = scaled_envelope(gains, share)
        assert torch.equal(scaled, gains)
        return torch.autograd.grad((weight * scaled.exp()).sum(), [envelope, mixture])

    whole, part = gradients(1.0), gradients(share)
    assert torch.allclose(part[0], share * whole[0])
    assert torch.allclose(part[1], whole[1])


class GivenGains:
    """A network that says the same in every frame."""

    def __init__(self, gains):
        self.gains = gains

    def initial_state(self, channels):
        return {}

    def run(self, signals, conditions, state):
        frames = signals["power"].shape[1]
        return {"gains": np.broadcast_to(self.gains, (1, frames, *self.gains.shape))}, state

    def of_shape(self, shape, values):
        return np.asarray(values, np.float32).reshape(shape)


@pytest.mark.parametrize("twin", ["numpy", "torch"])
def test_excitations_that_take_turns_by_band_leave_no_dips_between(twin, rng):
    gains = np.full((len(CONFIG.excitations), len(CONFIG.band_centres_hz)), -9.0, np.float32)
    gains[1, ::2] = gains[2, 1::2] = 0.0  # both are noise
    window, hop = CONFIG.window_samples, CONFIG.hop_samples
    kept = np.fft.rfft(rng.normal(size=1600 * hop))
    kept[len(kept) // 6 :] = 0  # above 4 kHz
    low = np.fft.irfft(kept).astype(np.float32)[None]
    if twin == "numpy":
        info = load_model("speech", device="cpu", threads=1).info
        predictor = SourceFilterPredictor(info, GivenGains(gains), 1, {"cutoff_hz": 4000.0})
        taper = hann(window)
        analysis = StreamStft(1, taper / np.sqrt(np.sum(taper**2)), hop)
        made = predictor.push(analysis.push(low))[1]
    else:
        torch.manual_seed(0)
        spectrum = frames(torch.from_numpy(low), window, hop)
        repeated = torch.from_numpy(gains).expand(1, spectrum.shape[1], -1, -1)
        found = Extension(repeated, torch.ones(1, spectrum.shape[1]))
        made = frames(residual(found, spectrum, torch.tensor([4000.0]), CONFIG), window, hop)
    power = (np.abs(np.asarray(made)[0, 20:-20]) ** 2).mean(0)
    # From 6 to 22 kHz, smoothed over a few bins; noise this long is known to half a decibel.
    smooth = np.convolve(power, np.ones(5) / 5, "same")[128:470]
    assert 10 * np.log10(smooth.max() / smooth.min()) < 2.0


def test_what_could_not_be_measured_counts_nothing_in_a_score():
    whole = {"envelope_db": 8.0, "grain_db": 5.0, "reference_grain_db": 6.0}
    task = SourceFilterTask.__new__(SourceFilterTask)
    assert task.score([{"envelope_db": 8.0}]) == -8.0 > task.score([whole])
    assert task.score([{"lsd": 1.0}, whole]) == task.score([whole])
    assert task.score([{"lsd": 1.0}]) == task.score([]) == -math.inf
