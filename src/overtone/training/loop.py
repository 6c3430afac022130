"""The training loop of the spectral extender; reads from top to bottom.

Every few minutes it saves a checkpoint, and on SIGINT or SIGTERM it saves one and stops, so a
run can be cut anywhere and resumed exactly: examples are drawn from the seed and the step
number, and the learning rate follows the step.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from overtone.data.corpora import SampleStore
from overtone.data.crops import Batch, CropSampler
from overtone.errors import ConfigError
from overtone.models.extender import SpectralExtender
from overtone.training.checkpoint import load_resume, recover, save_checkpoint
from overtone.training.config import TrainingConfig
from overtone.training.losses import (
    band_power_distance,
    band_weight,
    frames,
    overlap_add,
    signal_distance,
    spectral_distances,
)
from overtone.training.validate import validate

Log = Callable[[str], None]


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, constant, cosine cool-down to zero."""
    o = config.optimiser
    warm = min(1.0, (step + 1) / max(1, o.warmup_steps))
    cooldown = max(1.0, o.steps * o.cooldown_share)
    left = min(1.0, max(0.0, (o.steps - step) / cooldown))
    return o.learning_rate * warm * 0.5 * (1 - math.cos(math.pi * left))


@cache
def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; where it only emulates that, float32 is faster.

    Older versions of torch cannot tell, and then the answer is no.
    """
    tell: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    found = tell()
    return any(bool(found.get(name)) for name in ("avx512_bf16", "amx_bf16"))


def losses(
    model: SpectralExtender, predict: Callable[..., Any], batch: Batch, config: TrainingConfig
) -> dict[str, Tensor]:
    """All loss terms of one batch; ``total`` is what is minimised."""
    c, weights = config.model, config.loss
    window, hop, lookahead = c.window_samples, c.hop_samples, c.lookahead_frames
    clean, low = torch.from_numpy(batch.clean), torch.from_numpy(batch.low)
    cutoff, bandwidth = torch.from_numpy(batch.cutoff_hz), torch.from_numpy(batch.bandwidth_hz)
    target, observed = frames(clean, window, hop), frames(low, window, hop)
    spectrum = torch.view_as_real(observed)
    ahead = torch.nn.functional.pad(spectrum, (0, 0, 0, 0, 0, lookahead))
    context = model.initial_state(len(clean)).context
    bfloat16 = config.optimiser.bfloat16 and has_bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        log_magnitude, phase, _ = predict(ahead, cutoff, context)
    log_magnitude, phase = log_magnitude[:, lookahead:], phase[:, lookahead:]
    weight = band_weight(c.bins, c.sample_rate, cutoff, bandwidth, weights.pivot_hz)
    log_term, compressed_term = spectral_distances(log_magnitude, phase, target, weight)
    prediction = torch.view_as_complex(log_magnitude.exp().unsqueeze(-1) * phase)
    residual = model.crossover(cutoff)[:, None] * (prediction - observed)
    # The first and last frames overlap with nothing; the signal is judged between them.
    estimate = low + overlap_add(residual, window, hop)
    inner = slice(window - hop, low.shape[-1] - (window - hop))
    signal_term = signal_distance(
        estimate[:, inner], clean[:, inner], c.sample_rate, cutoff, bandwidth, weights
    )
    terms = {
        "log_magnitude": log_term,
        "compressed": compressed_term,
        "signal": signal_term,
    }
    if weights.band_power:
        terms["band_power"] = band_power_distance(
            estimate[:, inner], clean[:, inner], c.sample_rate, cutoff, bandwidth, weights
        )
    total = sum((getattr(weights, name) * term for name, term in terms.items()), torch.zeros(()))
    return {"total": total, **terms}


def batches(sampler: CropSampler, step: int, size: int) -> Generator[Batch]:
    """The batches from ``step`` on; a thread draws the next one while this one is in use."""
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(sampler.batch, step, size)
        while True:
            batch = upcoming.result()
            step += 1
            upcoming = thread.submit(sampler.batch, step, size)
            yield batch


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


def average_into(
    average: dict[str, Tensor], model: SpectralExtender, step: int, decay: float
) -> None:
    """Move the exponential moving average one step; young averages move faster."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for name, value in model.state_dict().items():
            average[name].lerp_(value, 1 - decay)


