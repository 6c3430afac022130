"""The spectral extender as a family: its recipe, and its task of the training loop."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from overtone.data.corpora import Corpus, SampleStore
from overtone.data.crops import Batch, CropSampler
from overtone.data.prefetch import prefetch
from overtone.degrade.augment import DegradeConfig
from overtone.inference.spectral import SpectralInfo
from overtone.models.extender import ExtenderConfig, Prediction, SpectralExtender
from overtone.models.stft import frames, overlap_add
from overtone.training.adversarial import AdversarialConfig, Adversary, DiscriminatorBatch
from overtone.training.device import autocast, to_device
from overtone.training.excitation import CONSTANTS
from overtone.training.losses import (
    BAND_WINDOW,
    LossConfig,
    band_power_distance,
    band_weight,
    fidelity_distance,
    signal_distance,
    spectral_distances,
)
from overtone.training.optimiser import OptimisedNetwork
from overtone.training.recipe import OptimiserConfig, Recipe, StepsConfig
from overtone.training.task import Log, ValidationResult
from overtone.training.validate import VALIDATED_PART, ValidationConfig, runtime_model, validate
from overtone.training.world import World, mean_figures


class SpectralRecipe(Recipe):
    """The spectral extender, on crops of whole corpora that are degraded at random."""

    network: Literal["extender"] = "extender"
    corpora: list[Corpus] = Field(min_length=1)
    model: ExtenderConfig = ExtenderConfig()
    degrade: DegradeConfig = DegradeConfig()
    loss: LossConfig = LossConfig()
    # Shares of the excitations that the model file's runtime gives the predicted envelope to.
    texture: dict[str, float] = Field(default_factory=dict)
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
            if self.degrade.highest_cutoff_hz(bandwidth_hz) < self.degrade.min_cutoff_hz:
                raise ValueError(
                    f"corpora: {corpus.name!r} ends at {whole_hz:g} Hz, some of its examples at"
                    f" {bandwidth_hz:g} Hz, which leaves nothing above"
                    f" degrade.min_cutoff_hz {self.degrade.min_cutoff_hz:g} to predict"
                )
        widest_hz = max(corpus.bandwidth_hz for corpus in self.corpora)
        reach_hz = VALIDATED_PART * min(widest_hz, self.model.sample_rate / 2)
        reach_hz = min(reach_hz, self.model.max_cutoff_hz)
        if min(self.validation.cutoffs_hz, default=0) > reach_hz:
            raise ValueError(
                f"validation.cutoffs_hz: one must be at most {reach_hz:g}, or nothing is measured"
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

    def data(self) -> list[tuple[str, str]]:
        """Return the corpora's names and licences."""
        return [(corpus.name, corpus.license) for corpus in self.corpora]

    def describe(self, progress: dict[str, Any], parameters: int) -> SpectralInfo:
        """Return what the model file says of itself, exported after ``progress``."""
        about = self._about_frames(progress, parameters)
        return SpectralInfo(**about, has_fidelity=True, texture=self.texture, excitation=CONSTANTS)

    def _about_frames(self, progress: dict[str, Any], parameters: int) -> dict[str, Any]:
        """Return what :meth:`describe` says of every model of frames."""
        c, degrade = self.model, self.degrade
        return {
            **self._about(progress, parameters, "crops"),
            "sample_rate": c.sample_rate,
            "window_samples": c.window_samples,
            "hop_samples": c.hop_samples,
            "lookahead_frames": c.lookahead_frames,
            "min_cutoff_hz": degrade.min_cutoff_hz,
            "max_cutoff_hz": degrade.max_cutoff_hz,
            "level_rms": degrade.level_rms,
        }


