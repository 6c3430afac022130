"""From the name of a family to its recipe, network and task."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from overtone.errors import ConfigError
from overtone.families import FAMILIES
from overtone.settings import problems
from overtone.training.recipe import Recipe, read_whole
from overtone.training.task import Log, TrainingTask
from overtone.training.world import World


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
    recipe: type[Recipe] = FAMILIES[network].load("recipe")
    return recipe.model_validate(values)


def load_recipe(path: Path) -> Recipe:
    """Read a TOML recipe with what it extends and includes.

    Raises:
        ConfigError: a file cannot be read, is not TOML, or has an unknown or impossible key; the
            message names the file and the key.
    """
    values = read_whole(path)
    try:
        return read_recipe(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: {problems(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def build_network(recipe: Recipe) -> nn.Module:
    """Return the network that ``recipe.network`` names, with new weights.

    Raises:
        ConfigError: it is larger than can be.
    """
    try:
        network: nn.Module = FAMILIES[recipe.network].load("network")(recipe.model)
    except (RuntimeError, TypeError, OverflowError) as error:  # of torch, which has no room for it
        raise ConfigError("[model]: too large to be made; give smaller numbers") from error
    return network


def make_task(
    recipe: Recipe,
    data_root: Path,
    *,
    cache: Path,
    device: torch.device,
    compile_model: bool,
    world: World,
    log: Log,
) -> TrainingTask:
    """Open what the recipe trains on, and build its network on ``device``.

    Raises:
        ConfigError: a corpus or archive is missing or does not fit, or the cache cannot be written.
    """
    task: TrainingTask = FAMILIES[recipe.network].load("task")(
        recipe,
        partial(build_network, recipe),
        data_root,
        cache=cache,
        device=device,
        compile_model=compile_model,
        world=world,
        log=log,
    )
    return task
