"""Checkpoints: weights as safetensors with their configuration; no pickles that run code.

A checkpoint is a folder: ``model.safetensors`` (the averaged weights, what is judged and
exported), ``config.json``, and for resuming ``resume.safetensors`` (live weights and optimiser
moments) with ``progress.json``. It is written beside its place, and the one before it is renamed
out of the way: :func:`recover` mends what a process leaves that is killed just then.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from overtone.errors import ConfigError
from overtone.models.extender import ExtenderConfig, SpectralExtender
from overtone.training.config import TrainingConfig, problems


def save_checkpoint(
    folder: Path,
    config: TrainingConfig,
    average: dict[str, Tensor],
    model: SpectralExtender,
    optimiser: torch.optim.Optimizer,
    progress: dict[str, Any],
) -> None:
    """Write everything that an exact resume needs, then put it in the place of ``folder``.

    Raises:
        ConfigError: it cannot be written; the checkpoint before it stays.
    """
    part, old = _beside(folder, ".part"), _beside(folder, ".old")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file({k: v.contiguous() for k, v in average.items()}, part / "model.safetensors")
        (part / "config.json").write_text(config.model_dump_json(indent=2))
        save_file(_resume_tensors(model, optimiser), part / "resume.safetensors")
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


def _resume_tensors(model: SpectralExtender, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    names = [name for name, _ in model.named_parameters()]
    for index, slots in optimiser.state_dict()["state"].items():
        for slot, value in slots.items():
            tensors[f"optimiser.{slot}.{names[index]}"] = value.contiguous()
    return tensors


def load_resume(
    folder: Path, model: SpectralExtender, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Restore ``model`` and ``optimiser`` in place; returns averaged weights and progress.

    Raises:
        ConfigError: no checkpoint there, a damaged one, or one of another model.
    """
    try:
        stored = _read_config(folder).model
        if stored != model.config:
            raise ConfigError(
                f"{folder}: a checkpoint of another model: {_differences(stored, model.config)};"
                " restore the recipe's [model], or start a new run with another --out"
            )
        average = load_file(folder / "model.safetensors")
        resume = load_file(folder / "resume.safetensors")
        progress = _read_progress(folder)
        model.load_state_dict(average)  # refuses it where names or shapes do not fit
        model.load_state_dict(
            {k.removeprefix("model."): v for k, v in resume.items() if k.startswith("model.")}
        )
    except OSError as error:
        raise ConfigError(
            f"{folder}: no checkpoint to resume from ({error.strerror or error}); leave out"
            " --resume to start a new run"
        ) from error
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{folder}: damaged: {error}; start a new run") from error
    state: dict[int, dict[str, Tensor]] = {}
    for index, (name, _) in enumerate(model.named_parameters()):
        slots = {
            slot: resume[f"optimiser.{slot}.{name}"]
            for slot in ("step", "exp_avg", "exp_avg_sq")
            if f"optimiser.{slot}.{name}" in resume
        }
        if slots:
            state[index] = slots
    packed = optimiser.state_dict()
    packed["state"] = state
    optimiser.load_state_dict(packed)
    return average, progress


def load_model(folder: Path) -> tuple[SpectralExtender, TrainingConfig, dict[str, Any]]:
    """The averaged network of a checkpoint, ready to run, its recipe and its progress.

    Raises:
        ConfigError: ``folder`` is not a checkpoint of this version, or is damaged.
    """
    try:
        config = _read_config(folder)
        progress = _read_progress(folder)
        model = SpectralExtender(config.model)
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except OSError as error:
        raise ConfigError(
            f"{folder}: not a checkpoint ({error.strerror or error}); give the folder that"
            " `overtone train` wrote, for example runs/speech/last"
        ) from error
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{folder}: damaged: {error}") from error
    return model.eval(), config, progress


def _read_config(folder: Path) -> TrainingConfig:
    try:
        return TrainingConfig.model_validate_json((folder / "config.json").read_text())
    except ValidationError as error:
        raise ConfigError(
            f"{folder / 'config.json'}: damaged, or of another version: {problems(error)}"
        ) from error


def _read_progress(folder: Path) -> dict[str, Any]:
    progress = json.loads((folder / "progress.json").read_text())
    try:
        return {"step": int(progress["step"]), "seconds": float(progress["seconds"])}
    except (KeyError, TypeError) as error:
        raise ValueError("progress.json does not give step and seconds") from error


def _differences(stored: ExtenderConfig, wanted: ExtenderConfig) -> str:
    return ", ".join(
        f"{name} {getattr(stored, name)} and not {getattr(wanted, name)}"
        for name in ExtenderConfig.model_fields
        if getattr(stored, name) != getattr(wanted, name)
    )
