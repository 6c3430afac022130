"""Take the mean error of each band out of a source-filter checkpoint, in place of more training.

    python tools/calibrate_envelope.py CHECKPOINT OUT --data-root FOLDER --group GLOB ...

Discriminators and means of weights leave a model a decibel or two off in some bands. The error is
measured on clips that are cut at eight cutoffs, a third of them with a passband droop as in
training; groups of clips (corpora) count alike. Its mean, smoothed over a quarter of an octave,
goes into the bias of the envelope: in full from 8 kHz, not at all below 4, where groups disagree.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from overtone import load_model
from overtone.degrade.lowpass import passband_droop
from overtone.inference.source_filter import SourceFilterModel
from overtone.training import checkpoint
from overtone.training.release import export

CUTOFFS_HZ = (1000, 2000, 3400, 4000, 5500, 8000, 11025, 12000)
DROOP_SHARE, DROOP_DB, STEEPNESS = 0.35, 12.0, (1.0, 4.0)
SECONDS, ACTIVE_DB, MOST_DB = 4, 35.0, 8.0
FROM_HZ, FULL_HZ, TO_HZ, OCTAVES = 4000.0, 8000.0, 18500.0, 0.25
WINDOW, HOP = 1024, 256
DB_PER_NEPER = 20 / np.log(10)

FloatArray = NDArray[np.float64]


def band_powers(samples: FloatArray, rate: int, centres_hz: FloatArray) -> FloatArray:
    """Return the power of each band, ``[frames, bands]``."""
    window = np.hanning(WINDOW + 1)[:-1]
    views = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    hz, width = np.fft.rfftfreq(WINDOW, 1 / rate), rate / WINDOW
    edges = np.concatenate(
        [[centres_hz[0] - 100], (centres_hz[1:] + centres_hz[:-1]) / 2, [rate / 2]]
    )
    low, high = edges[:-1, None] - width / 2, edges[1:, None] + width / 2
    return np.asarray(np.abs(np.fft.rfft(views * window)) ** 2 @ ((hz >= low) & (hz < high)).T)


def errors(
    model: SourceFilterModel, path: str, centres_hz: FloatArray, rng: np.random.Generator
) -> dict[int, FloatArray]:
    """Return the mean error of each band in dB, by cutoff; NaN where there is none."""
    rate = model.info.sample_rate
    found, original_rate = soundfile.read(path, always_2d=True)
    clean = soxr.resample(found[: SECONDS * original_rate, 0], original_rate, rate, "VHQ")
    if len(clean) < rate or not clean.any():
        return {}
    clean *= 0.05 / clean.std()
    wanted, result = band_powers(clean, rate, centres_hz), {}
    for cutoff_hz in CUTOFFS_HZ:
        inside = (centres_hz > 1.05 * cutoff_hz) & (centres_hz < 0.93 * original_rate / 2)
        if not inside.any():
            continue
        low = soxr.resample(soxr.resample(clean, rate, 2 * cutoff_hz, "VHQ"), 2 * cutoff_hz, rate)
        low = np.pad(low, (0, max(0, len(clean) - len(low))))[: len(clean)]
        if rng.random() < DROOP_SHARE:
            hz = np.asarray(np.fft.rfftfreq(len(low), 1 / rate), np.float64)
            depth_db, steepness = rng.uniform(0, DROOP_DB), rng.uniform(*STEEPNESS)
            droop = passband_droop(hz, cutoff_hz, depth_db, steepness)
            low = np.fft.irfft(np.fft.rfft(low) * droop, len(low))
        stream = model.residual_stream(1, 1.0, {"cutoff_hz": 0.96 * cutoff_hz, "fidelity": 0.0})
        block = low.astype(np.float32)[None]
        made = low + np.concatenate([stream.push(block), stream.flush()], axis=1)[0]
        energy = wanted[:, inside].sum(1)
        active = energy > energy.max() * 10 ** (-ACTIVE_DB / 10)
        ratio = (wanted + 1e-11) / (band_powers(made, rate, centres_hz) + 1e-11)
        error = (10 * np.log10(ratio[active])).mean(0).clip(-MOST_DB, MOST_DB)
        result[cutoff_hz] = np.where(inside, error, np.nan)
    return result


def smoothed(error_db: FloatArray, centres_hz: FloatArray) -> FloatArray:
    """Return what to add to each band."""
    octaves, known = np.log2(centres_hz), (centres_hz < TO_HZ) & np.isfinite(error_db)
    weight = np.exp(-0.5 * ((octaves[:, None] - octaves[known]) / OCTAVES) ** 2)
    ramp = ((centres_hz - FROM_HZ) / (FULL_HZ - FROM_HZ)).clip(0, 1)
    return np.asarray(ramp * (weight @ error_db[known]) / weight.sum(1))


def main() -> None:
    """Measure, and write the calibrated checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-root", type=Path, default=Path())
    parser.add_argument("--group", action="append", required=True, metavar="GLOB")
    parser.add_argument("--clips", type=int, default=25, help="of each group, by seed")
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        export(arguments.checkpoint, Path(folder) / "model.onnx")
        model = load_model(Path(folder) / "model.onnx", threads=1)
    if not isinstance(model, SourceFilterModel):
        parser.error(f"{arguments.checkpoint}: not a source-filter extender")
    centres_hz = np.array(model.info.band_centres_hz)
    means = []
    for pattern in arguments.group:
        paths = sorted(map(str, arguments.data_root.glob(pattern)))
        if not paths:
            parser.error(f"{pattern}: no such clips")
        chosen = [paths[n] for n in rng.permutation(len(paths))[: arguments.clips]]
        found = [errors(model, path, centres_hz, rng) for path in chosen]
        for cutoff_hz in CUTOFFS_HZ:
            at = [row[cutoff_hz] for row in found if cutoff_hz in row]
            means += [np.mean(at, axis=0)] if at else []
        print(pattern, len(chosen), flush=True)
    counts = np.isfinite(means).sum(0)
    more_db = smoothed(
        np.where(counts, np.nansum(means, 0) / np.maximum(counts, 1), np.nan), centres_hz
    )
    network, recipe, progress = checkpoint.load_model(arguments.checkpoint)
    weights = network.state_dict()
    weights["envelope.bias"] += torch.from_numpy(more_db / DB_PER_NEPER).float()
    checkpoint.save_weights(arguments.out, recipe, weights, progress)
    print(" ".join(f"{hz:.0f}:{db:+.1f}" for hz, db in zip(centres_hz, more_db, strict=True)))


if __name__ == "__main__":
    main()
