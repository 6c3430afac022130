"""Checkpoints: weights as safetensors with their configuration; no pickles that run code.

A checkpoint is a folder: ``model.safetensors`` (the averaged weights, what is judged and
exported), ``config.json``, and for resuming ``resume.safetensors`` (live weights and optimiser
moments of every player) with ``progress.json``. It is written beside its place, and the one before
it is renamed out of the way: :func:`recover` mends what a process leaves that is killed just then.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from overtone.errors import ConfigError
from overtone.training.networks import build_network
from overtone.training.recipe import Recipe, problems, read_recipe
from overtone.training.task import Player


def save_checkpoint(
    folder: Path,
    recipe: Recipe,
    average: dict[str, Tensor],
    players: list[Player],
    progress: dict[str, Any],
) -> None:
    """Write everything that an exact resume needs, then put it in the place of ``folder``.

    Raises:
        ConfigError: it cannot be written; the checkpoint before it stays.
    """
    tensors: dict[str, Tensor] = {}
    for player in players:
        tensors |= _resume_tensors(player)
    _save(folder, recipe, average, progress, tensors)


def save_weights(
    folder: Path, recipe: Recipe, average: dict[str, Tensor], progress: dict[str, Any]
) -> None:
    """Write what judging and exporting need, as :func:`save_checkpoint` does."""
    _save(folder, recipe, average, progress, {})


def _save(
    folder: Path,
    recipe: Recipe,
    average: dict[str, Tensor],
    progress: dict[str, Any],
    resume: dict[str, Tensor],
) -> None:
    part, old = _beside(folder, ".part"), _beside(folder, ".old")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file({k: v.contiguous() for k, v in average.items()}, part / "model.safetensors")
        (part / "config.json").write_text(recipe.model_dump_json(indent=2))
        if resume:
            save_file(resume, part / "resume.safetensors")
        (part / "progress.json").write_text(json.dumps(progress))
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise ConfigError(f"{folder}: cannot save the checkpoint: {error}") from error
    shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> None:
    """Put the previous checkpoint back where saving was cut between its two renames."""
    if not folder.exists() and _beside(folder, ".old").exists():
        _beside(folder, ".old").rename(folder)


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)


def _resume_tensors(player: Player) -> dict[str, Tensor]:
    prefix, network = player.prefix, player.network
    tensors = {f"{prefix}model.{k}": v.contiguous() for k, v in network.state_dict().items()}
    names = [name for name, _ in network.named_parameters()]
    for index, slots in player.optimiser.state_dict()["state"].items():
        for slot, value in slots.items():
            tensors[f"{prefix}optimiser.{slot}.{names[index]}"] = value.contiguous()
    return tensors


def load_resume(
    folder: Path, recipe: Recipe, players: list[Player]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Restore the players in place; returns averaged weights and progress.

    Raises:
        ConfigError: no checkpoint there, a damaged one, or one of another model or adversary.
    """
    try:
        stored = _read_recipe(folder)
        _require_same_model(folder, stored, recipe, "or start a new run with another --out")
        average = load_file(folder / "model.safetensors")
        resume = load_file(folder / "resume.safetensors")
        progress = _read_progress(folder)
        players[0].network.load_state_dict(average)  # refuses it where names or shapes do not fit
        _require_same_players(folder, resume, players)
        for player in players:
            _restore(player, resume)
    except OSError as error:
        raise ConfigError(
            f"{folder}: no checkpoint to resume from ({error.strerror or error}); leave out"
            " --resume to start a new run"
        ) from error
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{folder}: damaged: {_line(error)}; start a new run") from error
    return average, progress


def _require_same_model(
    folder: Path, stored: Recipe, wanted: Recipe, otherwise: str, free: Collection[str] = ()
) -> None:
    """Refuse another network than the recipe's, but for the keys of its [model] in ``free``."""
    models = [recipe.model.model_dump(exclude=set(free)) for recipe in (stored, wanted)]
    if stored.network != wanted.network or models[0] != models[1]:
        raise ConfigError(
            f"{folder}: a checkpoint of another model: {_differences(stored, wanted)};"
            f" restore the recipe's [model], {otherwise}"
        )


