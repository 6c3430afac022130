"""The model families, each one line: recipe, network, task, and how its model file is written.

To add one, write its network in ``models``, its recipe and task here in ``training``, its export in
``export``, and a line in :data:`FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from torch import nn

from overtone.errors import ConfigError
from overtone.export import source_filter, spectral, waveform
from overtone.models.afilm import AFiLMUNet
from overtone.models.audiounet import AudioUNet
from overtone.models.extender import SpectralExtender
from overtone.models.source_filter import SourceFilterExtender
from overtone.models.tfilm import TFiLMUNet
from overtone.training.recipe import Recipe, problems, read_toml
from overtone.training.source_filter import SourceFilterRecipe, SourceFilterTask
from overtone.training.spectral import SpectralRecipe, SpectralTask
from overtone.training.task import Log, Task
from overtone.training.waveform import AFiLMRecipe, AudioUNetRecipe, TFiLMRecipe, WaveformTask


class Family(NamedTuple):
    """What a family brings: ``network(recipe.model)``, and ``write(network, info, path)``."""

    recipe: type[Recipe]
    network: Callable[[Any], nn.Module]
    task: Callable[..., Task]
    write: Callable[[Any, Any, Path], None]


FAMILIES: dict[str, Family] = {
    "extender": Family(SpectralRecipe, SpectralExtender, SpectralTask, spectral.write),
    "source-filter": Family(
        SourceFilterRecipe, SourceFilterExtender, SourceFilterTask, source_filter.write
    ),
    "audiounet": Family(AudioUNetRecipe, AudioUNet, WaveformTask, waveform.write),
    "tfilm": Family(TFiLMRecipe, TFiLMUNet, WaveformTask, waveform.write),
    "afilm": Family(AFiLMRecipe, AFiLMUNet, WaveformTask, waveform.write),
}
"""By the key ``network`` of a recipe; one without it is the extender's."""


def read_recipe(values: dict[str, Any]) -> Recipe:
    """Return a recipe from its parsed TOML or JSON.

    Raises:
        ConfigError: no such network.
        ValidationError: an unknown or impossible key.

    Example:
        >>> recipe = read_recipe(
        ...     {
        ...         "name": "mine",
        ...         "description": "TFiLM on my recordings",
        ...         "network": "tfilm",
        ...         "archives": {"train": "train.h5", "validation": "validation.h5"},
        ...         "training_data": ["my recordings: CC0 1.0"],
        ...     }
        ... )
        >>> recipe.optimiser.epochs
        50
    """
    network = values.get("network", "extender")
    if not isinstance(network, str) or network not in FAMILIES:
        raise ConfigError(f"network: {network!r} is unknown; use one of {', '.join(FAMILIES)}")
    return FAMILIES[network].recipe.model_validate(values)


def load_recipe(path: Path) -> Recipe:
    """Read a TOML recipe with what it extends and includes.

    Raises:
        ConfigError: a file cannot be read, is not TOML, or has an unknown or impossible key; the
            message names the file and the key.
    """
    values = read_toml(path)
    try:
        return read_recipe(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: {problems(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def build_network(recipe: Recipe) -> nn.Module:
    """Return the network that ``recipe.network`` names, with new weights."""
    return FAMILIES[recipe.network].network(recipe.model)


def make_task(
    recipe: Recipe,
    data_root: Path,
    *,
    cache: Path,
    device: torch.device,
    compile_model: bool,
    log: Log,
) -> Task:
    """Open what the recipe trains on, and build its network on ``device``.

    Raises:
        ConfigError: a corpus or archive is missing or does not fit, or the cache cannot be written.
    """
    return FAMILIES[recipe.network].task(
        recipe,
        partial(build_network, recipe),
        data_root,
        cache=cache,
        device=device,
        compile_model=compile_model,
        log=log,
    )
