"""What every test may ask for: a seeded generator, synthetic audio, the example recordings.

Test modules cannot import from here (pytest's importlib mode), so the helpers are fixtures that
return functions: ``def test_x(make_tone): x = make_tone(440, 48000)``.
"""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone import logs  # first: overtone switches the telemetry of onnxruntime off

Samples = NDArray[np.float32]


@pytest.fixture(scope="session", autouse=True)
def no_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Leave out the options that whoever runs the tests has in a file of their own."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("settings"))


@pytest.fixture(autouse=True)
def no_log() -> Iterator[None]:
    """Take back the log that a command shows with -v."""
    yield
    logs.LOGGER.handlers.clear()
    logs.LOGGER.setLevel(logging.NOTSET)


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with a fixed seed, fresh for each test."""
    return np.random.default_rng(20240607)


@pytest.fixture(scope="session")
def examples_dir() -> Path:
    """Return the folder of short CC0 recordings shipped with the repository."""
    return Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture(scope="session")
def make_tone() -> Callable[..., Samples]:
    """Return ``make_tone(frequency_hz, sample_rate, duration_s=1, amplitude=0.5, channels=1)``.

    The result is ``[channels, samples]``; channel ``c`` is delayed by ``c`` quarter periods so
    that mixed-up channels show.
    """

    def tone(
        frequency_hz: float,
        sample_rate: int,
        duration_s: float = 1.0,
        amplitude: float = 0.5,
        channels: int = 1,
    ) -> Samples:
        time_s = np.arange(round(duration_s * sample_rate)) / sample_rate
        phase = 2 * np.pi * frequency_hz * time_s - np.pi / 2 * np.arange(channels)[:, None]
        return (amplitude * np.sin(phase)).astype(np.float32)

    return tone


@pytest.fixture
def make_noise(rng: np.random.Generator) -> Callable[..., Samples]:
    """Return ``make_noise(sample_rate, duration_s=1, rms=0.1, channels=1)``: white, Gaussian."""

    def noise(
        sample_rate: int, duration_s: float = 1.0, rms: float = 0.1, channels: int = 1
    ) -> Samples:
        shape = (channels, round(duration_s * sample_rate))
        return (rms * rng.standard_normal(shape)).astype(np.float32)

    return noise


@pytest.fixture
def make_lowpassed_noise(make_noise: Callable[..., Samples]) -> Callable[..., Samples]:
    """Return ``make_lowpassed_noise(cutoff_hz, sample_rate, duration_s=1, rms=0.1, channels=1)``.

    White noise whose bins at and above ``cutoff_hz`` are exactly zero (one transform over the
    whole signal), so nothing but rounding is left there.
    """

    def lowpassed_noise(
        cutoff_hz: float,
        sample_rate: int,
        duration_s: float = 1.0,
        rms: float = 0.1,
        channels: int = 1,
    ) -> Samples:
        spectrum = np.fft.rfft(make_noise(sample_rate, duration_s, 1.0, channels).astype(float))
        samples = round(duration_s * sample_rate)
        spectrum[:, np.fft.rfftfreq(samples, 1 / sample_rate) >= cutoff_hz] = 0
        signal = np.fft.irfft(spectrum, samples)
        return (rms / signal.std() * signal).astype(np.float32)

    return lowpassed_noise


@pytest.fixture(scope="session")
def waveform_info() -> dict[str, Any]:
    """Return what the file of a waveform model says of itself, as keyword arguments."""
    return {
        "name": "bent",
        "description": "for tests",
        "sample_rate": 16000,
        "scale": 4,
        "patch_samples": 8192,
        "multiple_samples": 64,
        "min_cutoff_hz": 1600.0,
        "max_cutoff_hz": 2000.0,
        "level_rms": 0.05,
        "parameters": 1,
        "license": "Apache-2.0",
        "training_data": ("none",),
        "training": "none",
        "config_sha256": "0" * 64,
        "overtone_version": "0.1.0",
    }


@pytest.fixture(scope="session")
def waveform_model(tmp_path_factory: pytest.TempPathFactory, waveform_info: dict[str, Any]) -> Path:
    """Return the file of a waveform model that adds ``0.3 * abs(low)`` to ``low``."""
    import onnx
    from onnx import helper, numpy_helper

    from overtone.inference.family import METADATA_KEY
    from overtone.inference.waveform import WaveformInfo

    low, high = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["channels", "samples"])
        for name in ("low", "high")
    )
    nodes = [
        helper.make_node("Abs", ["low"], ["size"]),
        helper.make_node("Mul", ["size", "factor"], ["added"]),
        helper.make_node("Add", ["low", "added"], ["high"]),
    ]
    factor = numpy_helper.from_array(np.array(0.3, np.float32), "factor")
    graph = helper.make_graph(nodes, "bent", [low], [high], [factor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(
        key=METADATA_KEY, value=WaveformInfo(**waveform_info).model_dump_json()
    )
    path = tmp_path_factory.mktemp("waveform") / "bent.onnx"
    onnx.save(model, str(path))
    return path
