"""Time a training step of the spectral extender, part by part, in core-seconds.

    python tools/measure_training.py
    python tools/measure_training.py configs/speech.toml --steps 5 --compile

The corpora are noise, so that none is needed: what a step costs does not depend on what is heard.
Each part is timed by itself, forward and backward, on inputs cut from what is before it; the whole
step is timed apart, so that "the rest" (copies, framing, sums) is what the parts leave of it.
Core-seconds of the process are counted on one thread, so that what else the machine does matters
little. The best of several steps counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from overtone.data.corpora import INDEX, SAMPLES, SampleStore, StoredFile
from overtone.data.crops import CropSampler
from overtone.errors import ConfigError
from overtone.models.extender import SpectralExtender
from overtone.training import spectral
from overtone.training.adversarial import Adversary, Scene
from overtone.training.loop import average_into
from overtone.training.recipe import SpectralRecipe, load_recipe
from overtone.training.task import has_bfloat16

LOSSES = ("spectral_distances", "signal_distance", "band_power_distance", "fidelity_distance")
DISCRIMINATOR = "discriminator"
SECONDS_A_FILE = 4


class Timings:
    """The least core-seconds of each part: ``{name: [forward, backward]}``."""

    def __init__(self) -> None:
        self.best: dict[str, list[float]] = {}

    def add(self, name: str, forward: float, backward: float = 0.0) -> None:
        """Keep the lesser of what is known and what was measured now."""
        known = self.best.get(name, [np.inf, np.inf])
        self.best[name] = [min(known[0], forward), min(known[1], backward)]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what is inside."""
        begun = time.process_time()
        yield
        self.add(name, time.process_time() - begun)

    def watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, timed forward and then backward to its inputs (and weights, if any)."""

        def run(*arguments: Any, **settings: Any) -> Any:
            leaves = [_leaf(a) if isinstance(a, Tensor) else a for a in arguments]
            begun = time.process_time()
            with torch.enable_grad():
                found = function(*leaves, **settings)
            forward = time.process_time() - begun
            results = [found] if isinstance(found, Tensor) else found
            results = [r for r in results if r.requires_grad]
            seeds = [torch.ones_like(r) for r in results]
            begun = time.process_time()
            torch.autograd.backward(results, seeds)
            self.add(name, forward, time.process_time() - begun)
            return function(*arguments, **settings)

        return run


def _leaf(value: Tensor) -> Tensor:
    return value.detach().requires_grad_(value.requires_grad)


def noise_store(folder: Path, config: SpectralRecipe) -> SampleStore:
    """Noise in place of the recipe's corpora: two files for training in each."""
    length = SECONDS_A_FILE * config.model.sample_rate
    files = [
        StoredFile(f"{n}/{k}", n, "train", (2 * n + k) * length, length, 1 / 3000)
        for n in range(len(config.corpora))
        for k in range(2)
    ]
    noise = np.random.default_rng(0).normal(0, 3000, len(files) * length)
    noise.astype(np.int16).tofile(folder / SAMPLES)
    (folder / INDEX).write_text(json.dumps({"files": [asdict(file) for file in files]}))
    return SampleStore(folder)


