"""Checkpoints: weights as safetensors with their configuration; no pickles that run code.

A checkpoint is a folder: ``model.safetensors`` (the EMA of the weights, what is validated
and exported), ``config.json``, and for resuming ``resume.safetensors`` (live weights and optimiser
moments of every network) with ``progress.json``. It is written beside its place, and the one before
it is renamed out of the way: :func:`recover` mends what a process leaves that is killed just then.
"""

import errno
import json
import math
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from overtone.errors import ConfigError
from overtone.files import read_json
from overtone.settings import problems
from overtone.training.families import build_network, read_recipe
from overtone.training.optimiser import OptimisedNetwork
from overtone.training.recipe import Recipe


def save_checkpoint(
    folder: Path,
    recipe: Recipe,
    ema: dict[str, Tensor],
    networks: list[OptimisedNetwork],
    progress: dict[str, Any],
) -> None:
    """Write everything that an exact resume needs, then put it in the place of ``folder``.

    Raises:
        ConfigError: it cannot be written; the checkpoint before it stays.
    """
    tensors: dict[str, Tensor] = {}
    for network in networks:
        tensors |= _resume_tensors(network)
    _save(folder, recipe, ema, progress, tensors)


def save_weights(
    folder: Path, recipe: Recipe, ema: dict[str, Tensor], progress: dict[str, Any]
) -> None:
    """Write what validating and exporting need, as :func:`save_checkpoint` does."""
    _save(folder, recipe, ema, progress, {})


def _save(
    folder: Path,
    recipe: Recipe,
    ema: dict[str, Tensor],
    progress: dict[str, Any],
    resume: dict[str, Tensor],
) -> None:
    part, old = _beside(folder, ".part"), _beside(folder, ".old")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file({k: v.contiguous() for k, v in ema.items()}, part / "model.safetensors")
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


def _resume_tensors(trained: OptimisedNetwork) -> dict[str, Tensor]:
    prefix, network = trained.prefix, trained.network
    tensors = {f"{prefix}model.{k}": v.contiguous() for k, v in network.state_dict().items()}
    names = [name for name, _ in network.named_parameters()]
    for index, slots in trained.optimiser.state_dict()["state"].items():
        for slot, value in slots.items():
            tensors[f"{prefix}optimiser.{slot}.{names[index]}"] = value.contiguous()
    for slot, number in trained.scaler.state_dict().items():  # of an idle one, none
        tensors[f"{prefix}scaler.{slot}"] = torch.tensor(number)
    return tensors


