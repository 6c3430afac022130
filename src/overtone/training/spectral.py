"""The spectral extender as a task of the training loop."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from overtone.data.corpora import SampleStore
from overtone.data.crops import Batch, CropSampler
from overtone.models.extender import Prediction, SpectralExtender
from overtone.training.adversarial import Adversary, Scene
from overtone.training.losses import (
    band_power_distance,
    band_weight,
    fidelity_distance,
    frames,
    overlap_add,
    signal_distance,
    spectral_distances,
)
from overtone.training.recipe import OptimiserConfig, SpectralRecipe
from overtone.training.task import Log, Player, Turn, Verdict, has_bfloat16
from overtone.training.validate import validate


class SpectralTask:
    """Crops of the corpora, degraded at random; held-out clips low-passed at fixed cutoffs."""

    def __init__(
        self,
        recipe: SpectralRecipe,
        data_root: Path,
        *,
        cache: Path,
        compile_model: bool,
        log: Log,
    ) -> None:
        self.recipe = recipe
        c, o = recipe.model, recipe.optimiser
        self.store = SampleStore.build(cache, recipe.corpora, data_root, c.sample_rate, log)
        self.sampler = CropSampler(
            self.store,
            recipe.corpora,
            recipe.degrade,
            sample_rate=c.sample_rate,
            crop_samples=c.window_samples + (o.crop_frames - 1) * c.hop_samples,
            seed=recipe.seed,
        )
        self.model = SpectralExtender(c)
        self.predict = torch.compile(self.model.predict) if compile_model else self.model.predict
        self.players = [Player.trained(self.model, o)]
        self.adversary: Adversary | None = None
        if recipe.adversarial:
            bfloat16 = o.bfloat16 and has_bfloat16()
            self.adversary = Adversary(recipe.adversarial, c.sample_rate, bfloat16=bfloat16)
            self.players.append(opponent(self.adversary, o))
        self.steps = o.steps
        self.facts: dict[str, Any] = {}

    def examples(self, step: int) -> Generator[Batch]:
        """Batches from ``step`` on."""
        return batches(self.sampler, step, self.recipe.optimiser.batch_size)

    def turns(self, batch: Batch, step: int) -> Iterator[Turn]:
        """The extender's, then that of the discriminators where there are some."""
        adversary = self.adversary
        if adversary and step < adversary.config.start_step:
            adversary = None
        terms = losses(self.model, self.predict, batch, self.recipe, adversary)
        yield Turn(self.players[0], terms["total"], terms)
        if adversary and adversary.due(step):
            yield Turn(self.players[1], *adversary.learn())

    def validation_due(self, step: int, minutes: float) -> bool:  # noqa: ARG002
        """By the clock."""
        return minutes > self.recipe.validation.every_minutes

    def validate(self, weights: dict[str, Tensor]) -> Verdict:
        """A row for each cutoff; the score is the mean LSD, negative."""
        judged = SpectralExtender(self.recipe.model)
        judged.load_state_dict(weights)
        rows = validate(judged.eval(), self.store, self.recipe)
        labelled = [
            {"label": f"{row['cutoff_hz']:.0f}Hz"}
            | {name: value for name, value in row.items() if name != "cutoff_hz"}
            for row in rows
        ]
        distances = [row["lsd"] for row in rows]
        return Verdict(labelled, -sum(distances) / max(1, len(distances)))


def opponent(adversary: Adversary, optimiser: OptimiserConfig) -> Player:
    """The discriminators as a player: the network's optimiser, but for rate and clip."""
    own = adversary.config
    settings = optimiser.model_copy(
        update={
            "learning_rate": own.learning_rate,
            "gradient_clip": own.gradient_clip,
            "weight_decay": 0.0,
        }
    )
    return Player(adversary.network, settings, prefix="discriminators.", table="adversarial")


def losses(
    model: SpectralExtender,
    predict: Callable[..., Any],
    batch: Batch,
    config: SpectralRecipe,
    adversary: Adversary | None = None,
) -> dict[str, Tensor]:
    """All loss terms of one batch; ``total`` is what is minimised.

    An ``adversary`` adds its terms, and remembers the batch for its own turn.
    """
    c, weights = config.model, config.loss
    window, hop, lookahead = c.window_samples, c.hop_samples, c.lookahead_frames
    clean, low = torch.from_numpy(batch.clean), torch.from_numpy(batch.low)
    cutoff, bandwidth = torch.from_numpy(batch.cutoff_hz), torch.from_numpy(batch.bandwidth_hz)
    target, observed = frames(clean, window, hop), frames(low, window, hop)
    spectrum = torch.view_as_real(observed)
    ahead = torch.nn.functional.pad(spectrum, (0, 0, 0, 0, 0, lookahead))
    context = model.initial_state(len(clean)).context
    bfloat16 = config.optimiser.bfloat16 and has_bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        found: Prediction = predict(ahead, cutoff, context)
    log_magnitude, phase, coherence = (head[:, lookahead:] for head in found[:3])
    weight = band_weight(c.bins, c.sample_rate, cutoff, bandwidth, weights.pivot_hz)
    log_term, compressed_term = spectral_distances(log_magnitude, phase, target, weight)
    prediction = torch.view_as_complex(log_magnitude.exp().unsqueeze(-1) * phase)
    residual = model.crossover(cutoff)[:, None] * (prediction - observed)
    # The first and last frames overlap with nothing; the signal is judged between them.
    estimate = low + overlap_add(residual, window, hop)
    inner = slice(window - hop, low.shape[-1] - (window - hop))
    signal_term = signal_distance(
        estimate[:, inner], clean[:, inner], c.sample_rate, cutoff, bandwidth, weights
    )
    terms = {
        "log_magnitude": log_term,
        "compressed": compressed_term,
        "signal": signal_term,
        "fidelity": fidelity_distance(prediction, coherence, target, weight),
    }
    if weights.band_power:
        terms["band_power"] = band_power_distance(
            estimate[:, inner], clean[:, inner], c.sample_rate, cutoff, bandwidth, weights
        )
    total = sum((getattr(weights, name) * term for name, term in terms.items()), torch.zeros(()))
    if adversary:
        level = low.square().mean(1)
        scene = Scene(clean[:, inner], estimate[:, inner], level, cutoff, bandwidth)
        opposed = adversary.oppose(scene)
        own = adversary.config
        total = total + own.hinge_weight * opposed["adversarial"]
        total = total + own.features_weight * opposed["features"]
        terms |= opposed
    return {"total": total, **terms}


def batches(sampler: CropSampler, step: int, size: int) -> Generator[Batch]:
    """The batches from ``step`` on; a thread draws the next one while this one is in use."""
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(sampler.batch, step, size)
        while True:
            batch = upcoming.result()
            step += 1
            upcoming = thread.submit(sampler.batch, step, size)
            yield batch
