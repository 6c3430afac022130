"""The training loop; reads from top to bottom, and knows nothing of what it trains.

Every few minutes it saves a checkpoint, and on SIGINT or SIGTERM it saves one and stops, so a
run can be cut anywhere and resumed exactly: examples and dropout are drawn from the seed and the
step number, and the learning rate follows the step. ``last`` is where a run goes on from, ``best``
what scored highest in validation. What is trained may be several networks that take turns
(:class:`~overtone.training.task.Task`); the first is the one whose weights are kept.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from overtone.errors import ConfigError
from overtone.training.checkpoint import (
    load_resume,
    load_start,
    recover,
    save_checkpoint,
    save_weights,
)
from overtone.training.recipe import OptimiserConfig, Recipe
from overtone.training.task import Log, Task, Turn
from overtone.training.tasks import make_task

# Steps between two lines of the log.
REPORT_STEPS = 50


def learning_rate(step: int, steps: int, optimiser: OptimiserConfig) -> float:
    """Linear warm-up, constant, cosine cool-down to zero."""
    o = optimiser
    warm = min(1.0, (step + 1) / max(1, o.warmup_steps))
    if not o.cooldown_share:
        return o.learning_rate * warm
    left = min(1.0, max(0.0, (steps - step) / max(1.0, steps * o.cooldown_share)))
    return o.learning_rate * warm * 0.5 * (1 - math.cos(math.pi * left))


@contextmanager
def stop_requested() -> Iterator[list[bool]]:
    """A list that becomes non-empty when the process is asked to stop."""
    asked: list[bool] = []
    previous = {
        number: signal.signal(number, lambda *_: asked.append(True))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def average_into(average: dict[str, Tensor], model: nn.Module, step: int, decay: float) -> None:
    """Move the exponential moving average one step; young averages move faster."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, 1 - decay)
            else:  # a count, such as batch normalisation keeps
                average[name].copy_(value)


def train(
    recipe: Recipe,
    data_root: Path,
    folder: Path,
    *,
    cache: Path,
    resume: bool = False,
    warm_start: Path | None = None,
    compile_model: bool = True,
    checkpoint_minutes: float = 4.0,
    log: Log = print,
) -> Path:
    """Train; returns the folder of the last checkpoint.

    Args:
        recipe: what to train, on what.
        data_root: the folder that the recipe's corpora or archives lie in.
        folder: where checkpoints, ``log.jsonl`` and tensorboard events go.
        cache: where decoded samples are kept between runs.
        resume: go on from ``folder``'s last checkpoint.
        warm_start: begin from the averaged weights of this checkpoint of another run.
        compile_model: ``torch.compile`` the network.

    Raises:
        ConfigError: a corpus or archive is missing or does not fit, or the run exists and
            ``resume`` is not set, or the checkpoint does not fit, or ``folder`` or ``cache``
            cannot be written, or the loss stops being finite.
    """
    last = folder / "last"
    if resume and warm_start:
        raise ConfigError("--warm-start begins a new run; leave it out to --resume one")
    recover(last)
    if last.exists() and not resume:
        raise ConfigError(f"{folder}: holds a run already; add --resume, or give another --out")
    # Before recordings are decoded, which may take minutes.
    start = load_start(warm_start, recipe) if warm_start else None
    torch.manual_seed(recipe.seed)
    task = make_task(recipe, data_root, cache=cache, compile_model=compile_model, log=log)
    model = task.players[0].network
    progress: dict[str, Any] = {"step": 0, "seconds": 0.0}
    if start:
        weights, progress["warm_start"] = start
        model.load_state_dict(weights)
    average = {name: value.clone() for name, value in model.state_dict().items()}
    if resume:
        average, progress = load_resume(last, recipe, task.players)
    with _claimed(folder) as lines, stop_requested() as stopping:
        _Run(recipe, task, folder, average, progress, lines, log).loop(stopping, checkpoint_minutes)
    return last


@contextmanager
def _claimed(folder: Path) -> Iterator[TextIO]:
    """The log of a run in ``folder``, which is this process's alone until it ends."""
    with ExitStack() as held:
        # Around the claim alone: what goes wrong in the run is not the folder's fault.
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder / "lock", timeout=0))
            lines = held.enter_context((folder / "log.jsonl").open("a"))
        except Timeout as error:
            raise ConfigError(
                f"{folder}: another process is training there; wait for it, or give another --out"
            ) from error
        except OSError as error:
            raise ConfigError(
                f"{folder}: cannot write the run there ({error.strerror}); give another --out"
            ) from error
        yield lines


