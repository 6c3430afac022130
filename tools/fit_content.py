"""Fit the weights of overtone.dsp.content; prints the tables that stand there.

python tools/fit_content.py configs/speech.toml configs/music.toml DATA_ROOT CACHE

What `overtone train --cache` has decoded is not decoded again. Every corpus counts alike. Corpora
are also held out one after another, and the share of their clips that is told rightly is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.signal import butter, sosfilt

from overtone.data.corpora import SampleStore
from overtone.dsp.content import features
from overtone.training.families import load_recipe
from overtone.training.spectral import SpectralRecipe

RATE, CLIPS, PENALTY = 48000, 200, 0.001


def clips(path: Path, rng: np.random.Generator) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
    """Yield the number of a corpus and a clip of 1.2 to 20 s, some filtered or noisy."""
    root, cache = map(Path, sys.argv[3:5])
    recipe = load_recipe(path)
    assert isinstance(recipe, SpectralRecipe)
    store = SampleStore.build(cache, recipe.corpora, root, RATE)
    for corpus, group in groupby(store.files, key=lambda file: file.corpus):
        files = list(group)
        for _ in range(CLIPS):
            samples = int(RATE * np.exp(rng.uniform(np.log(1.2), np.log(20))))
            at = int(rng.integers(len(files)))
            parts: list[NDArray[np.float32]] = []
            while sum(len(part) for part in parts) < samples:  # short recordings are joined
                file = files[at % len(files)]
                start = int(rng.integers(max(1, file.length - samples)))
                parts.append(store.crop(file, start, min(samples, file.length)))
                at += 1
            clip: NDArray[np.floating[Any]] = np.concatenate(parts)[:samples]
            if rng.random() < 0.3:
                clip = sosfilt(butter(4, 300, "hp", fs=RATE, output="sos"), clip)
            if rng.random() < 0.3:
                noise = 10 ** (rng.uniform(-60, -25) / 20) * clip.std()
                clip = clip + noise * rng.normal(size=samples)
            yield corpus, clip


def fit(x: np.ndarray, speech: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weights and the bias of a logistic regression of standardised ``x``."""

    def cost(w: np.ndarray) -> float:
        z = np.where(speech, 1, -1) * (x @ w[:-1] + w[-1])
        return float(weight @ np.logaddexp(0, -z) + PENALTY * w[:-1] @ w[:-1])

    return minimize(cost, np.zeros(x.shape[1] + 1)).x


def main() -> None:
    """Draw clips, hold corpora out, fit all."""
    rng = np.random.default_rng(0)
    rows = [
        (kind, corpus, found)
        for kind, recipe in enumerate(sys.argv[1:3])
        for corpus, clip in clips(Path(recipe), rng)
        if (found := features(clip, RATE)) is not None
    ]
    groups = np.array([row[:2] for row in rows])
    x, speech = np.array([row[2] for row in rows]), groups[:, 0] == 0
    means, spreads = x.mean(axis=0), x.std(axis=0)
    z = np.clip((x - means) / spreads, -4, 4)
    names, of, counts = np.unique(groups, axis=0, return_inverse=True, return_counts=True)
    kinds = np.bincount(names[:, 0])
    weight = 1 / counts[of] / kinds[groups[:, 0]] / 2
    held_out = np.zeros(len(z))
    for number in range(len(names)):
        w = fit(z[of != number], speech[of != number], weight[of != number])
        held_out[of == number] = z[of == number] @ w[:-1] + w[-1]
    probability = 1 / (1 + np.exp(-held_out))
    for limit in (0.5, 0.3):
        print(f"# held out, below {limit} is music: speech told", end=" ")
        print(f"{(probability[speech] >= limit).mean():.3f}", end=", music told ")
        print(f"{(probability[~speech] < limit).mean():.3f}")
    w = fit(z, speech, weight)
    for name, values in (("MEANS", means), ("SPREADS", spreads), ("WEIGHTS", w[:-1])):
        print(f"{name} = ({', '.join(f'{value:.3g}' for value in values)})")
    print(f"BIAS = {w[-1]:.3g}")


if __name__ == "__main__":
    main()