def measure(config: SpectralRecipe, steps: int, *, compiled: bool) -> tuple[Timings, float]:
    """Time ``steps`` steps after one that warms up; also returns the seconds of audio in a step."""
    c, o = config.model, config.optimiser
    crop_samples = c.window_samples + (o.crop_frames - 1) * c.hop_samples
    model = SpectralExtender(c)
    predict = torch.compile(model.predict) if compiled else model.predict
    optimiser = torch.optim.AdamW(
        model.parameters(), o.learning_rate, betas=o.betas, weight_decay=o.weight_decay
    )
    average = {name: value.clone() for name, value in model.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        sampler = CropSampler(
            noise_store(Path(folder), config),
            config.corpora,
            config.degrade,
            sample_rate=c.sample_rate,
            crop_samples=crop_samples,
            seed=config.seed,
        )
        timings = Timings()
        for step in range(steps + 1):
            if step == 1:
                timings = Timings()  # the first one compiled and planned
            with timings.part("examples"):
                batch = sampler.batch(step, o.batch_size)
            begun = time.process_time()
            losses = spectral.losses(model, predict, batch, config)
            forward = time.process_time() - begun
            losses["total"].backward()  # type: ignore[no-untyped-call]
            timings.add("network and losses", forward, time.process_time() - begun - forward)
            with timings.part("clip"):
                torch.nn.utils.clip_grad_norm_(model.parameters(), o.gradient_clip)
            with timings.part("optimiser"):
                optimiser.step()
            with timings.part("average"):
                average_into(average, model, step, o.ema_decay)
            _watch_parts(timings, model, predict, batch, config)
            _watch_discriminators(timings, batch, config)
            optimiser.zero_grad(set_to_none=True)
    return timings, o.batch_size * crop_samples / c.sample_rate


def _watch_parts(
    timings: Timings,
    model: SpectralExtender,
    predict: Callable[..., Any],
    batch: Any,
    config: SpectralRecipe,
) -> None:
    """The network and each loss by themselves."""
    watched: dict[str, Any] = {
        name: timings.watched(name, getattr(spectral, name)) for name in LOSSES
    }
    with patch.multiple(spectral, **watched):
        spectral.losses(model, timings.watched("network", predict), batch, config)


def _watch_discriminators(timings: Timings, batch: Any, config: SpectralRecipe) -> None:
    """Each discriminator by itself: what it costs the network's turn, and its own turn."""
    if config.adversarial is None:
        return
    clean, low = torch.from_numpy(batch.clean), torch.from_numpy(batch.low)
    ends = torch.from_numpy(batch.cutoff_hz), torch.from_numpy(batch.bandwidth_hz)
    scene = Scene(clean, low.requires_grad_(), low.detach().square().mean(1), *ends)
    for window in config.adversarial.windows:
        alone = config.adversarial.model_copy(update={"windows": (window,)})
        adversary = Adversary(
            alone,
            config.model.sample_rate,
            bfloat16=config.optimiser.bfloat16 and has_bfloat16(),
        )
        turns: dict[str, Callable[[], Tensor]] = {
            "against": lambda one=adversary: sum(one.oppose(scene).values(), torch.zeros(())),
            "turn of": lambda one=adversary: one.learn()[0],
        }
        for turn, play in turns.items():
            begun = time.process_time()
            loss = play()
            forward = time.process_time() - begun
            loss.backward()  # type: ignore[no-untyped-call]
            backward = time.process_time() - begun - forward
            timings.add(f"{turn} {DISCRIMINATOR} {window}", forward, backward)


def table(timings: Timings, audio_seconds: float) -> list[str]:
    """Markdown: core-seconds of a step, and for each second of audio."""
    best = dict(timings.best)
    whole = best.pop("network and losses")
    inner = ["network", *(name for name in LOSSES if name in best)]
    best["the rest"] = [whole[k] - sum(best[name][k] for name in inner) for k in (0, 1)]
    order = ["examples", *inner, "the rest", "clip", "optimiser", "average"]
    order += [name for name in best if DISCRIMINATOR in name]
    total = [sum(best[name][k] for name in order) for k in (0, 1)]
    lines = [
        "| part | forward, ms | backward, ms | core-s per s of audio |",
        "|---|---:|---:|---:|",
    ]
    for name, (forward, backward) in [*((n, best[n]) for n in order), ("step", total)]:
        label = name.replace("_", " ")
        cost = (forward + backward) / audio_seconds
        back = f"{1000 * backward:.0f}" if backward else ""
        lines.append(f"| {label} | {1000 * forward:.0f} | {back} | {cost:.4f} |")
    return lines


def main() -> None:
    """Print the table for a recipe."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", type=Path, nargs="?", default=Path("configs/speech.toml"))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--compile", action="store_true", help="with torch.compile, as training is")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        config = load_recipe(options.recipe)
    except ConfigError as error:
        parser.error(str(error))
    if not isinstance(config, SpectralRecipe):
        parser.error(f"{options.recipe}: not a recipe of the spectral extender")
    timings, audio_seconds = measure(config, max(1, options.steps), compiled=options.compile)
    how = "compiled" if options.compile else "not compiled"
    print(f"{options.recipe.name}: {audio_seconds:.1f} s of audio a step, one thread, {how}")
    print("\n".join(table(timings, audio_seconds)))


if __name__ == "__main__":
    main()