class SpectralTask:
    """Crops of the corpora, degraded at random; held-out clips low-passed at fixed cutoffs."""

    def __init__(
        self,
        recipe: SpectralRecipe,
        build: Callable[[], SpectralExtender],
        data_root: Path,
        *,
        cache: Path,
        device: torch.device,
        compile_model: bool,
        world: World,
        log: Log,
    ) -> None:
        self.recipe, self.build, self.device, self.world = recipe, build, device, world
        c, o = recipe.model, recipe.optimiser
        self.store = SampleStore.build(cache, recipe.corpora, data_root, c.sample_rate, log)
        self.sampler = CropSampler(
            self.store,
            recipe.corpora,
            recipe.degrade,
            sample_rate=c.sample_rate,
            crop_samples=c.window_samples + (o.crop_frames - 1) * c.hop_samples,
            seed=recipe.seed,
        )
        self.model = build().to(device)
        entry = self.entry()
        self.predict = torch.compile(entry) if compile_model else entry
        self.steps = o.steps
        self.extender = OptimisedNetwork(self.model, o, o.steps, world=world)
        self.networks = [self.extender]
        self.metadata: dict[str, Any] = {}
        self.adversary: Adversary | None = None
        if recipe.adversarial and recipe.adversarial.start_step >= o.steps:
            log(
                f"no discriminators: they would begin at step {recipe.adversarial.start_step} of"
                f" {o.steps}"
            )
        elif recipe.adversarial:
            self.adversary = Adversary(recipe.adversarial, c.sample_rate, bfloat16=o.bfloat16)
            self.adversary.network.to(device)
            self.discriminators = discriminator_optimiser(self.adversary, o, world)
            self.networks.append(self.discriminators)

    def entry(self) -> Callable[..., Any]:
        """Return what of the network training calls, and compiles."""
        return self.model.predict

    def losses(
        self,
        batch: Batch,
        step: int,  # noqa: ARG002
        adversary: Adversary | None,
    ) -> tuple[dict[str, Tensor], DiscriminatorBatch]:
        """Return all loss terms, and what discriminators are to tell apart."""
        return losses(self.model, self.predict, batch, self.recipe, adversary)

    def score(self, rows: list[dict[str, float]]) -> float:
        """Return what picks the best checkpoint: the mean LSD, negative."""
        return -sum(row["lsd"] for row in rows) / max(1, len(rows))

    def examples(self, step: int) -> Generator[list[tuple[Batch, float]]]:
        """Yield this process's parts of the batches from ``step`` on."""
        return prefetch(self._parts, step)

    def _parts(self, step: int) -> list[tuple[Batch, float]]:
        parts = self.world.parts(self.recipe.optimiser.batch_size)
        return [(self.sampler.batch(step, places), share) for places, share in parts]

    def step(self, parts: list[tuple[Batch, float]], step: int) -> dict[str, float]:
        """Make a step of the extender, then one of the discriminators where there are some."""
        adversary = self.adversary
        if adversary and step < adversary.config.start_step:
            adversary = None
        found, pairs = [], []
        for batch, share in self.world.in_turn(parts, self.recipe.seed, step):
            terms, pair = self.losses(batch, step, adversary)
            self.extender.backward(terms["total"], share, step)
            found.append((terms, share))
            pairs.append((pair, share))
        self.extender.step(step)
        if adversary and adversary.due(step):
            for pair, share in pairs:
                loss, figures = adversary.discriminator_loss(pair)
                self.discriminators.backward(loss, share, step)
                found.append((figures, share))
            self.discriminators.step(step)
        return mean_figures(found)

    def validation_due(self, step: int, minutes: float) -> bool:  # noqa: ARG002
        """By the clock."""
        return minutes > self.recipe.validation.every_minutes

    def validate(self, weights: dict[str, Tensor]) -> ValidationResult:
        """Return a row for each cutoff, and the :meth:`score`."""
        evaluated = self.build().to(self.device)
        evaluated.load_state_dict(weights)
        r = self.recipe
        model = runtime_model(evaluated.eval(), r.describe({"step": 0, "seconds": 0.0}, 0))
        rows = validate(model, self.store, r.corpora, r.validation, r.degrade.level_rms)
        labelled = [
            {"label": f"{row['cutoff_hz']:.0f}Hz"}
            | {name: value for name, value in row.items() if name != "cutoff_hz"}
            for row in rows
        ]
        return ValidationResult(labelled, self.score(rows))


def discriminator_optimiser(
    adversary: Adversary, optimiser: StepsConfig, world: World
) -> OptimisedNetwork:
    """Return the discriminators with the optimiser of the network, but their own rate and clip."""
    own = adversary.config
    settings: OptimiserConfig = optimiser.model_copy(
        update={
            "learning_rate": own.learning_rate,
            "gradient_clip": own.gradient_clip,
            "weight_decay": 0.0,
        }
    )
    return OptimisedNetwork(
        adversary.network,
        settings,
        optimiser.steps,
        prefix="discriminators.",
        table="adversarial",
        world=world,
    )


def losses(
    model: SpectralExtender,
    predict: Callable[..., Any],
    batch: Batch,
    recipe: SpectralRecipe,
    adversary: Adversary | None = None,
) -> tuple[dict[str, Tensor], DiscriminatorBatch]:
    """Return all loss terms of one batch, and what discriminators are to tell apart.

    ``total`` is what is minimised; an ``adversary`` adds its terms.
    """
    c, weights = recipe.model, recipe.loss
    window, hop, lookahead = c.window_samples, c.hop_samples, c.lookahead_frames
    device = model.frequencies_hz.device
    clean, low, cutoff, bandwidth = to_device(
        device, batch.clean, batch.low, batch.cutoff_hz, batch.bandwidth_hz
    )
    target, observed = frames(clean, window, hop), frames(low, window, hop)
    spectrum = torch.view_as_real(observed)
    ahead = torch.nn.functional.pad(spectrum, (0, 0, 0, 0, 0, lookahead))
    context = model.initial_state(len(clean)).context
    with autocast(device, recipe.optimiser.bfloat16):
        found: Prediction = predict(ahead, cutoff, context)
    log_magnitude, real, imaginary, coherence = (head[:, lookahead:] for head in found[:4])
    weight = band_weight(c.bins, c.sample_rate, cutoff, bandwidth, weights.pivot_hz)
    phase = torch.stack([real, imaginary], dim=-1)
    log_term, compressed_term = spectral_distances(log_magnitude, phase, target, weight)
    prediction = torch.view_as_complex(log_magnitude.exp().unsqueeze(-1) * phase)
    residual = model.crossover(cutoff)[:, None] * (prediction - observed)
    # The first and last frames overlap with nothing; the signal counts between them.
    estimate = low + overlap_add(residual, window, hop)
    inner = slice(window - hop, low.shape[-1] - (window - hop))
    fake, real_signal = estimate[:, inner], clean[:, inner]
    band = c.sample_rate, cutoff, bandwidth, weights
    terms = {
        "log_magnitude": log_term,
        "compressed": compressed_term,
        "signal": signal_distance(fake, real_signal, *band),
        "fidelity": fidelity_distance(prediction, coherence, target, weight),
    }
    if weights.band_power:
        terms["band_power"] = band_power_distance(fake, real_signal, *band)
    total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
    level = low.square().mean(1)
    pair = DiscriminatorBatch(real_signal, fake.detach(), level, cutoff, bandwidth)
    if adversary:
        adversarial = adversary.generator_loss(pair._replace(fake=fake))
        own = adversary.config
        total = total + own.hinge_weight * adversarial["adversarial"]
        total = total + own.features_weight * adversarial["features"]
        terms |= adversarial
    return {"total": total, **terms}, pair
