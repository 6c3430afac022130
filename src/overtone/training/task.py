"""What the training loop asks of whatever is trained: the loop knows nothing else about it."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from overtone.training.optimiser import OptimisedNetwork

Log = Callable[[str], None]


@dataclass(frozen=True)
class ValidationResult:
    """Rows of named figures, each with a ``label``, and one score, higher better.

    The score is -inf where nothing could be measured that it is made of.
    """

    rows: list[dict[str, Any]]
    score: float


class TrainingTask(Protocol):
    """Networks with their optimisers, their examples, their losses and their evaluator."""

    steps: int
    # The first is the one whose EMA is validated and exported; there may be discriminators.
    networks: list[OptimisedNetwork]
    # What is known before training and travels with the checkpoint.
    metadata: dict[str, Any]

    def examples(self, step: int) -> Generator[Any]:
        """Yield this process's parts of the batches from ``step`` on, each with its share.

        A step's are the same, however often a run was cut.
        """

    def step(self, parts: Any, step: int) -> dict[str, float]:
        """Make one optimisation step of every network that is due; returns figures for the log.

        They are sums over the parts, by their shares.
        """

    def validation_due(self, step: int, minutes: float) -> bool:
        """Return whether to validate after ``step``, ``minutes`` after the last time."""

    def validate(self, weights: dict[str, Tensor]) -> ValidationResult:
        """Evaluate a set of weights on what was held out."""
