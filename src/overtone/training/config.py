"""Training configuration: a TOML file read into frozen models that refuse unknown keys."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from overtone.data.corpora import Corpus
from overtone.data.crops import DegradeConfig
from overtone.errors import ConfigError
from overtone.models.extender import ExtenderConfig
from overtone.training.losses import LossConfig


class OptimiserConfig(BaseModel):
    """AdamW with warm-up, a constant stretch and a cosine cool-down."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(gt=0)
    batch_size: int = Field(default=16, gt=0)
    crop_frames: int = Field(default=128, gt=8)
    learning_rate: float = Field(default=1e-3, gt=0)
    betas: tuple[float, float] = (0.8, 0.95)
    weight_decay: float = 0.01
    warmup_steps: int = 200
    # The last part of the steps over which the rate falls to zero.
    cooldown_share: float = Field(default=0.4, ge=0, le=1)
    gradient_clip: float = 1.0
    ema_decay: float = Field(default=0.998, ge=0, lt=1)
    bfloat16: bool = True


class ValidationConfig(BaseModel):
    """What is measured, how often, on how much."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every_minutes: float = 10.0
    cutoffs_hz: tuple[float, ...] = (2000.0, 4000.0, 8000.0, 12000.0)
    clips_per_corpus: int = 4
    clip_seconds: float = 3.0


class TrainingConfig(BaseModel):
    """Everything that determines a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    seed: int = 0
    corpora: list[Corpus] = Field(min_length=1)
    model: ExtenderConfig = ExtenderConfig()
    degrade: DegradeConfig = DegradeConfig()
    loss: LossConfig = LossConfig()
    optimiser: OptimiserConfig
    validation: ValidationConfig = ValidationConfig()

    def sha256(self) -> str:
        """Hash of every setting; stored in checkpoints and model files."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def load_config(path: Path) -> TrainingConfig:
    """Read a TOML recipe.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has an unknown or impossible key;
            the message names the file and the key.
    """
    try:
        return TrainingConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the recipe: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'recipe'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigError(f"{path}: {problems}") from error
