"""What the training loop asks of whatever is trained: the loop knows nothing else about it.

A task has *players*, networks each with an optimiser of its own, and every step gives them their
*turns*. Mostly there is one player, the network itself; an adversary is a second one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from overtone.training.recipe import OptimiserConfig

Log = Callable[[str], None]


@dataclass(frozen=True)
class Verdict:
    """A validation: rows of named figures, each with a ``label``, and one score, higher better."""

    rows: list[dict[str, Any]]
    score: float


class Player:
    """A network with its optimiser.

    ``prefix`` tells its tensors from another player's in what a resume needs; ``table`` is where
    a recipe has its learning rate.
    """

    def __init__(
        self, network: nn.Module, settings: OptimiserConfig, *, prefix: str, table: str
    ) -> None:
        self.network, self.settings, self.prefix, self.table = network, settings, prefix, table
        self.optimiser = torch.optim.AdamW(
            network.parameters(),
            settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )

    @classmethod
    def trained(cls, model: nn.Module, settings: OptimiserConfig) -> Player:
        """The player whose weights are averaged, judged and exported."""
        return cls(model, settings, prefix="", table="optimiser")

    def descend(self, loss: Tensor, learning_rate: float) -> None:
        """One step down ``loss``.

        Raises:
            FloatingPointError: the loss or its gradient is not finite; the weights are as before.
        """
        _require_finite(loss, "loss")
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_clip)
        _require_finite(norm, "gradient")
        self.optimiser.step()


def _require_finite(value: Tensor, what: str) -> None:
    if not torch.isfinite(value):
        raise FloatingPointError(what)


class Turn(NamedTuple):
    """What a player descends, and the figures for the log."""

    player: Player
    loss: Tensor
    figures: dict[str, Tensor]


class Task(Protocol):
    """Players with their examples, their losses and their judge."""

    steps: int
    # The first is the network that is averaged, judged and exported.
    players: list[Player]
    # What is known before training and travels with the checkpoint.
    facts: dict[str, Any]

    @property
    def model(self) -> nn.Module:
        """The network that is trained."""

    def examples(self, step: int) -> Generator[Any]:
        """Batches from ``step`` on; the same for the same step, however often a run was cut."""

    def turns(self, batch: Any, step: int) -> Iterator[Turn]:
        """The players' turns on a batch; each has made its step before the next is asked for."""

    def validation_due(self, step: int, minutes: float) -> bool:
        """Whether to validate after ``step``, ``minutes`` after the last time."""

    def validate(self, weights: dict[str, Tensor]) -> Verdict:
        """Judge a set of weights on what was held out."""


@cache
def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; where it only emulates that, float32 is faster.

    Older versions of torch cannot tell, and then the answer is no.
    """
    tell: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    found = tell()
    return any(bool(found.get(name)) for name in ("avx512_bf16", "amx_bf16"))
