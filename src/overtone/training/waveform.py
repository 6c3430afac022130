"""AudioUNet, TFiLM and AFiLM as families: their recipes, and their task of the training loop."""

import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from torch import Tensor, nn

from overtone.data.archive import PatchArchive
from overtone.data.prefetch import prefetch
from overtone.dsp.decimation import FILTER_EDGE
from overtone.dsp.level import LevelMeter
from overtone.errors import ConfigError, InvalidInputError
from overtone.inference.waveform import WaveformInfo
from overtone.metrics import kuleshov_lsd, kuleshov_snr_db, lsd
from overtone.models.afilm import AFiLMConfig
from overtone.models.audiounet import AudioUNetConfig
from overtone.models.tfilm import TFiLMConfig
from overtone.models.unet import UNetConfig
from overtone.settings import Settings, problems
from overtone.training.device import autocast, to_device
from overtone.training.losses import PatchLossConfig, patch_losses
from overtone.training.optimiser import OptimisedNetwork
from overtone.training.recipe import EpochsConfig, Recipe
from overtone.training.task import Log, ValidationResult
from overtone.training.world import World, mean_figures

Samples = NDArray[np.float32]
Pair = tuple[Samples, Samples]

VALIDATION_BATCH = 16
# Of archives, for checkpoints that do not say.
PATCH_SAMPLES = 8192
# The window of the log-spectral distance reaches so far over either end, by reflection.
LEAST_PATCH = 1024


class ArchivesConfig(Settings):
    """The two archives of patches that ``overtone prepare`` made, relative to the data root."""

    train: str
    validation: str


class WaveformRecipe(Recipe):
    """A network of the AudioUNet family, on archives of patches."""

    archives: ArchivesConfig
    # What the archives were made of, with its licence: travels into the model file.
    training_data: tuple[str, ...] = Field(min_length=1)
    model: UNetConfig
    loss: PatchLossConfig = PatchLossConfig()
    optimiser: EpochsConfig = EpochsConfig()

    def data(self) -> list[tuple[str, str]]:
        """Return the names and licences of ``training_data``, written ``name: licence``."""
        parts = (source.rpartition(": ") for source in self.training_data)
        return [(name, licence) if colon else (licence, "") for name, colon, licence in parts]

    def describe(self, progress: dict[str, Any], parameters: int) -> WaveformInfo:
        """Return what the model file says of itself, exported after ``progress``.

        Raises:
            ConfigError: the checkpoint does not say at which level its network was trained, or its
                patches are of a length that a recording cannot be cut into.
        """
        c = self.model
        nyquist_hz = c.sample_rate / 2 / c.scale
        if not progress.get("level_rms", 0) > 0:
            raise ConfigError("the checkpoint gives no level_rms above 0: train it again")
        patch_samples = progress.get("patch_samples", PATCH_SAMPLES)
        if patch_samples % (32 * c.scale):
            raise ConfigError(
                f"trained on patches of {patch_samples} samples, but recordings can only be cut"
                f" into multiples of {32 * c.scale}: prepare such (--dimension 8192), and train"
                " again"
            )
        return WaveformInfo(
            **self._about(progress, parameters, "patches"),
            sample_rate=c.sample_rate,
            scale=c.scale,
            patch_samples=patch_samples,
            multiple_samples=c.multiple_samples,
            min_cutoff_hz=FILTER_EDGE * nyquist_hz,
            max_cutoff_hz=nyquist_hz,
            level_rms=progress["level_rms"],
        )


class AudioUNetRecipe(WaveformRecipe):
    """AudioUNet (Kuleshov et al. 2017)."""

    network: Literal["audiounet"]
    model: AudioUNetConfig = AudioUNetConfig()


class TFiLMRecipe(WaveformRecipe):
    """The TFiLM U-Net (Birnbaum et al. 2019)."""

    network: Literal["tfilm"]
    model: TFiLMConfig = TFiLMConfig()


class AFiLMRecipe(WaveformRecipe):
    """The AFiLM U-Net (Rakotonirina 2021)."""

    network: Literal["afilm"]
    model: AFiLMConfig = AFiLMConfig()


# What tells the two archives of a corpus apart, in the published names and in those of `prepare`.
SPLIT_IN_NAME = re.compile(r"(?<![^\W_])(?P<split>train|val(?:id(?:ation)?)?)(?![^\W_])")


