"""Validation: held-out clips, low-passed at fixed cutoffs, scored as users score files.

They go the way of every recording: the runtime frames them and adds what the network gives.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from overtone.data.corpora import Corpus, SampleStore
from overtone.degrade.lowpass import LowPass, apply
from overtone.inference.family import Model
from overtone.inference.model import runtime
from overtone.inference.network import NEW_STATE
from overtone.inference.spectral import FrameInfo
from overtone.metrics import lsd, snr_db
from overtone.metrics.texture import texture_scores
from overtone.settings import Settings
from overtone.training.recipe import Positive

# A corpus is measured at cutoffs up to this part of its bandwidth.
VALIDATED_PART = 2 / 3


class ValidationConfig(Settings):
    """What is measured, how often, on how much."""

    every_minutes: float = Field(default=10.0, gt=0)
    cutoffs_hz: tuple[Positive, ...] = (2000.0, 4000.0, 8000.0, 12000.0)
    clips_per_corpus: int = Field(default=4, ge=0)
    clip_seconds: float = Field(default=3.0, gt=0)


@dataclass(frozen=True)
class Entry:
    """Name and shape of an input or output, as a session describes them."""

    name: str
    shape: Sequence[int | str] = ()
    type: str = "tensor(float)"


class TorchSession:
    """A network as the runtime calls one: named arrays in, a list of arrays out.

    The network's ``initial_state(batch)`` says which of its inputs are states, and their shapes.
    """

    def __init__(self, network: Any, device: torch.device) -> None:
        self.network, self.device = network, device
        one, two = (network.initial_state(batch)._asdict() for batch in (1, 2))
        self.states: dict[str, list[int | str]] = {
            name: [
                n if n == m else "channels" for n, m in zip(x.shape, two[name].shape, strict=True)
            ]
            for name, x in one.items()
        }

    def get_inputs(self) -> list[Entry]:
        """Describe the network's inputs."""
        names = inspect.signature(self.network.forward).parameters
        return [Entry(name, self.states.get(name, ())) for name in names]

    def get_outputs(self) -> list[Entry]:
        """Describe the network's outputs."""
        return [Entry(self.network.output), *(Entry(NEW_STATE + name) for name in self.states)]

    @torch.inference_mode()
    def run(self, _: None, inputs: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Call the network."""
        tensors = {name: torch.from_numpy(x).to(self.device) for name, x in inputs.items()}
        return [output.cpu().numpy() for output in self.network(**tensors)]


def runtime_model(network: nn.Module, info: FrameInfo) -> Model:
    """Return what runs ``network`` as the runtime runs a model file, on the device it is on."""
    device = next(network.parameters()).device
    return runtime(info.kind)(Path(info.name), TorchSession(network, device), info)


def validate(
    model: Model,
    store: SampleStore,
    corpora: list[Corpus],
    settings: ValidationConfig,
    level_rms: float,
) -> list[dict[str, float]]:
    """Return the mean LSD, LSD-HF, LSD-LF, SNR (dB), the faithful SNR and texture by cutoff.

    The input's LSD and SNR, and the reference's texture, stand beside.

    Each clip, at ``level_rms``, counts up to its corpus's bandwidth; a corpus takes part at a
    cutoff when that leaves at least a third of its bandwidth to predict.
    """
    rate = model.info.sample_rate
    rows = []
    for cutoff_hz in settings.cutoffs_hz:
        low_pass = LowPass("resampler", cutoff_hz)
        edge_hz = low_pass.edge_hz()
        scores = []
        for number, corpus in enumerate(corpora):
            bandwidth_hz = min(corpus.bandwidth_hz, rate / 2)
            if cutoff_hz > VALIDATED_PART * bandwidth_hz:
                continue
            for file in store.select(number, "validation")[: settings.clips_per_corpus]:
                length = min(file.length, int(settings.clip_seconds * rate))
                clean = store.crop(file, (file.length - length) // 2, length)
                if not clean.any():
                    continue  # a pause: no ratio to it is defined
                clean *= np.float32(level_rms)
                low = apply(clean, rate, low_pass)
                out, faithful = (extend(model, low, edge_hz, fidelity) for fidelity in (0, 1))
                found = _scores(clean, low, out, rate, edge_hz, bandwidth_hz)
                scores.append(found | {"faithful_snr": snr_db(clean, faithful)})
        if scores:
            # What only voices have, such as harmonics, is unknown for some clips.
            known = {name: [s[name] for s in scores if np.isfinite(s[name])] for name in scores[0]}
            means = {name: float(np.mean(values)) for name, values in known.items() if values}
            rows.append({"cutoff_hz": cutoff_hz, **means})
    return rows


def extend(
    model: Model, low: NDArray[np.float32], cutoff_hz: float, fidelity: float = 0.0
) -> NDArray[np.float32]:
    """Fill ``low [samples]`` (at the model's rate and level) above ``cutoff_hz``; same length."""
    stream = model.residual_stream(1, 1.0, {"cutoff_hz": cutoff_hz, "fidelity": fidelity})
    added = np.concatenate([stream.push(low[None]), stream.flush()], axis=1)
    return np.asarray(low + added[0], np.float32)


def _scores(
    clean: NDArray[np.float32],
    low: NDArray[np.float32],
    out: NDArray[np.float32],
    sample_rate: int,
    edge_hz: float,
    bandwidth_hz: float,
) -> dict[str, float]:
    def distance(signal: NDArray[np.float32], band_hz: tuple[float, float]) -> float:
        return lsd(clean, signal, sample_rate=sample_rate, band_hz=band_hz)

    # Texture fills its band up to Nyquist: the corpus has to.
    rate = min(sample_rate, int(2 * bandwidth_hz))
    reference, output = (soxr.resample(x, sample_rate, rate, "VHQ") for x in (clean, out))
    return {
        "lsd": distance(out, (0, bandwidth_hz)),
        "lsd_hf": distance(out, (edge_hz, bandwidth_hz)),
        "lsd_lf": distance(out, (0, edge_hz)),
        "snr": snr_db(clean, out),
        "input_lsd": distance(low, (0, bandwidth_hz)),
        "input_snr": snr_db(clean, low),
        **texture_scores(reference, output, rate, edge_hz),
    }
