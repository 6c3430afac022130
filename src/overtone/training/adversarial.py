"""The adversary of the spectral extender: discriminators, and what both sides minimise.

Hinge losses and the matching of features as SoundStream has them (Zeghidour et al. 2021), counted
over the places that lie in each item's predicted band. The discriminators train with the network
and are left behind with it: they live in what a resume needs, never in the exported weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from overtone.models.discriminators import (
    DiscriminatorConfig,
    Judgement,
    SpectrogramDiscriminators,
)


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
    # The discriminators learn once in so many steps.
    every_steps: int = Field(default=1, gt=0)


class Scene(NamedTuple):
    """A batch as the discriminators are shown it.

    ``real`` and ``made``: ``[batch, samples]``; ``level [batch]``, mean square of the degraded
    recording; ``cutoff_hz`` and ``bandwidth_hz``: ``[batch]``, Hz.
    """

    real: Tensor
    made: Tensor
    level: Tensor
    cutoff_hz: Tensor
    bandwidth_hz: Tensor


class Adversary:
    """The discriminators and the scene that they were shown last.

    The network's turn comes first (:meth:`oppose`); the discriminators then learn from the same
    scene (:meth:`learn`), which costs no second pass through the network.
    """

    def __init__(self, config: AdversarialConfig, sample_rate: int, *, bfloat16: bool) -> None:
        self.config, self.bfloat16 = config, bfloat16
        self.network = SpectrogramDiscriminators(config, sample_rate)
        self.scene: Scene | None = None

    def due(self, step: int) -> bool:
        """Whether the discriminators learn at ``step``."""
        return (step - self.config.start_step) % self.config.every_steps == 0

    def oppose(self, scene: Scene) -> dict[str, Tensor]:
        """The network's terms: ``adversarial`` (hinge) and ``features``; both scalars."""
        self.scene = scene._replace(made=scene.made.detach())
        # Only the network learns from these: the discriminators' own gradients would be waste.
        self.network.requires_grad_(False)
        with torch.no_grad():
            real = self._judge(scene, scene.real)
        made = self._judge(scene, scene.made)
        self.network.requires_grad_(True)
        return {"adversarial": generator_hinge(made), "features": feature_distance(real, made)}

    def learn(self) -> tuple[Tensor, dict[str, Tensor]]:
        """What the discriminators minimise over the last scene, and figures for the log.

        ``accuracy_real`` and ``accuracy_made`` are shares of the places that are judged rightly:
        both at 0.5 the discriminators know nothing, both at 1 they teach little.
        """
        if self.scene is None:
            raise RuntimeError("the discriminators were shown nothing; call oppose first")
        real = self._judge(self.scene, self.scene.real)
        made = self._judge(self.scene, self.scene.made)
        loss = discriminator_hinge(real, made)
        with torch.no_grad():
            figures = {
                "discriminator": loss.detach(),
                "accuracy_real": _mean([((j.scores > 0).float(), j.inside) for j in real]),
                "accuracy_made": _mean([((j.scores <= 0).float(), j.inside) for j in made]),
            }
        return loss, figures

    def _judge(self, scene: Scene, signal: Tensor) -> list[Judgement]:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            found: list[Judgement] = self.network(
                signal, scene.level, scene.cutoff_hz, scene.bandwidth_hz
            )
        return found


def discriminator_hinge(real: list[Judgement], made: list[Judgement]) -> Tensor:
    """Mean of ``max(0, 1 - score)`` of the real and ``max(0, 1 + score)`` of the made top."""
    wanted = _mean([((1 - j.scores.float()).relu(), j.inside) for j in real])
    unwanted = _mean([((1 + j.scores.float()).relu(), j.inside) for j in made])
    return wanted + unwanted


def generator_hinge(made: list[Judgement]) -> Tensor:
    """Mean of ``max(0, 1 - score)`` of the made top: what passes for real gives no gradient."""
    return _mean([((1 - j.scores.float()).relu(), j.inside) for j in made])


def feature_distance(real: list[Judgement], made: list[Judgement]) -> Tensor:
    """Mean absolute difference of each layer's features, relative to their mean size."""
    distances = []
    for r, m in zip(real, made, strict=True):
        for wanted, found, inside in zip(r.features, m.features, r.features_inside, strict=True):
            wanted = wanted.detach().float()
            size = _mean([(wanted.abs().mean(1), inside)])
            difference = _mean([((found.float() - wanted).abs().mean(1), inside)])
            distances.append(difference / (size + 1e-6))
    return torch.stack(distances).mean()


def _mean(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Mean over the discriminators of the mean over the items of the mean over the places inside.

    Each part is ``[batch, frames, bins]`` and its ``inside [batch, bins]``. Items count alike,
    however wide their bands; one with no place at all does not count.
    """
    means = []
    for values, inside in parts:
        places = inside.sum(1)
        items = (values.mean(1) * inside).sum(1) / places.clamp_min(1)
        means.append(items.sum() / (places > 0).sum().clamp_min(1))
    return torch.stack(means).mean()
