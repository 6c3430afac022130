"""Validation: held-out clips, low-passed at fixed cutoffs, scored as users score files."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from overtone.data.corpora import SampleStore
from overtone.degrade.lowpass import LowPass, apply
from overtone.metrics import lsd, snr_db
from overtone.models.extender import SpectralExtender
from overtone.training.losses import frames, overlap_add
from overtone.training.recipe import SpectralRecipe


@torch.no_grad()
def extend(
    model: SpectralExtender,
    low: NDArray[np.float32],
    cutoff_hz: float,
    fidelity: float = 0.0,
) -> NDArray[np.float32]:
    """Fill ``low [samples]`` (at the model's rate) above ``cutoff_hz``; same length."""
    c = model.config
    window, hop, lookahead = c.window_samples, c.hop_samples, c.lookahead_frames
    length = low.shape[-1]
    count = -(-length // hop) + window // hop - 1 + lookahead
    padded = np.zeros(window - hop + count * hop, np.float32)
    padded[window - hop : window - hop + length] = low
    spectrum = torch.view_as_real(frames(torch.from_numpy(padded)[None], window, hop))
    settings = torch.tensor([cutoff_hz]), torch.tensor([fidelity])
    residual, _, _ = model(spectrum, *settings, *model.initial_state())
    residual = torch.view_as_complex(residual[:, lookahead:].contiguous())
    added = overlap_add(residual, window, hop)[0, window - hop : window - hop + length]
    return np.asarray(low + added.numpy(), dtype=np.float32)


def validate(
    model: SpectralExtender, store: SampleStore, config: SpectralRecipe
) -> list[dict[str, float]]:
    """Mean LSD, LSD-HF, LSD-LF, SNR (dB) by cutoff, the faithful SNR, and the input's own beside.

    Each clip counts up to its corpus's bandwidth; a corpus takes part at a cutoff when that
    leaves at least a third of its bandwidth to predict.
    """
    settings, c = config.validation, config.model
    rows = []
    for cutoff_hz in settings.cutoffs_hz:
        low_pass = LowPass("resampler", cutoff_hz)
        edge_hz = low_pass.edge_hz()
        scores = []
        for number, corpus in enumerate(config.corpora):
            top = min(corpus.bandwidth_hz, c.sample_rate / 2)
            if cutoff_hz > 2 / 3 * top:
                continue
            for file in store.select(number, "validation")[: settings.clips_per_corpus]:
                length = min(file.length, int(settings.clip_seconds * c.sample_rate))
                clean = store.crop(file, (file.length - length) // 2, length)
                if not clean.any():
                    continue  # a pause: no ratio to it is defined
                clean *= np.float32(config.degrade.level_rms)
                low = apply(clean, c.sample_rate, low_pass)
                out, faithful = (extend(model, low, edge_hz, fidelity) for fidelity in (0, 1))
                found = _scores(clean, low, out, c.sample_rate, edge_hz, top)
                scores.append(found | {"faithful_snr": snr_db(clean, faithful)})
        if scores:
            mean = {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}
            rows.append({"cutoff_hz": cutoff_hz, **mean})
    return rows


def _scores(
    clean: NDArray[np.float32],
    low: NDArray[np.float32],
    out: NDArray[np.float32],
    sample_rate: int,
    edge_hz: float,
    top_hz: float,
) -> dict[str, float]:
    def distance(signal: NDArray[np.float32], band_hz: tuple[float, float]) -> float:
        return lsd(clean, signal, sample_rate=sample_rate, band_hz=band_hz)

    return {
        "lsd": distance(out, (0, top_hz)),
        "lsd_hf": distance(out, (edge_hz, top_hz)),
        "lsd_lf": distance(out, (0, edge_hz)),
        "snr": snr_db(clean, out),
        "input_lsd": distance(low, (0, top_hz)),
        "input_snr": snr_db(clean, low),
    }
