"""The lineage's networks as a task of the training loop: archives of patches, epoch by epoch."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overtone.data.archive import PatchArchive
from overtone.dsp.level import LevelMeter
from overtone.errors import ConfigError, InvalidInputError
from overtone.metrics import lineage_lsd, lineage_snr_db, lsd
from overtone.training.losses import patch_losses
from overtone.training.networks import build_network
from overtone.training.recipe import PatchRecipe
from overtone.training.task import Log, Player, Turn, Verdict, has_bfloat16

Samples = NDArray[np.float32]
Pair = tuple[Samples, Samples]

VALIDATION_BATCH = 16


class PatchTask:
    """Patches in an order drawn anew each epoch; validation on all patches of the other archive."""

    def __init__(
        self, recipe: PatchRecipe, data_root: Path, *, compile_model: bool, log: Log
    ) -> None:
        self.recipe = recipe
        self.train = open_archive(data_root / recipe.archives.train, recipe)
        self.validation = open_archive(data_root / recipe.archives.validation, recipe)
        self.model: nn.Module = build_network(recipe)
        self.players = [Player.trained(self.model, recipe.optimiser)]
        self.run = torch.compile(self.model) if compile_model else self.model
        self.epoch_steps = -(-len(self.train) // recipe.optimiser.batch_size)
        self.steps = recipe.optimiser.epochs * self.epoch_steps
        low, high = _patches(self.validation, range(len(self.validation)))
        self.low, self.high = low, high
        self.baseline = patch_scores(high, low)
        self.facts: dict[str, Any] = {
            "level_rms": _active_rms(high, recipe.model.sample_rate),
            "patch_samples": low.shape[1],
        }
        log(
            f"{len(self.train)} patches to train on, {len(self.validation)} to validate;"
            f" {self.epoch_steps} steps an epoch"
        )

    def examples(self, step: int) -> Generator[Pair]:
        """Batches ``([batch, samples] low, high)`` from ``step`` on; a thread reads ahead."""
        with ThreadPoolExecutor(1) as thread:
            upcoming = thread.submit(self._batch, step)
            while True:
                batch = upcoming.result()
                step += 1
                upcoming = thread.submit(self._batch, step)
                yield batch

    def _batch(self, step: int) -> Pair:
        epoch, place = divmod(step, self.epoch_steps)
        order = np.random.default_rng((self.recipe.seed, epoch)).permutation(len(self.train))
        size = self.recipe.optimiser.batch_size
        return _patches(self.train, order[place * size : (place + 1) * size].tolist())

    def turns(self, batch: Pair, step: int) -> Iterator[Turn]:  # noqa: ARG002
        """The network's alone."""
        terms = self.losses(batch)
        yield Turn(self.players[0], terms["total"], terms)

    def losses(self, batch: Pair) -> dict[str, Tensor]:
        """The terms of :func:`~overtone.training.losses.patch_losses`."""
        low, high = (torch.from_numpy(side) for side in batch)
        bfloat16 = self.recipe.optimiser.bfloat16 and has_bfloat16()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            detail = self.run(low)
        return patch_losses(detail.float(), high, self.recipe.loss)

    def validation_due(self, step: int, minutes: float) -> bool:  # noqa: ARG002
        """After every epoch."""
        return step % self.epoch_steps == 0

    def validate(self, weights: dict[str, Tensor]) -> Verdict:
        """Means over the patches, for the baseline and the network; the score is the SNR."""
        judged = build_network(self.recipe)
        judged.load_state_dict(weights)
        found = patch_scores(self.high, restore(judged.eval(), self.low))
        gain = {name: found[name] - self.baseline[name] for name in found}
        rows = [
            {"label": label} | row
            for label, row in (("spline", self.baseline), (self.recipe.network, found))
        ]
        return Verdict([*rows, {"label": "gain"} | gain], found["lineage_snr_db"])


def open_archive(path: Path, recipe: PatchRecipe) -> PatchArchive:
    """An archive that fits the recipe's network.

    Raises:
        ConfigError: no such archive, damaged, or made with another rate, scale or interpolation.
    """
    try:
        archive = PatchArchive(path)
    except InvalidInputError as error:
        raise ConfigError(str(error)) from error
    settings, model = archive.info.settings, recipe.model
    problems = [
        f"{name} {found}, the recipe's model {wanted}"
        for name, found, wanted in (
            ("sample_rate", settings.sample_rate, model.sample_rate),
            ("scale", settings.scale, model.scale),
        )
        if found != wanted
    ]
    if settings.whole_files:
        problems.append("whole files; training needs patches (--dimension 8192)")
    if not settings.interpolate:
        problems.append("a low side that was not interpolated (--interpolate)")
    if not len(archive):
        problems.append("no patches")
    if problems:
        raise ConfigError(f"{path}: has {'; '.join(problems)}: prepare it again")
    return archive


def _patches(archive: PatchArchive, indices: Any) -> Pair:
    pairs = [archive[index] for index in indices]
    low, high = (np.stack(side) for side in zip(*pairs, strict=True))
    return low, high


@torch.no_grad()
def restore(model: nn.Module, low: Samples) -> Samples:
    """Run ``low [patches, samples]`` through a network in evaluation mode; same shape."""
    parts = [
        model(torch.from_numpy(low[start : start + VALIDATION_BATCH])).numpy()
        for start in range(0, len(low), VALIDATION_BATCH)
    ]
    return np.concatenate(parts)


def patch_scores(high: Samples, estimate: Samples) -> dict[str, float]:
    """Means over patches ``[patches, samples]``; those that are silent have no ratio."""
    scores = [
        (lineage_snr_db(y, x), lineage_lsd(y, x), lsd(y, x))
        for y, x in zip(high, estimate, strict=True)
    ]
    names = ("lineage_snr_db", "lineage_lsd", "lsd")
    means = np.nanmean(np.array(scores), axis=0)
    return {name: float(value) for name, value in zip(names, means, strict=True)}


def _active_rms(patches: Samples, sample_rate: int) -> float:
    """The level that the network meets, pauses aside."""
    meter = LevelMeter(sample_rate)
    meter.push(patches.reshape(1, -1))
    return meter.active_rms()
