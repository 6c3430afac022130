"""The training loop; reads from top to bottom, and knows nothing of what it trains.

Every few minutes it saves a checkpoint, and on SIGINT or SIGTERM it saves one and stops, while
torch compiles too, so a run can be cut anywhere and resumed exactly: examples and dropout are drawn
from the seed and the step number, and the learning rate follows the step. ``last`` is where a run
goes on from, ``best`` what scored highest in validation. What is trained may be several networks,
which the task steps (:class:`~overtone.training.task.TrainingTask`); of the first one the EMA is
kept.
"""

import json
import math
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from overtone import __version__
from overtone.errors import ConfigError
from overtone.training.checkpoint import (
    load_resume,
    load_start,
    recover,
    save_checkpoint,
    save_weights,
)
from overtone.training.device import choose_device, describe, set_tf32
from overtone.training.families import make_task
from overtone.training.optimiser import update_ema
from overtone.training.recipe import Recipe
from overtone.training.task import Log, TrainingTask
from overtone.training.watch import Heartbeat, Stopped, StopRequest
from overtone.training.world import World, default_accumulate, join_world

# A line of the log comes after so many steps or, where those take longer, so many seconds.
REPORT_STEPS, FIRST_REPORT_S, REPORT_S = 50, 10.0, 60.0


def train(
    recipe: Recipe,
    data_root: Path,
    folder: Path,
    *,
    cache: Path,
    resume: bool = False,
    warm_start: Path | None = None,
    device: str = "auto",
    compile_model: bool = True,
    accumulate: int | None = None,
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
        warm_start: begin from the EMA of this checkpoint of another run.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        compile_model: ``torch.compile`` the network.
        accumulate: in so many parts, one after another, a process takes its part of a batch; None
            makes four parts of a batch on CPUs, all together, and one for each GPU.
        checkpoint_minutes: between two checkpoints.
        log: is given each line.

    Under ``torchrun`` or ``srun`` each process takes a part of every batch, and the first one
    saves, validates and logs.

    Raises:
        ConfigError: a corpus or archive is missing or does not fit, or the run exists and
            ``resume`` is not set, or the checkpoint does not fit, or ``folder`` or ``cache``
            cannot be written, or there is no such device, or the loss stops being finite, or a
            process of several has ended, or they cannot share a batch.
        Stopped: a signal came; if training had begun, the first process has saved a checkpoint, and
            the others return.
    """
    with join_world() as world, StopRequest() as stop:
        if not world.first:
            log = _say_nothing
        with Heartbeat(log) as beat:
            try:
                where, o = choose_device(device, world.local_rank), recipe.optimiser
                parts = accumulate or default_accumulate(
                    world.size, o.batch_size, where, bfloat16=o.bfloat16
                )
                world = replace(world, accumulate=parts)
                return _train(
                    recipe,
                    data_root,
                    folder,
                    cache=cache,
                    resume=resume,
                    warm_start=warm_start,
                    device=where,
                    compile_model=compile_model,
                    checkpoint_minutes=checkpoint_minutes,
                    world=world,
                    stop=stop,
                    beat=beat,
                )
            except ConfigError as error:
                if world.size == 1:
                    raise
                raise ConfigError(f"rank {world.rank}: {error}") from error


def _train(
    recipe: Recipe,
    data_root: Path,
    folder: Path,
    *,
    cache: Path,
    resume: bool,
    warm_start: Path | None,
    device: torch.device,
    compile_model: bool,
    checkpoint_minutes: float,
    world: World,
    stop: StopRequest,
    beat: Heartbeat,
) -> Path:
    last = folder / "last"
    if resume and warm_start:
        raise ConfigError("--warm-start begins a new run; leave it out to --resume one")
    if world.first:
        recover(last)
    versions = {"overtone": __version__, "torch": torch.__version__, "recipe": recipe.sha256()}
    world.require_same(versions)  # waits for all, so that all can say what is wrong
    world.require_divides(recipe.optimiser.batch_size)
    if last.exists() and not resume:
        raise ConfigError(f"{folder}: holds a run already; add --resume, or give another --output")
    # Before recordings are decoded, which may take minutes.
    if resume and not last.exists():
        raise ConfigError(
            f"{last}: no checkpoint to resume from; leave out --resume to start a new run"
        )
    start = load_start(warm_start, recipe) if warm_start else None
    torch.manual_seed(recipe.seed)
    set_tf32(device, recipe.optimiser.bfloat16)
    several = f"{world.size} processes, each on " if world.size > 1 else ""
    beat.say(f"{recipe.name} on {several}{describe(device, recipe.optimiser.bfloat16)}")
    beat.doing = "preparing the recordings"
    try:
        with stop.breakable():
            task = make_task(
                recipe,
                data_root,
                cache=cache,
                device=device,
                compile_model=compile_model,
                world=world,
                log=beat.say,
            )
    except Stopped:
        beat.say("stopped before training began; recordings that were decoded are kept")
        raise
    model = task.networks[0].network
    progress: dict[str, Any] = {"step": 0, "seconds": 0.0}
    if start:
        weights, progress["warm_start"] = start
        model.load_state_dict(weights)
    world.share(trained.network for trained in task.networks)
    ema = {name: value.clone() for name, value in model.state_dict().items()}
    if resume:
        ema, progress = load_resume(last, recipe, task.networks)
        if progress["step"] > task.steps:
            raise ConfigError(
                f"{last}: {progress['step']} steps are done, more than the {task.steps} asked for;"
                " ask for more (--steps or --epochs), or use the checkpoint as it is"
            )
        ema = {name: value.to(device) for name, value in ema.items()}
    world.require_same({"the step to go on from": progress["step"]})
    with _claimed(folder) if world.first else nullcontext() as lines:
        run = _Run(recipe, task, folder, ema, progress, lines, beat, world)
        run.loop(stop, checkpoint_minutes, compiles=compile_model)
    if world.first and run.step < task.steps:
        raise Stopped(stop.asked or signal.SIGTERM)  # or another process was asked
    return last


def _say_nothing(line: str) -> None:
    del line


@contextmanager
def _claimed(folder: Path) -> Iterator[TextIO]:
    """Lend the log of a run in ``folder``, which is this process's alone until it ends."""
    with ExitStack() as held:
        # Around the claim alone: what goes wrong in the run is not the folder's fault.
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder / "lock", timeout=0))
            lines = held.enter_context((folder / "log.jsonl").open("a"))
        except Timeout as error:
            raise ConfigError(
                f"{folder}: another process is training there; wait for it, or give another"
                " --output"
            ) from error
        except OSError as error:
            raise ConfigError(
                f"{folder}: cannot write the run there ({error.strerror}); give another --output"
            ) from error
        yield lines


