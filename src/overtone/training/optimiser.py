"""One step of optimisation: AdamW, its learning rate by the step, and the EMA of the weights."""

import math
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from overtone.errors import ConfigError
from overtone.training.device import gradient_scaler
from overtone.training.recipe import OptimiserConfig
from overtone.training.world import World


class OptimisedNetwork:
    """A network with its optimiser, which makes ``steps`` steps in all.

    A step is :meth:`backward` for each part of the batch, then :meth:`step`. ``prefix`` tells its
    tensors from another network's in what a resume needs; ``table`` is where a recipe has its
    learning rate.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: OptimiserConfig,
        steps: int,
        *,
        prefix: str = "",
        table: str = "optimiser",
        world: World | None = None,
    ) -> None:
        self.network, self.settings, self.steps = network, settings, steps
        self.world = world or World()
        self.prefix, self.table = prefix, table
        self.optimiser = torch.optim.AdamW(
            network.parameters(),
            settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        device = next(network.parameters()).device
        self.scaler = gradient_scaler(device, settings.bfloat16)
        self._trained = [p for p in network.parameters() if p.requires_grad]
        self._sum: Tensor | None = None

    def backward(self, loss: Tensor, share: float, step: int) -> None:
        """Add the gradient of ``loss``, the mean over that ``share`` of the batch of ``step``.

        Raises:
            ConfigError: the loss is not finite.
        """
        self._require_finite(loss, "loss", step)
        self.scaler.scale(share * loss).backward()
        if self.world.size * self.world.accumulate > 1:
            self._add_gradients()

    def _add_gradients(self) -> None:
        """Move the gradients to the sum of all parts, of float64 on a CPU: order is no matter."""
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in self._trained]
        )
        flat = flat.double() if flat.device.type == "cpu" else flat
        self._sum = flat if self._sum is None else self._sum.add_(flat)
        self.optimiser.zero_grad(set_to_none=True)

    def _share_gradients(self) -> None:
        """Give every process the gradients that all have added up."""
        if self._sum is None:
            return
        total, self._sum = self.world.sum(self._sum), None
        sizes = [p.numel() for p in self._trained]
        for parameter, part in zip(self._trained, torch.split(total, sizes), strict=True):
            parameter.grad = part.view_as(parameter).to(parameter.dtype)

    def step(self, step: int) -> None:
        """Make step number ``step`` down the gradient that all processes have added up.

        Raises:
            ConfigError: the gradient is not finite; the weights are as before, so that a checkpoint
                never holds NaN.
        """
        self._share_gradients()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(step, self.steps, self.settings)
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_clip)
        if not self.scaler.is_enabled():  # float16 overflows at times; the scaler leaves steps out
            self._require_finite(norm, "gradient", step)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)

    def snapshot(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a copy of the network and its optimiser, for :meth:`restore`."""
        return deepcopy(self.network.state_dict()), deepcopy(self.optimiser.state_dict())

    def restore(self, snapshot: tuple[dict[str, Any], dict[str, Any]]) -> None:
        """Put back what :meth:`snapshot` returned."""
        self.network.load_state_dict(snapshot[0])
        self.optimiser.load_state_dict(snapshot[1])
        self._sum = None
        self.optimiser.zero_grad(set_to_none=True)

    def _require_finite(self, value: Tensor, what: str, step: int) -> None:
        if not torch.isfinite(value):
            raise ConfigError(
                f"the {what} is not finite at step {step}; lower {self.table}.learning_rate and"
                " resume from the last checkpoint"
            )


def learning_rate(step: int, steps: int, optimiser: OptimiserConfig) -> float:
    """Return the rate of a step: linear warm-up, constant, cosine decay to zero."""
    o = optimiser
    warm = min(1.0, (step + 1) / max(1, o.warmup_steps))
    if not o.decay_fraction:
        return o.learning_rate * warm
    left = min(1.0, max(0.0, (steps - step) / max(1.0, steps * o.decay_fraction)))
    return o.learning_rate * warm * 0.5 * (1 - math.cos(math.pi * left))


def update_ema(ema: dict[str, Tensor], network: nn.Module, step: int, decay: float) -> None:
    """Move the exponential moving average one step; a young one moves faster."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                ema[name].lerp_(value, 1 - decay)
            else:  # a count, such as batch normalisation keeps
                ema[name].copy_(value)