def recipe_for_archives(folder: Path) -> TFiLMRecipe:
    """Return the recipe of TFiLM's paper for the one pair of archives in ``folder``.

    The names differ only in ``train`` and ``val`` (``valid``, ``validation``), as
    ``vctk-speaker1-train.4.16000.8192.4096.h5`` and ``vctk-speaker1-val.4.16000.8192.4096.h5`` do.

    Raises:
        ConfigError: there is no such pair, there are several, or an archive is damaged.
    """
    pairs: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.h5")):
        if found := SPLIT_IN_NAME.search(path.name):
            rest = path.name[: found.start()] + "*" + path.name[found.end() :]
            pairs.setdefault(rest, {})[found["split"][:3]] = path
    whole = [pair for pair in pairs.values() if len(pair) == 2]
    if len(whole) != 1:
        names = ", ".join(path.name for pair in whole for path in pair.values())
        raise ConfigError(
            f"{folder}: holds {len(whole)} pairs of archives {f'({names}) ' if names else ''}named"
            " X-train.h5 and X-val.h5, and one is needed; give a recipe, or another --data-root"
        )
    ((rest, pair),) = ((rest, pair) for rest, pair in pairs.items() if len(pair) == 2)
    try:
        with PatchArchive(pair["tra"]) as archive:
            settings = archive.info.settings
    except InvalidInputError as error:
        raise ConfigError(str(error)) from error
    corpus = rest.partition("*")[0].strip("-_. ") or "archives"
    try:
        model = TFiLMConfig.model_validate(
            {"sample_rate": settings.sample_rate, "scale": settings.scale}
        )
    except ValidationError as error:
        raise ConfigError(f"{pair['tra']}: {problems(error)}") from error
    return TFiLMRecipe(
        name=f"tfilm-{corpus}-x{settings.scale}",
        description=f"TFiLM as in its paper, on {pair['tra'].name} and {pair['val'].name}",
        network="tfilm",
        archives=ArchivesConfig(train=pair["tra"].name, validation=pair["val"].name),
        training_data=(pair["tra"].name,),
        model=model,
    )


