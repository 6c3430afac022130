"""What the training loop asks of whatever is trained: the loop knows nothing else about it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Log = Callable[[str], None]


@dataclass(frozen=True)
class Verdict:
    """A validation: rows of named figures, each with a ``label``, and one score, higher better."""

    rows: list[dict[str, Any]]
    score: float


class Task(Protocol):
    """A network with its examples, its losses and its judge."""

    steps: int
    # What is known before training and travels with the checkpoint.
    facts: dict[str, Any]

    @property
    def model(self) -> nn.Module:
        """The network that is trained."""

    def examples(self, step: int) -> Generator[Any]:
        """Batches from ``step`` on; the same for the same step, however often a run was cut."""

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """All terms of one batch; ``total`` is what is minimised."""

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
