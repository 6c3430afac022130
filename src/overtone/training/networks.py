"""From a recipe to its network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from overtone.models.afilm import AFiLMUNet
from overtone.models.audiounet import AudioUNet
from overtone.models.extender import SpectralExtender
from overtone.models.tfilm import TFiLMUNet
from overtone.training.recipe import Recipe

NETWORKS: dict[str, Callable[[Any], nn.Module]] = {
    "extender": SpectralExtender,
    "audiounet": AudioUNet,
    "tfilm": TFiLMUNet,
    "afilm": AFiLMUNet,
}


def build_network(recipe: Recipe) -> nn.Module:
    """The network that ``recipe.network`` names, with new weights."""
    return NETWORKS[recipe.network](recipe.model)