class WaveformTask:
    """Patches in an order drawn anew each epoch; validation on all patches of the other archive."""

    def __init__(
        self,
        recipe: WaveformRecipe,
        build: Callable[[], nn.Module],
        data_root: Path,
        *,
        cache: Path,  # noqa: ARG002 (archives are read as they lie)
        device: torch.device,
        compile_model: bool,
        world: World,
        log: Log,
    ) -> None:
        self.recipe, self.build, self.device, self.world = recipe, build, device, world
        self.train = open_archive(data_root / recipe.archives.train, recipe)
        self.validation = open_archive(data_root / recipe.archives.validation, recipe)
        self.model = build().to(device)
        self.run = torch.compile(self.model) if compile_model else self.model
        self.epoch_steps = -(-len(self.train) // recipe.optimiser.batch_size)
        self.steps = recipe.optimiser.epochs * self.epoch_steps
        self.trained = OptimisedNetwork(self.model, recipe.optimiser, self.steps, world=world)
        self.networks = [self.trained]
        low, high = _patches(self.validation, range(len(self.validation)))
        self.low, self.high = low, high
        self.baseline = patch_scores(high, low)
        self.metadata: dict[str, Any] = {
            "level_rms": _active_rms(high, recipe.model.sample_rate),
            "patch_samples": low.shape[1],
        }
        log(
            f"{len(self.train)} patches to train on, {len(self.validation)} to validate;"
            f" {self.epoch_steps} steps an epoch"
        )

    def examples(self, step: int) -> Generator[list[tuple[Pair, float]]]:
        """Yield this process's parts of the batches from ``step`` on, each ``low`` and ``high``."""
        return prefetch(self._parts, step)

    def _parts(self, step: int) -> list[tuple[Pair, float]]:
        epoch, place = divmod(step, self.epoch_steps)
        order = np.random.default_rng((self.recipe.seed, epoch)).permutation(len(self.train))
        size = self.recipe.optimiser.batch_size
        batch = order[place * size : (place + 1) * size]
        parts = self.world.parts(len(batch))
        return [(_patches(self.train, batch[list(at)].tolist()), share) for at, share in parts]

    def step(self, parts: list[tuple[Pair, float]], step: int) -> dict[str, float]:
        """Make a step of the network."""
        found = []
        for batch, share in self.world.in_turn(parts, self.recipe.seed, step):
            terms = self.losses(batch)
            self.trained.backward(terms["total"], share, step)
            found.append((terms, share))
        self.trained.step(step)
        return mean_figures(found)

    def losses(self, batch: Pair) -> dict[str, Tensor]:
        """Return the terms of :func:`~overtone.training.losses.patch_losses`."""
        low, high = to_device(self.device, *batch)
        with autocast(self.device, self.recipe.optimiser.bfloat16):
            detail = self.run(low)
        return patch_losses(detail.float(), high, self.recipe.loss)

    def validation_due(self, step: int, minutes: float) -> bool:  # noqa: ARG002
        """After every epoch."""
        return step % self.epoch_steps == 0

    def validate(self, weights: dict[str, Tensor]) -> ValidationResult:
        """Return means over the patches, for the baseline and the network; the score is the SNR."""
        evaluated = self.build().to(self.device)
        evaluated.load_state_dict(weights)
        found = patch_scores(self.high, restore(evaluated.eval(), self.low))
        gain = {name: found[name] - self.baseline[name] for name in found}
        rows = [
            {"label": label} | row
            for label, row in (("spline", self.baseline), (self.recipe.network, found))
        ]
        return ValidationResult([*rows, {"label": "gain"} | gain], found["kuleshov_snr_db"])


def open_archive(path: Path, recipe: WaveformRecipe) -> PatchArchive:
    """Return an archive that fits the recipe's network.

    Raises:
        ConfigError: no such archive, damaged, or made with another rate, scale or interpolation.
    """
    try:
        archive = PatchArchive(path)
    except InvalidInputError as error:
        raise ConfigError(str(error)) from error
    settings, model = archive.info.settings, recipe.model
    problems = [
        f"{name} {found}, the recipe's model {wanted}"
        for name, found, wanted in (
            ("sample_rate", settings.sample_rate, model.sample_rate),
            ("scale", settings.scale, model.scale),
        )
        if found != wanted
    ]
    if settings.whole_files:
        problems.append("whole files; training needs patches (--dimension 8192)")
    elif settings.dimension <= LEAST_PATCH:
        problems.append(
            f"patches of {settings.dimension} samples, too short for the log-spectral distance"
            " (--dimension 8192)"
        )
    elif settings.dimension % (32 * settings.scale):
        problems.append(
            f"patches of {settings.dimension} samples, no multiple of {32 * settings.scale}"
            " (--dimension 8192)"
        )
    if not settings.interpolate:
        problems.append("inputs that were not interpolated (--interpolate)")
    if not len(archive):
        problems.append("no patches")
    if problems:
        raise ConfigError(f"{path}: has {'; '.join(problems)}: prepare it again")
    return archive


def _patches(archive: PatchArchive, indices: Any) -> Pair:
    pairs = [archive[index] for index in indices]
    low, high = (np.stack(side) for side in zip(*pairs, strict=True))
    return low, high


@torch.no_grad()
def restore(model: nn.Module, low: Samples) -> Samples:
    """Run ``low [patches, samples]`` through a network in evaluation mode; same shape."""
    device = next(model.parameters()).device
    parts = [
        model(*to_device(device, low[start : start + VALIDATION_BATCH])).cpu().numpy()
        for start in range(0, len(low), VALIDATION_BATCH)
    ]
    return np.concatenate(parts)


def patch_scores(high: Samples, estimate: Samples) -> dict[str, float]:
    """Return the means over patches ``[patches, samples]``; those that are silent have no ratio."""
    scores = [
        (kuleshov_snr_db(y, x), kuleshov_lsd(y, x), lsd(y, x))
        for y, x in zip(high, estimate, strict=True)
    ]
    names = ("kuleshov_snr_db", "kuleshov_lsd", "lsd")
    means = np.nanmean(np.array(scores), axis=0)
    return {name: float(value) for name, value in zip(names, means, strict=True)}


def _active_rms(patches: Samples, sample_rate: int) -> float:
    """Return the level that the network meets, pauses aside."""
    meter = LevelMeter(sample_rate)
    meter.push(patches.reshape(1, -1))
    return meter.active_rms()