def train(
    config: TrainingConfig,
    data_root: Path,
    folder: Path,
    *,
    cache: Path,
    resume: bool = False,
    compile_model: bool = True,
    checkpoint_minutes: float = 4.0,
    log: Log = print,
) -> Path:
    """Train; returns the folder of the last checkpoint.

    Args:
        config: the recipe.
        data_root: the folder that the recipe's corpora lie in.
        folder: where checkpoints, ``log.jsonl`` and tensorboard events go.
        cache: where the decoded samples are kept between runs.
        resume: go on from ``folder``'s last checkpoint.
        compile_model: ``torch.compile`` the network.

    Raises:
        ConfigError: a corpus is missing, or the run exists and ``resume`` is not set, or the
            checkpoint does not fit, or ``folder`` or ``cache`` cannot be written, or the loss
            stops being finite.
    """
    last = folder / "last"
    recover(last)
    if last.exists() and not resume:
        raise ConfigError(f"{folder}: holds a run already; add --resume, or give another --out")
    torch.manual_seed(config.seed)
    c, o = config.model, config.optimiser
    store = SampleStore.build(cache, config.corpora, data_root, c.sample_rate, log)
    crop = c.window_samples + (o.crop_frames - 1) * c.hop_samples
    sampler = CropSampler(
        store,
        config.corpora,
        config.degrade,
        sample_rate=c.sample_rate,
        crop_samples=crop,
        seed=config.seed,
    )
    model = SpectralExtender(c)
    optimiser = torch.optim.AdamW(
        model.parameters(), o.learning_rate, betas=o.betas, weight_decay=o.weight_decay
    )
    average = {name: value.clone() for name, value in model.state_dict().items()}
    progress: dict[str, Any] = {"step": 0, "seconds": 0.0}
    if resume:
        average, progress = load_resume(last, model, optimiser)
    predict = torch.compile(model.predict) if compile_model else model.predict
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log_file = (folder / "log.jsonl").open("a")
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot write the run there ({error.strerror}); give another --out"
        ) from error
    with stop_requested() as stopping, log_file as lines:
        run = _Run(config, folder, model, average, optimiser, progress, store, lines, log)
        run.loop(predict, sampler, stopping, checkpoint_minutes)
    return last


class _Run:
    """What one process keeps while it trains: clocks, logs, the averaged weights."""

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        model: SpectralExtender,
        average: dict[str, Tensor],
        optimiser: torch.optim.Optimizer,
        progress: dict[str, Any],
        store: SampleStore,
        lines: Any,
        log: Log,
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.config, self.folder, self.model = config, folder, model
        self.average, self.optimiser, self.store = average, optimiser, store
        self.step: int = progress["step"]
        self.seconds: float = progress["seconds"]
        self.lines, self.log = lines, log
        self.board = SummaryWriter(str(folder / "tensorboard"))

    def loop(
        self,
        predict: Callable[..., Any],
        sampler: CropSampler,
        stopping: list[bool],
        checkpoint_minutes: float,
    ) -> None:
        o = self.config.optimiser
        begun = time.monotonic() - self.seconds
        saved = validated = self.seconds
        sums: dict[str, float] = {}
        count = 0
        with closing(batches(sampler, self.step, o.batch_size)) as examples:
            while self.step < o.steps and not stopping:
                terms = losses(self.model, predict, next(examples), self.config)
                self._descend(terms["total"])
                self.step += 1
                self.seconds = time.monotonic() - begun
                count += 1
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + value.item()
                if count == 50 or self.step == o.steps:
                    self._report({k: v / count for k, v in sums.items()})
                    sums, count = {}, 0
                if self.seconds - saved > 60 * checkpoint_minutes:
                    self._save()
                    saved = self.seconds
                if self.seconds - validated > 60 * self.config.validation.every_minutes:
                    self._validate()
                    validated = self.seconds
        self._save()
        if not stopping:
            self._validate()
        self.board.close()
        self.log(f"stopped at step {self.step} of {o.steps}; checkpoint in {self.folder / 'last'}")

    def _descend(self, loss: Tensor) -> None:
        o = self.config.optimiser
        self._require_finite(loss, "loss")
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), o.gradient_clip)
        self._require_finite(norm, "gradient")
        self.optimiser.step()
        average_into(self.average, self.model, self.step, o.ema_decay)

    def _require_finite(self, value: Tensor, what: str) -> None:
        """Before the weights are touched, so that a checkpoint never holds NaN."""
        if not torch.isfinite(value):
            raise ConfigError(
                f"the {what} is not finite at step {self.step}; lower optimiser.learning_rate and"
                " resume from the last checkpoint"
            )

    def _write(self, record: dict[str, Any]) -> None:
        self.lines.write(json.dumps(record) + "\n")
        self.lines.flush()

    def _report(self, terms: dict[str, float]) -> None:
        steps = self.config.optimiser.steps
        pace = self.seconds / max(1, self.step)
        left = pace * (steps - self.step) / 60
        self._write({"step": self.step, "seconds": round(self.seconds, 1), "loss": terms})
        for name, value in terms.items():
            self.board.add_scalar(f"loss/{name}", value, self.step)
        shown = "  ".join(f"{name} {value:.4f}" for name, value in terms.items())
        self.log(f"step {self.step}/{steps}  {shown}  {pace:.2f} s/step  {left:.0f} min left")

    def _save(self) -> None:
        progress = {"step": self.step, "seconds": self.seconds}
        save_checkpoint(
            self.folder / "last", self.config, self.average, self.model, self.optimiser, progress
        )

    def _validate(self) -> None:
        judged = SpectralExtender(self.config.model)
        judged.load_state_dict(self.average)
        rows = validate(judged.eval(), self.store, self.config)
        self._write({"step": self.step, "seconds": round(self.seconds, 1), "validation": rows})
        for row in rows:
            label = f"{row['cutoff_hz']:.0f}Hz"
            for name, value in row.items():
                if name != "cutoff_hz":
                    self.board.add_scalar(f"validation/{name}/{label}", value, self.step)
            shown = "  ".join(f"{k} {v:.3f}" for k, v in row.items() if k != "cutoff_hz")
            self.log(f"validation step {self.step}  cutoff {label}  {shown}")