class _Run:
    """What one process keeps while it trains: clocks, logs, the EMA of the weights."""

    def __init__(
        self,
        recipe: Recipe,
        task: TrainingTask,
        folder: Path,
        ema: dict[str, Tensor],
        progress: dict[str, Any],
        lines: TextIO | None,
        beat: Heartbeat,
        world: World,
    ) -> None:
        self.world = world
        self.recipe, self.task, self.folder = recipe, task, folder
        self.ema = ema
        self.step: int = progress["step"]
        self.seconds: float = progress["seconds"]
        # Of this machine's cores, whatever else they do meanwhile.
        self.cpu_seconds: float = progress.get("cpu_seconds", progress.get("core_seconds", 0.0))
        self.best: float = progress.get("best", -math.inf)
        self.origin = {name: progress[name] for name in ("warm_start",) if name in progress}
        self.lines, self.beat, self.log = lines, beat, beat.say
        if world.first:  # no other writes
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"))

    def loop(self, stop: StopRequest, checkpoint_minutes: float, *, compiles: bool) -> None:
        steps, trained = self.task.steps, self.task.networks[0]
        begun = time.monotonic() - self.seconds
        begun_cpu = time.process_time() - self.cpu_seconds
        saved = validated = self.seconds
        figures: defaultdict[str, list[float]] = defaultdict(list)
        unreported, report_due = 0, self.seconds + FIRST_REPORT_S
        with closing(self.task.examples(self.step)) as examples:
            first = True
            # All stop at the same step, whichever of them was asked to.
            while self.step < steps and not self.world.any(stop.asked > 0):
                found = self._take_step(next(examples), stop, first=first, compiles=compiles)
                if found is None:
                    break
                first = False
                for name, value in self.world.total(found).items():
                    figures[name].append(value)
                update_ema(self.ema, trained.network, self.step, trained.settings.ema_decay)
                self.step += 1
                self.seconds = time.monotonic() - begun
                self.cpu_seconds = time.process_time() - begun_cpu
                unreported += 1
                if unreported == REPORT_STEPS or self.step == steps or self.seconds >= report_due:
                    self._report({k: sum(v) / len(v) for k, v in figures.items()})
                    figures.clear()
                    unreported, report_due = 0, self.seconds + REPORT_S
                due = self.task.validation_due(self.step, (self.seconds - validated) / 60)
                if due and self.step < steps:
                    self._validate(stop)
                    validated = self.seconds
                if self.seconds - saved > 60 * checkpoint_minutes:
                    self._save()
                    saved = self.seconds
        self._validate(stop)
        self._save()
        end = (
            f"done, {steps} steps"
            if self.step == steps
            else f"stopped at step {self.step} of {steps}"
        )
        self.log(f"{end}; checkpoint in {self.folder / 'last'}")

    def _take_step(
        self, parts: Any, stop: StopRequest, *, first: bool, compiles: bool
    ) -> dict[str, float] | None:
        """Return None where it was broken off.

        The first step may take minutes, because torch compiles as it goes: it ends at once, and
        the networks are as they were. Ctrl-C reaches the compilers, too, so whatever goes wrong
        after it is its doing. What goes wrong in a later step may leave half of it done, which no
        checkpoint must hold: it ends the run, whoever has been asked to stop.
        """
        before = [network.snapshot() for network in self.task.networks] if first else []
        if first and compiles:
            self.log("compiling, for a minute or more (--no-compile trains at once, but slower)")
        self.beat.doing = "compiling" if first and compiles else f"at step {self.step}"
        try:
            with stop.breakable() if first else nullcontext():
                return self.task.step(parts, self.step)
        except (Stopped, Exception):
            if not (first and stop.asked):
                raise
        for network, snapshot in zip(self.task.networks, before, strict=False):
            network.restore(snapshot)
        return None

    def _write(self, record: dict[str, Any]) -> None:
        assert self.lines is not None
        self.lines.write(json.dumps(record) + "\n")
        self.lines.flush()

    def _clocks(self) -> dict[str, float]:
        return {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
        }

    def _report(self, terms: dict[str, float]) -> None:
        if not self.world.first:
            return
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
        counts = {"step": self.step, "seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
        return {**counts, **best, **self.origin, **self.task.metadata}

    def _save(self) -> None:
        if not self.world.first:
            return
        save_checkpoint(
            self.folder / "last", self.recipe, self.ema, self.task.networks, self._progress()
        )

    def _validate(self, stop: StopRequest) -> None:
        """Validate, unless the run is asked to stop."""
        if not self.world.first:
            return
        self.beat.doing = "validating"
        try:
            with stop.breakable():
                result = self.task.validate(self.ema)
        except Stopped:
            return
        scored = math.isfinite(result.score)
        score = {"score": result.score} if scored else {}
        self._write({**self._clocks(), "validation": result.rows, **score})
        for row in result.rows:
            figures = {name: value for name, value in row.items() if name != "label"}
            for name, value in figures.items():
                self.board.add_scalar(f"validation/{name}/{row['label']}", value, self.step)
            shown = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
            self.log(f"validation step {self.step}  {row['label']}  {shown}")
        if result.rows and not scored:
            self.log("clips too short to score: no best is kept; give longer validation clips")
        if result.rows and scored and result.score > self.best:
            self.best = result.score
            save_weights(self.folder / "best", self.recipe, self.ema, self._progress())