def load_resume(
    folder: Path, recipe: Recipe, networks: list[OptimisedNetwork]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Restore the networks in place; returns their EMA and the progress.

    Raises:
        ConfigError: no checkpoint there, a damaged one, or one of another model or adversary.
    """
    try:
        stored = _read_recipe(folder)
        _require_same_model(folder, stored, recipe, "or start a new run with another --output")
        ema = _load(folder / "model.safetensors")
        resume = _load(folder / "resume.safetensors")
        progress = _read_progress(folder)
        networks[0].network.load_state_dict(ema)  # refuses it where names or shapes do not fit
        _require_same_networks(folder, resume, networks)
        for network in networks:
            _restore(network, resume)
    except OSError as error:
        raise ConfigError(
            f"{folder}: no checkpoint to resume from ({error.strerror or error}); leave out"
            " --resume to start a new run"
        ) from error
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{folder}: damaged: {_line(error)}; start a new run") from error
    return ema, progress


def _require_same_model(
    folder: Path, stored: Recipe, wanted: Recipe, otherwise: str, free: Collection[str] = ()
) -> None:
    """Refuse another network than the recipe's, but for the keys of its [model] in ``free``."""
    models = [recipe.model.model_dump(exclude=set(free)) for recipe in (stored, wanted)]
    if stored.network != wanted.network or models[0] != models[1]:
        raise ConfigError(
            f"{folder}: a checkpoint of another model: {_differences(stored, wanted, free)};"
            f" restore the recipe's [model], {otherwise}"
        )


def _require_same_networks(
    folder: Path, tensors: dict[str, Tensor], networks: list[OptimisedNetwork]
) -> None:
    """Those that came with the trained network: it alone is covered by the recipe's [model]."""
    for trained in networks[1:]:
        weights = trained.network.state_dict()
        stored = {name: tensors.get(f"{trained.prefix}model.{name}") for name in weights}
        if any(v is None or v.shape != weights[name].shape for name, v in stored.items()):
            raise ConfigError(
                f"{folder}: trained without the recipe's [{trained.table}], or with another shape"
                f" of it; restore [{trained.table}], or start a new run with --warm-start {folder}"
            )


def _restore(trained: OptimisedNetwork, tensors: dict[str, Tensor]) -> None:
    """Weights and moments of one network, from all that was stored."""
    start = f"{trained.prefix}model."
    trained.network.load_state_dict(
        {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
    )
    state: dict[int, dict[str, Tensor]] = {}
    for index, (name, _) in enumerate(trained.network.named_parameters()):
        keys = {
            slot: f"{trained.prefix}optimiser.{slot}.{name}"
            for slot in ("step", "exp_avg", "exp_avg_sq")
        }
        slots = {slot: tensors[key] for slot, key in keys.items() if key in tensors}
        if slots:
            state[index] = slots
    packed = trained.optimiser.state_dict()
    packed["state"] = state
    trained.optimiser.load_state_dict(packed)
    start = f"{trained.prefix}scaler."
    scaler = {k.removeprefix(start): v.item() for k, v in tensors.items() if k.startswith(start)}
    if scaler and trained.scaler.is_enabled():
        trained.scaler.load_state_dict(scaler)


def load_start(folder: Path, recipe: Recipe) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the EMA of a checkpoint's weights, for a new run's network to begin from.

    Also returns what tells later where the run began: the checkpoint's recipe, its hash, its step.

    Raises:
        ConfigError: ``folder`` is not a checkpoint, is damaged, or is one of another model.
    """
    start, stored, progress = load_model(folder)
    # What leaves the weights' shapes alone: they soon learn to wait less, another rate, or
    # to do with what dropout takes.
    free = ("lookahead_frames", "sample_rate", "dropout", "skip_dropout")
    _require_same_model(folder, stored, recipe, "or give another --warm-start", free)
    origin = {"recipe": stored.name, "config_sha256": stored.sha256(), "step": progress["step"]}
    return start.state_dict(), origin


def load_model(folder: Path) -> tuple[nn.Module, Recipe, dict[str, Any]]:
    """Return the network of a checkpoint, ready to run, its recipe and its progress.

    Raises:
        ConfigError: ``folder`` is not a checkpoint of this version, or is damaged.
    """
    try:
        recipe = _read_recipe(folder)
        progress = _read_progress(folder)
        model = build_network(recipe)
        model.load_state_dict(_load(folder / "model.safetensors"))
    except OSError as error:
        raise ConfigError(
            f"{folder}: not a checkpoint ({error.strerror or error}); give the folder that"
            " `overtone train` wrote, for example runs/speech/last"
        ) from error
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{folder}: damaged: {_line(error)}") from error
    return model.eval(), recipe, progress


def _load(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, those of earlier extenders under the names and shapes of today.

    Weights and their moments change alike: the phase's real and imaginary parts were interleaved,
    and the taps of a convolution came before its channels.
    """
    tensors: dict[str, Tensor] = {}
    if not path.is_file():  # a pipe would never end
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    for name, value in load_file(path).items():
        start, end = name[: name.rfind("phase.")], name.rpartition(".")[2]
        if name.endswith(("phase.weight", "phase.bias")):
            for part, head in enumerate(("real", "imaginary")):
                plane = value[part::2] if value.ndim else value
                tensors[f"{start}{head}.{end}"] = plane.clone()
        elif end == "depthwise":
            taps = value.t()[:, None, :, None].contiguous() if value.ndim else value
            tensors[f"{name}.weight"] = taps
        elif end == "depthwise_bias":
            tensors[f"{name.removesuffix('_bias')}.bias"] = value
        else:
            tensors[name] = value
    return tensors


def _line(error: Exception) -> str:
    """Torch says what does not fit on several lines."""
    return " ".join(str(error).split())


def _read_recipe(folder: Path) -> Recipe:
    path = folder / "config.json"
    try:
        return read_recipe(read_json(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: damaged, or of another version: {problems(error)}") from error
    except (ValueError, AttributeError, ConfigError) as error:
        raise ConfigError(f"{path}: damaged, or of another version: {error}") from error


def _read_progress(folder: Path) -> dict[str, Any]:
    progress: dict[str, Any] = read_json(folder / "progress.json")
    try:
        step, seconds = int(progress["step"]), float(progress["seconds"])
        if step < 0 or not 0 <= seconds < math.inf:
            raise ValueError
        return progress | {"step": step, "seconds": seconds}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError("progress.json does not give step and seconds") from error


def _differences(stored: Recipe, wanted: Recipe, free: Collection[str]) -> str:
    if stored.network != wanted.network:
        return f"network {stored.network} and not {wanted.network}"
    return ", ".join(
        f"{name} {getattr(stored.model, name)} and not {getattr(wanted.model, name)}"
        for name in type(wanted.model).model_fields
        if name not in free and getattr(stored.model, name) != getattr(wanted.model, name)
    )
