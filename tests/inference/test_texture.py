"""The texture of the music model: the recording's own, under the envelope of the prediction."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray
from pydantic import ValidationError

from overtone.inference.model import load_model
from overtone.inference.spectral import SpectralInfo, SpectralModel
from overtone.metrics import envelope_db, grain_db

RATE, CUTOFF_HZ = 48000, 4000.0
Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def model() -> SpectralModel:
    found = load_model("music", device="cpu", threads=1)
    assert isinstance(found, SpectralModel)
    return found


@pytest.fixture(scope="module")
def smooth(model: SpectralModel) -> SpectralModel:
    """The same network without texture."""
    found = load_model("music", device="cpu", threads=1)
    assert isinstance(found, SpectralModel)
    found.info = model.info.model_copy(update={"texture": {}})
    return found


@pytest.fixture(scope="module")
def low() -> Samples:
    """Two seconds of piano without what lies above the cutoff, [1, samples]."""
    examples = Path(__file__).resolve().parents[2] / "examples"
    path = examples / "piano_44k.flac"
    x, rate = soundfile.read(path, frames=2 * 44100, dtype="float32", always_2d=True)
    narrow = soxr.resample(x[:, 0], rate, 2 * CUTOFF_HZ)
    return np.atleast_2d(soxr.resample(narrow, 2 * CUTOFF_HZ, RATE)).astype(np.float32)


def residual(model: SpectralModel, x: Samples, blocks: int = 1, fidelity: float = 0.0) -> Samples:
    stream = model.residual_stream(
        len(x), 1.0, {"cutoff_hz": 0.95 * CUTOFF_HZ, "fidelity": fidelity}
    )
    parts = [stream.push(block) for block in np.array_split(x, blocks, axis=1)]
    return np.concatenate([*parts, stream.flush()], axis=1)


def test_any_blocks_give_the_same_samples(model: SpectralModel, low: Samples) -> None:
    np.testing.assert_allclose(residual(model, low, 37), residual(model, low), atol=1e-6)


def test_the_envelope_stays_and_the_grain_comes(
    model: SpectralModel, smooth: SpectralModel, low: Samples
) -> None:
    plain, textured = low + residual(smooth, low), low + residual(model, low)
    assert envelope_db(plain, textured, RATE, CUTOFF_HZ) < 5
    assert grain_db(plain, RATE, CUTOFF_HZ) < 5 < grain_db(textured, RATE, CUTOFF_HZ) < 8


def test_fidelity_1_is_the_prediction_itself(
    model: SpectralModel, smooth: SpectralModel, low: Samples
) -> None:
    assert np.array_equal(residual(model, low, fidelity=1.0), residual(smooth, low, fidelity=1.0))
    half = residual(model, low, fidelity=0.5)
    assert not np.array_equal(half, residual(smooth, low, fidelity=0.5))


def test_silence_stays_silent_and_equal_channels_equal(model: SpectralModel, low: Samples) -> None:
    silent = np.zeros_like(low)
    assert np.abs(residual(model, silent)).max() < 1e-9
    left, right = residual(model, np.concatenate([low, low]))
    assert np.array_equal(left, right)


@pytest.mark.parametrize(
    "change",
    [
        {"texture": {"copies": 0.5}},
        {"texture": {"noise": 0.0}},
        {"texture": {"noise": 2.0}},
        {"lookahead_frames": 2},
    ],
)
def test_a_texture_that_cannot_be_is_refused(model: SpectralModel, change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SpectralInfo.model_validate(model.info.model_dump() | change)
