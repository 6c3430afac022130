"""Checkpoints: weights as safetensors with their configuration; no pickles that run code.

A checkpoint is a folder: ``model.safetensors`` (the averaged weights, what is judged and
exported), ``config.json``, and for resuming ``resume.safetensors`` (live weights and optimiser
moments) with ``progress.json``. It is written beside its place and renamed.
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
from overtone.models.extender import SpectralExtender
from overtone.training.config import TrainingConfig


def save_checkpoint(
    folder: Path,
    config: TrainingConfig,
    average: dict[str, Tensor],
    model: SpectralExtender,
    optimiser: torch.optim.Optimizer,
    progress: dict[str, Any],
) -> None:
    """Write everything that an exact resume needs; replaces ``folder`` as one step."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in average.items()}, part / "model.safetensors")
    (part / "config.json").write_text(config.model_dump_json(indent=2))
    resume = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    names = [name for name, _ in model.named_parameters()]
    for index, slots in optimiser.state_dict()["state"].items():
        for slot, value in slots.items():
            resume[f"optimiser.{slot}.{names[index]}"] = value.contiguous()
    save_file(resume, part / "resume.safetensors")
    (part / "progress.json").write_text(json.dumps(progress))
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_resume(
    folder: Path, model: SpectralExtender, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Restore ``model`` and ``optimiser`` in place; returns averaged weights and progress.

    Raises:
        ConfigError: no checkpoint there, a damaged one, or one of another model.
    """
    try:
        average = load_file(folder / "model.safetensors")
        resume = load_file(folder / "resume.safetensors")
        progress = json.loads((folder / "progress.json").read_text())
        model.load_state_dict(
            {k.removeprefix("model."): v for k, v in resume.items() if k.startswith("model.")}
        )
    except OSError as error:
        raise ConfigError(f"{folder}: no checkpoint to resume from ({error})") from error
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{folder}: damaged, or of another model: {error}") from error
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
        config = TrainingConfig.model_validate_json((folder / "config.json").read_text())
        progress = json.loads((folder / "progress.json").read_text())
        model = SpectralExtender(config.model)
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except OSError as error:
        raise ConfigError(
            f"{folder}: not a checkpoint ({error.strerror or error}); give the folder that"
            " `overtone train` wrote, for example runs/speech/last"
        ) from error
    except (SafetensorError, ValidationError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{folder}: damaged, or of another version: {error}") from error
    return model.eval(), config, progress
