"""Recipes: a TOML file read into frozen settings that refuse unknown keys.

A recipe may say ``extends = "other.toml"``: what it says itself then stands in place of what the
other says, table by table. It may ``include`` files, whose corpora come before its own. Both are
names relative to the file that says so, and cannot leave its folder.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, Field

from overtone import __version__
from overtone.errors import ConfigError
from overtone.inference.family import ModelInfo
from overtone.settings import Settings, read_toml

Positive = Annotated[float, Field(gt=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]
DEEPEST = 8

RecipeT = TypeVar("RecipeT", bound="Recipe")


class OptimiserConfig(Settings):
    """AdamW with warm-up, a constant stretch and a cosine decay."""

    renamed: ClassVar[dict[str, str]] = {"cooldown_share": "decay_fraction"}

    batch_size: int = Field(default=16, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    betas: tuple[Beta, Beta] = (0.8, 0.95)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_steps: int = Field(default=200, ge=0)
    # The last part of the steps over which the rate falls to zero.
    decay_fraction: float = Field(default=0.4, ge=0, le=1)
    gradient_clip: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.998, ge=0, lt=1)
    # Matrix products in bfloat16 or, on GPUs without it, float16; elsewhere float32, on GPUs TF32.
    bfloat16: bool = True


class StepsConfig(OptimiserConfig):
    """A run of so many steps, on crops of so many frames."""

    steps: int = Field(gt=0)
    crop_frames: int = Field(default=128, gt=8)


class EpochsConfig(OptimiserConfig):
    """A run of so many passes over an archive; the defaults are AudioUNet's, plain Adam."""

    epochs: int = Field(default=50, gt=0)
    learning_rate: float = Field(default=3e-4, gt=0)
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_steps: int = Field(default=0, ge=0)
    decay_fraction: float = Field(default=0.0, ge=0, le=1)
    ema_decay: float = Field(default=0.0, ge=0, lt=1)


class Recipe(Settings):
    """What every recipe says; :data:`overtone.families.FAMILIES` has the kinds."""

    # A name, and never a way out of a folder.
    name: str = Field(min_length=1, max_length=100, pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*$")
    description: str
    network: str
    seed: int = 0
    # Of the weights. Without it they are under the licences of all their data.
    license: str | None = None
    model: BaseModel
    optimiser: OptimiserConfig

    def sha256(self) -> str:
        """Return the hash of every setting; stored in checkpoints and model files."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def data(self) -> list[tuple[str, str]]:
        """Return what it trains on: names and licences."""
        raise NotImplementedError

    def describe(self, progress: dict[str, Any], parameters: int) -> ModelInfo:
        """Return what the model file says of itself, exported after ``progress``.

        Raises:
            ConfigError: the progress does not say what this kind of file needs.
        """
        raise NotImplementedError

    def _about(self, progress: dict[str, Any], parameters: int, examples: str) -> dict[str, Any]:
        """Return what :meth:`describe` says of every kind of model."""
        data = self.data()
        batch, minutes = self.optimiser.batch_size, progress["seconds"] / 60
        return {
            "name": self.name,
            "description": self.description,
            "parameters": parameters,
            "license": self.license or "; ".join(dict.fromkeys(text for _, text in data if text)),
            "training_data": tuple(f"{name}: {text}" if text else name for name, text in data),
            "training": f"{progress['step']} steps of {batch} {examples}, {minutes:.0f} minutes",
            "config_sha256": self.sha256(),
            "overtone_version": __version__,
        }


def overridden(recipe: RecipeT, chosen: Mapping[str, Any]) -> RecipeT:
    """Return the recipe with other values of its ``[optimiser]``; None leaves one as it is.

    Raises:
        ConfigError: steps for a recipe whose length is in epochs, or the reverse.
    """
    update = {name: value for name, value in chosen.items() if value is not None}
    for name in update:
        if name not in type(recipe.optimiser).model_fields:
            other = "epochs" if name == "steps" else "steps"
            raise ConfigError(f"{recipe.name}: its length is in {other}; use --{other}")
    optimiser = recipe.optimiser.model_copy(update=update)
    return recipe.model_copy(update={"optimiser": optimiser})


def read_whole(path: Path, within: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a TOML file with all that it ``extends`` and ``include``\\ s.

    Raises:
        ConfigError: a file cannot be read, is not TOML, lies outside the folder of the one that
            names it, or comes to name itself; the message names the file.
    """
    own = read_toml(path)
    within = (*within, path.resolve())
    if len(within) > DEEPEST:
        raise ConfigError(f"{path}: the {DEEPEST}th recipe that one names after another")

    def other(name: object, key: str) -> dict[str, Any]:
        if not isinstance(name, str):
            raise ConfigError(f"{path}: {key}: give the name of a file, not {name!r}")
        target = path.parent / name
        if not target.resolve().is_relative_to(path.parent.resolve()):
            raise ConfigError(f"{path}: {key}: {name!r} lies outside the recipe's folder")
        if target.resolve() in within:
            raise ConfigError(f"{path}: {key}: {name!r} comes back to itself")
        return read_whole(target, within)

    base = other(own.pop("extends"), "extends") if "extends" in own else {}
    included = own.pop("include", [])
    if not isinstance(included, list):
        raise ConfigError(f"{path}: include: give a list of files, not {included!r}")
    parts = [other(name, "include") for name in included]
    if parts:
        corpora = [corpus for part in parts for corpus in part.get("corpora", [])]
        own["corpora"] = corpora + own.get("corpora", [])
    return _merged(base, own)


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = base | own
    for key in base.keys() & own.keys():
        if isinstance(base[key], dict) and isinstance(own[key], dict):
            merged[key] = _merged(base[key], own[key])
    return merged