class _Run:
    """What one process keeps while it trains: clocks, logs, the averaged weights."""

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        folder: Path,
        average: dict[str, Tensor],
        progress: dict[str, Any],
        lines: TextIO,
        log: Log,
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.recipe, self.task, self.folder = recipe, task, folder
        self.average = average
        self.step: int = progress["step"]
        self.seconds: float = progress["seconds"]
        # Of this machine's cores, whatever else they do meanwhile.
        self.core_seconds: float = progress.get("core_seconds", 0.0)
        self.best: float = progress.get("best", -math.inf)
        self.origin = {name: progress[name] for name in ("warm_start",) if name in progress}
        self.lines, self.log = lines, log
        self.board = SummaryWriter(str(folder / "tensorboard"))

    def loop(self, stopping: list[bool], checkpoint_minutes: float) -> None:
        steps = self.task.steps
        begun = time.monotonic() - self.seconds
        begun_core = time.process_time() - self.core_seconds
        saved = validated = self.seconds
        figures: defaultdict[str, list[float]] = defaultdict(list)
        unreported = 0
        with closing(self.task.examples(self.step)) as examples:
            while self.step < steps and not stopping:
                # Dropout depends on the step alone, so that a resumed run draws what it would have.
                torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)
                for turn in self.task.turns(next(examples), self.step):
                    self._descend(turn)
                    for name, value in turn.figures.items():
                        figures[name].append(value.item())
                self._average()
                self.step += 1
                self.seconds = time.monotonic() - begun
                self.core_seconds = time.process_time() - begun_core
                unreported += 1
                if unreported == REPORT_STEPS or self.step == steps:
                    self._report({k: sum(v) / len(v) for k, v in figures.items()})
                    figures.clear()
                    unreported = 0
                due = self.task.validation_due(self.step, (self.seconds - validated) / 60)
                if due and self.step < steps:
                    self._validate()
                    validated = self.seconds
                if self.seconds - saved > 60 * checkpoint_minutes:
                    self._save()
                    saved = self.seconds
        if not stopping:
            self._validate()
        self._save()
        self.board.close()
        self.log(f"stopped at step {self.step} of {steps}; checkpoint in {self.folder / 'last'}")

    def _descend(self, turn: Turn) -> None:
        player = turn.player
        rate = learning_rate(self.step, self.task.steps, player.settings)
        try:
            player.descend(turn.loss, rate)
        except FloatingPointError as error:
            # Before the weights are touched, so that a checkpoint never holds NaN.
            raise ConfigError(
                f"the {error} is not finite at step {self.step}; lower {player.table}"
                ".learning_rate and resume from the last checkpoint"
            ) from error

    def _average(self) -> None:
        trained = self.task.players[0]
        average_into(self.average, trained.network, self.step, trained.settings.ema_decay)

    def _write(self, record: dict[str, Any]) -> None:
        self.lines.write(json.dumps(record) + "\n")
        self.lines.flush()

    def _clocks(self) -> dict[str, float]:
        return {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "core_seconds": round(self.core_seconds, 1),
        }

    def _report(self, terms: dict[str, float]) -> None:
        pace = self.seconds / max(1, self.step)
        left = pace * (self.task.steps - self.step) / 60
        self._write({**self._clocks(), "loss": terms})
        for name, value in terms.items():
            self.board.add_scalar(f"loss/{name}", value, self.step)
        shown = "  ".join(f"{name} {value:.4f}" for name, value in terms.items())
        self.log(
            f"step {self.step}/{self.task.steps}  {shown}  {pace:.2f} s/step  {left:.0f} min left"
        )

    def _progress(self) -> dict[str, Any]:
        best = {"best": self.best} if math.isfinite(self.best) else {}
        counts = {"step": self.step, "seconds": self.seconds, "core_seconds": self.core_seconds}
        return {**counts, **best, **self.origin, **self.task.facts}

    def _save(self) -> None:
        save_checkpoint(
            self.folder / "last",
            self.recipe,
            self.average,
            self.task.players,
            self._progress(),
        )

    def _validate(self) -> None:
        verdict = self.task.validate(self.average)
        self._write({**self._clocks(), "validation": verdict.rows, "score": verdict.score})
        for row in verdict.rows:
            figures = {name: value for name, value in row.items() if name != "label"}
            for name, value in figures.items():
                self.board.add_scalar(f"validation/{name}/{row['label']}", value, self.step)
            shown = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
            self.log(f"validation step {self.step}  {row['label']}  {shown}")
        if verdict.score > self.best:
            self.best = verdict.score
            save_weights(self.folder / "best", self.recipe, self.average, self._progress())
