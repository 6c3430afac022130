"""From a recipe to the task that the training loop runs."""

from __future__ import annotations

from pathlib import Path

from overtone.training.patches import PatchTask
from overtone.training.recipe import PatchRecipe, Recipe, SpectralRecipe
from overtone.training.spectral import SpectralTask
from overtone.training.task import Log, Task


def make_task(
    recipe: Recipe, data_root: Path, *, cache: Path, compile_model: bool, log: Log
) -> Task:
    """Open what the recipe trains on, and build its network.

    Raises:
        ConfigError: a corpus or archive is missing or does not fit, or the cache cannot be written.
    """
    match recipe:
        case SpectralRecipe():
            return SpectralTask(
                recipe, data_root, cache=cache, compile_model=compile_model, log=log
            )
        case PatchRecipe():
            return PatchTask(recipe, data_root, compile_model=compile_model, log=log)
    raise TypeError(f"no task for a {type(recipe).__name__}")
