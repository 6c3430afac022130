"""What becomes of the stereo image above the cutoff: prints the table of docs/streaming.md.

    python tools/measure_stereo.py configs/music.toml --data-root FOLDER [--model speech]

Four seconds of each held-out stereo recording of the recipe's corpora are low-passed by a
resampler's roll-off and enhanced in three ways: left and right apart, mid and side apart, and as
overtone does, which is left and right with the side held to the width below the cutoff. Printed
are means over the excerpts: by how many dB side to mid and left to right above the cutoff differ
from the original, and the LSD there.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overtone.audio.files import read_audio
from overtone.degrade.lowpass import LowPass, apply
from overtone.dsp.level import active_rms
from overtone.inference.model import Model, load_model
from overtone.inference.pipeline import EnhanceStream
from overtone.metrics import lsd_hf, side_mid_db
from overtone.metrics.spectral import band_bins, power, spectrum_blocks
from overtone.report import Cell, Column, Table
from overtone.training.families import load_recipe
from overtone.training.spectral import SpectralRecipe

Samples = NDArray[np.float32]

CUTOFFS_HZ = (4000, 5500, 8000, 11000)
EXCERPT_S, PLACE = 4, 0.65
WAYS = ("left and right", "mid and side", "as overtone does")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path, help="a recipe of the extender with stereo corpora")
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--model", default="auto")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    if not isinstance(recipe, SpectralRecipe):
        parser.error(f"{arguments.recipe} is not a recipe of the extender")
    model = load_model(arguments.model, device="cpu", threads=1)
    paths = [p for c in recipe.corpora for p in c.split(arguments.data_root, "validation")]
    scores: dict[tuple[int, str], list[list[float]]] = defaultdict(list)
    for path in paths:
        clean, rate = excerpt(path)
        if len(clean) != 2 or not clean.any():
            continue
        for cutoff_hz in CUTOFFS_HZ:
            low_pass = LowPass("resampler", cutoff_hz)
            low, edge_hz = apply(clean, rate, low_pass), low_pass.edge_hz()
            for way in WAYS:
                out = enhance(model, low, rate, edge_hz, way)
                scores[cutoff_hz, way].append(
                    [
                        side_mid_db(clean, out, rate, edge_hz),
                        abs(balance_db(out, rate, edge_hz) - balance_db(clean, rate, edge_hz)),
                        lsd_hf(clean, out, rate, edge_hz),
                    ]
                )
    print(table(scores, model.info.name).render("markdown"))


def excerpt(path: Path) -> tuple[Samples, int]:
    """Some seconds of a recording, ``[channels, samples]``, and its rate."""
    samples, rate = read_audio(path)
    start = int(PLACE * samples.shape[1])
    return samples[:, start : start + EXCERPT_S * rate], rate


def enhance(model: Model, low: Samples, rate: int, cutoff_hz: float, way: str) -> Samples:
    """Fill ``low [2, samples]`` above ``cutoff_hz``."""
    gain = model.info.level_rms / active_rms(low, rate)

    def run(channels: Samples) -> Samples:
        stream = EnhanceStream(model, rate, rate, len(channels), cutoff_hz, gain)
        return np.concatenate([stream.push(channels), stream.flush()], axis=1)

    if way == "left and right":
        return np.concatenate([run(low[[0]]), run(low[[1]])])
    if way == "mid and side":
        half = np.float32(0.5)
        mid, side = run(half * (low[[0]] + low[[1]])), run(half * (low[[0]] - low[[1]]))
        return np.concatenate([mid + side, mid - side])
    return run(low)


def balance_db(samples: Samples, rate: int, cutoff_hz: float) -> float:
    """Energy of left to right above ``cutoff_hz``, dB."""
    band = band_bins(rate, cutoff_hz, np.inf)
    left, right = (
        sum(float(power(block[:, band]).sum()) for block in spectrum_blocks(channel))
        for channel in samples
    )
    return float(10 * np.log10((left + 1e-12) / (right + 1e-12)))


def table(scores: dict[tuple[int, str], list[list[float]]], model: str) -> Table:
    """A row for each cutoff and way."""
    columns = [
        Column("cutoff", "cutoff Hz"),
        Column("way", "predicted"),
        Column("excerpts", "excerpts"),
        Column("side_mid", "side/mid dB ↓", 2),
        Column("median", "its median", 2),
        Column("balance", "left/right dB ↓", 2),
        Column("lsd_hf", "LSD-HF ↓", 3),
    ]
    rows: list[dict[str, Cell]] = []
    for (cutoff_hz, way), found in scores.items():
        side_mid, balance, lsd = np.array(found).T
        rows.append(
            {
                "cutoff": str(cutoff_hz),
                "way": way,
                "excerpts": str(len(found)),
                "side_mid": float(np.nanmean(side_mid)),
                "median": float(np.nanmedian(side_mid)),
                "balance": float(balance.mean()),
                "lsd_hf": float(lsd.mean()),
            }
        )
    return Table(columns, rows, settings=[f"model {model}"])


if __name__ == "__main__":
    main()
