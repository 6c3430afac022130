"""Training configuration: a TOML file read into frozen models that refuse unknown keys."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from overtone.data.corpora import Corpus
from overtone.data.crops import DegradeConfig
from overtone.errors import ConfigError
from overtone.models.afilm import AFiLMConfig
from overtone.models.audiounet import AudioUNetConfig
from overtone.models.extender import ExtenderConfig
from overtone.models.tfilm import TFiLMConfig
from overtone.models.unet import UNetConfig
from overtone.training.adversarial import AdversarialConfig
from overtone.training.losses import BAND_WINDOW, LossConfig, PatchLossConfig

Positive = Annotated[float, Field(gt=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]
MESSAGES = {"extra_forbidden": "unknown key", "missing": "missing"}


class OptimiserConfig(BaseModel):
    """AdamW with warm-up, a constant stretch and a cosine cool-down."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    batch_size: int = Field(default=16, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    betas: tuple[Beta, Beta] = (0.8, 0.95)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_steps: int = Field(default=200, ge=0)
    # The last part of the steps over which the rate falls to zero.
    cooldown_share: float = Field(default=0.4, ge=0, le=1)
    gradient_clip: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.998, ge=0, lt=1)
    # Matrix products in bfloat16, where the CPU has it.
    bfloat16: bool = True


class StepsConfig(OptimiserConfig):
    """A run of so many steps, on crops of so many frames."""

    steps: int = Field(gt=0)
    crop_frames: int = Field(default=128, gt=8)


class EpochsConfig(OptimiserConfig):
    """A run of so many passes over an archive; the defaults are the lineage's, plain Adam."""

    epochs: int = Field(default=50, gt=0)
    learning_rate: float = Field(default=3e-4, gt=0)
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_steps: int = Field(default=0, ge=0)
    cooldown_share: float = Field(default=0.0, ge=0, le=1)
    ema_decay: float = Field(default=0.0, ge=0, lt=1)


class ValidationConfig(BaseModel):
    """What is measured, how often, on how much."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    every_minutes: float = Field(default=10.0, gt=0)
    cutoffs_hz: tuple[Positive, ...] = (2000.0, 4000.0, 8000.0, 12000.0)
    clips_per_corpus: int = Field(default=4, ge=0)
    clip_seconds: float = Field(default=3.0, gt=0)


class Recipe(BaseModel):
    """What every recipe says; :data:`RECIPES` has the kinds, by ``network``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1)
    description: str
    network: str
    seed: int = 0
    model: BaseModel
    optimiser: OptimiserConfig

    def sha256(self) -> str:
        """Hash of every setting; stored in checkpoints and model files."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class SpectralRecipe(Recipe):
    """The spectral extender, on crops of whole corpora that are degraded at random."""

    network: Literal["extender"] = "extender"
    corpora: list[Corpus] = Field(min_length=1)
    model: ExtenderConfig = ExtenderConfig()
    degrade: DegradeConfig = DegradeConfig()
    loss: LossConfig = LossConfig()
    # Absent: regression alone.
    adversarial: AdversarialConfig | None = None
    optimiser: StepsConfig
    validation: ValidationConfig = ValidationConfig()

    @model_validator(mode="after")
    def _check_parts_fit(self) -> Self:
        if self.degrade.max_cutoff_hz > self.model.max_cutoff_hz:
            raise ValueError(
                f"degrade.max_cutoff_hz must be at most model.max_cutoff_hz"
                f" {self.model.max_cutoff_hz:g}, not {self.degrade.max_cutoff_hz:g}"
            )
        for corpus in self.corpora:
            whole_hz = min(corpus.bandwidth_hz, self.model.sample_rate / 2)
            bandwidth_hz = self.degrade.least_bandwidth_hz(whole_hz)
            if self.degrade.top_cutoff_hz(bandwidth_hz) < self.degrade.min_cutoff_hz:
                raise ValueError(
                    f"corpora: {corpus.name!r} ends at {whole_hz:g} Hz, some of its examples at"
                    f" {bandwidth_hz:g} Hz, which leaves nothing above"
                    f" degrade.min_cutoff_hz {self.degrade.min_cutoff_hz:g} to predict"
                )
        if self.adversarial and self.adversarial.start_step >= self.optimiser.steps:
            raise ValueError(
                f"adversarial.start_step must be below optimiser.steps {self.optimiser.steps},"
                f" not {self.adversarial.start_step}"
            )
        # What overlap-add completes, all but a window at either end, is what the loss sees.
        hop, longest = self.model.hop_samples, max(self.loss.windows)
        if self.loss.band_power:
            longest = max(longest, BAND_WINDOW)
        if self.adversarial:
            longest = max(longest, *self.adversarial.windows)
        needed = -(-longest // hop) + self.model.window_samples // hop - 1
        if self.optimiser.crop_frames < needed:
            raise ValueError(
                f"optimiser.crop_frames must be at least {needed} for loss windows of {longest},"
                f" not {self.optimiser.crop_frames}"
            )
        return self


class ArchivesConfig(BaseModel):
    """The two archives of patches that ``overtone prepare`` made, relative to the data root."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: str
    validation: str


class PatchRecipe(Recipe):
    """A network of the lineage, on archives of patches."""

    archives: ArchivesConfig
    # What the archives were made of, with its licence: travels into the model file.
    training_data: tuple[str, ...] = Field(min_length=1)
    model: UNetConfig
    loss: PatchLossConfig = PatchLossConfig()
    optimiser: EpochsConfig = EpochsConfig()


class AudioUNetRecipe(PatchRecipe):
    """AudioUNet (Kuleshov et al. 2017)."""

    network: Literal["audiounet"]
    model: AudioUNetConfig = AudioUNetConfig()


class TFiLMRecipe(PatchRecipe):
    """The TFiLM U-Net (Birnbaum et al. 2019)."""

    network: Literal["tfilm"]
    model: TFiLMConfig = TFiLMConfig()


class AFiLMRecipe(PatchRecipe):
    """The AFiLM U-Net (Rakotonirina 2021)."""

    network: Literal["afilm"]
    model: AFiLMConfig = AFiLMConfig()


RECIPES: dict[str, type[Recipe]] = {
    "extender": SpectralRecipe,
    "audiounet": AudioUNetRecipe,
    "tfilm": TFiLMRecipe,
    "afilm": AFiLMRecipe,
}
"""By the key ``network``; a recipe without it is the extender's."""


def read_recipe(values: dict[str, Any]) -> Recipe:
    """A recipe from its parsed TOML or JSON.

    Raises:
        ConfigError: no such network.
        ValidationError: an unknown or impossible key.
    """
    network = values.get("network", "extender")
    if not isinstance(network, str) or network not in RECIPES:
        raise ConfigError(f"network: {network!r} is unknown; use one of {', '.join(RECIPES)}")
    return RECIPES[network].model_validate(values)


def load_recipe(path: Path) -> Recipe:
    """Read a TOML recipe.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has an unknown or impossible key;
            the message names the file and the key.
    """
    try:
        return read_recipe(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the recipe: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {problems(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def problems(error: ValidationError) -> str:
    """One line that names every key at fault, what is wrong with it, and its value."""
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        text = MESSAGES.get(problem["type"], problem["msg"].removeprefix("Value error, "))
        value = problem["input"]
        shown = f", not {value!r}" if problem["type"] not in MESSAGES and _is_plain(value) else ""
        lines.append(f"{key}: {text}{shown}" if key else f"{text}{shown}")
    return "; ".join(lines)


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float | str)
