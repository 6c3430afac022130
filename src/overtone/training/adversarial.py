"""The adversary of an extender: discriminators, and what both sides minimise.

Hinge losses and the matching of features as SoundStream has them (Zeghidour et al. 2021), counted
over the places that lie in each item's predicted band. The discriminators train with the network
and are left behind with it: they live in what a resume needs, never in the exported weights.
"""

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from overtone.models.discriminators import (
    DiscriminatorConfig,
    DiscriminatorOutput,
    SpectrogramDiscriminators,
)
from overtone.training.device import autocast


class AdversarialConfig(DiscriminatorConfig):
    """A recipe's table ``[adversarial]``: the discriminators, and what weight they have."""

    # Of the hinge loss and of the distance of features in the network's total.
    hinge_weight: float = Field(default=0.1, ge=0)
    features_weight: float = Field(default=1.0, ge=0)
    # Of the discriminators; it warms up and falls as the network's does.
    learning_rate: float = Field(default=3e-4, gt=0)
    gradient_clip: float = Field(default=1.0, gt=0)
    # The first step with an adversary; before it, training is plain regression.
    start_step: int = Field(default=0, ge=0)
    # Over so many steps the weights rise from 0.
    ramp_steps: int = Field(default=0, ge=0)
    # How many of a batch's items the discriminators see; None is all.
    items: int | None = Field(default=None, gt=0)
    # The discriminators learn once in so many steps.
    every_steps: int = Field(default=1, gt=0)


class DiscriminatorBatch(NamedTuple):
    """What discriminators are to tell apart.

    ``real`` and ``fake``: ``[batch, samples]``; ``level [batch]``, mean square of the degraded
    recording; ``cutoff_hz`` and ``bandwidth_hz``: ``[batch]``, Hz.
    """

    real: Tensor
    fake: Tensor
    level: Tensor
    cutoff_hz: Tensor
    bandwidth_hz: Tensor


class Adversary:
    """The discriminators with both sides' losses.

    Both come from one batch, the network's first, which costs no second pass through the network.
    """

    def __init__(self, config: AdversarialConfig, sample_rate: int, *, bfloat16: bool) -> None:
        self.config, self.bfloat16 = config, bfloat16
        self.network = SpectrogramDiscriminators(config, sample_rate)

    def due(self, step: int) -> bool:
        """Return whether the discriminators learn at ``step``."""
        return (step - self.config.start_step) % self.config.every_steps == 0

    def weight(self, step: int) -> float:
        """Return what part of their weights the network's terms have at ``step``."""
        done = step - self.config.start_step
        return min(1.0, done / self.config.ramp_steps) if self.config.ramp_steps else 1.0

    def generator_loss(self, batch: DiscriminatorBatch) -> dict[str, Tensor]:
        """Return the network's terms: ``adversarial`` (hinge) and ``features``; both scalars."""
        # Only the network learns from these: the discriminators' own gradients would be waste.
        self.network.requires_grad_(False)
        with torch.no_grad():
            real = self._outputs(batch, batch.real)
        fake = self._outputs(batch, batch.fake)
        self.network.requires_grad_(True)
        return {"adversarial": generator_hinge(fake), "features": feature_distance(real, fake)}

    def discriminator_loss(self, batch: DiscriminatorBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what the discriminators minimise, and figures for the log.

        ``accuracy_real`` and ``accuracy_fake`` are the parts of the places classified rightly:
        both at 0.5 the discriminators know nothing, both at 1 they teach little.
        """
        real = self._outputs(batch, batch.real)
        fake = self._outputs(batch, batch.fake.detach())
        loss = discriminator_hinge(real, fake)
        with torch.no_grad():
            figures = {
                "discriminator": loss.detach(),
                "accuracy_real": _mean([((o.scores > 0).float(), o.inside) for o in real]),
                "accuracy_fake": _mean([((o.scores <= 0).float(), o.inside) for o in fake]),
            }
        return loss, figures

    def _outputs(self, batch: DiscriminatorBatch, signal: Tensor) -> list[DiscriminatorOutput]:
        with autocast(signal.device, self.bfloat16):
            outputs: list[DiscriminatorOutput] = self.network(
                signal, batch.level, batch.cutoff_hz, batch.bandwidth_hz
            )
        return outputs


def discriminator_hinge(real: list[DiscriminatorOutput], fake: list[DiscriminatorOutput]) -> Tensor:
    """Return the mean of ``max(0, 1 - score)`` of real and ``max(0, 1 + score)`` of fake."""
    wanted = _mean([((1 - o.scores.float()).relu(), o.inside) for o in real])
    unwanted = _mean([((1 + o.scores.float()).relu(), o.inside) for o in fake])
    return wanted + unwanted


def generator_hinge(fake: list[DiscriminatorOutput]) -> Tensor:
    """Return the mean of ``max(0, 1 - score)`` of fake: what passes for real gives no gradient."""
    return _mean([((1 - o.scores.float()).relu(), o.inside) for o in fake])


def feature_distance(real: list[DiscriminatorOutput], fake: list[DiscriminatorOutput]) -> Tensor:
    """Return the mean absolute difference of each layer's features, relative to their mean size."""
    distances = []
    for r, f in zip(real, fake, strict=True):
        for wanted, found, inside in zip(r.features, f.features, r.features_inside, strict=True):
            wanted = wanted.detach().float()
            size = _mean([(wanted.abs().mean(1), inside)])
            difference = _mean([((found.float() - wanted).abs().mean(1), inside)])
            distances.append(difference / (size + 1e-6))
    return torch.stack(distances).mean()


def _mean(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the mean over discriminators of that over items of that over places inside.

    Each part is ``[batch, frames, bins]`` and its ``inside [batch, bins]``. Items count alike,
    however wide their bands; one with no place at all does not count.
    """
    means = []
    for values, inside in parts:
        places = inside.sum(1)
        items = (values.mean(1) * inside).sum(1) / places.clamp_min(1)
        means.append(items.sum() / (places > 0).sum().clamp_min(1))
    return torch.stack(means).mean()