def _require_same_players(folder: Path, tensors: dict[str, Tensor], players: list[Player]) -> None:
    """Those that came with the trained network: it alone is covered by the recipe's [model]."""
    for player in players[1:]:
        weights = player.network.state_dict()
        stored = {name: tensors.get(f"{player.prefix}model.{name}") for name in weights}
        if any(v is None or v.shape != weights[name].shape for name, v in stored.items()):
            raise ConfigError(
                f"{folder}: trained without the recipe's [{player.table}], or with another shape of"
                f" it; restore [{player.table}], or start a new run with --warm-start {folder}"
            )


def _restore(player: Player, tensors: dict[str, Tensor]) -> None:
    """Weights and moments of one player, from all that was stored."""
    start = f"{player.prefix}model."
    player.network.load_state_dict(
        {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
    )
    state: dict[int, dict[str, Tensor]] = {}
    for index, (name, _) in enumerate(player.network.named_parameters()):
        keys = {
            slot: f"{player.prefix}optimiser.{slot}.{name}"
            for slot in ("step", "exp_avg", "exp_avg_sq")
        }
        slots = {slot: tensors[key] for slot, key in keys.items() if key in tensors}
        if slots:
            state[index] = slots
    packed = player.optimiser.state_dict()
    packed["state"] = state
    player.optimiser.load_state_dict(packed)


def load_start(folder: Path, recipe: Recipe) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The averaged weights of a checkpoint, for a new run's network to begin from.

    Also returns what tells later where the run began: the checkpoint's recipe, its hash, its step.

    Raises:
        ConfigError: ``folder`` is not a checkpoint, is damaged, or is one of another model.
    """
    start, stored, progress = load_model(folder)
    # Weights are of the same shape whatever they wait for, and soon learn to wait less.
    _require_same_model(
        folder, stored, recipe, "or give another --warm-start", free=("lookahead_frames",)
    )
    origin = {"recipe": stored.name, "config_sha256": stored.sha256(), "step": progress["step"]}
    return start.state_dict(), origin


def load_model(folder: Path) -> tuple[nn.Module, Recipe, dict[str, Any]]:
    """The averaged network of a checkpoint, ready to run, its recipe and its progress.

    Raises:
        ConfigError: ``folder`` is not a checkpoint of this version, or is damaged.
    """
    try:
        recipe = _read_recipe(folder)
        progress = _read_progress(folder)
        model = build_network(recipe)
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except OSError as error:
        raise ConfigError(
            f"{folder}: not a checkpoint ({error.strerror or error}); give the folder that"
            " `overtone train` wrote, for example runs/speech/last"
        ) from error
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{folder}: damaged: {_line(error)}") from error
    return model.eval(), recipe, progress


def _line(error: Exception) -> str:
    """Torch says what does not fit on several lines."""
    return " ".join(str(error).split())


def _read_recipe(folder: Path) -> Recipe:
    path = folder / "config.json"
    try:
        return read_recipe(json.loads(path.read_text()))
    except ValidationError as error:
        raise ConfigError(f"{path}: damaged, or of another version: {problems(error)}") from error
    except (json.JSONDecodeError, AttributeError, ConfigError) as error:
        raise ConfigError(f"{path}: damaged, or of another version: {error}") from error


def _read_progress(folder: Path) -> dict[str, Any]:
    progress: dict[str, Any] = json.loads((folder / "progress.json").read_text())
    try:
        return progress | {"step": int(progress["step"]), "seconds": float(progress["seconds"])}
    except (KeyError, TypeError) as error:
        raise ValueError("progress.json does not give step and seconds") from error


def _differences(stored: Recipe, wanted: Recipe) -> str:
    if stored.network != wanted.network:
        return f"network {stored.network} and not {wanted.network}"
    return ", ".join(
        f"{name} {getattr(stored.model, name)} and not {getattr(wanted.model, name)}"
        for name in type(wanted.model).model_fields
        if getattr(stored.model, name) != getattr(wanted.model, name)
    )
