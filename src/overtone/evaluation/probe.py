"""A probe: can a fresh network tell a system's high band from the real one?

A small discriminator is trained on spectrograms above the cutoff, real and fake, of half of the
recordings, and asked about the other half. Its accuracy says how much there is to tell by: one half
is guessing, and the goal; one is a tell-tale in every clip. Unlike a distance it cannot be pleased
by the mean of everything that the band could be. Level counts, as it does for a listener.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from overtone.errors import InvalidInputError, OvertoneError
from overtone.evaluation.cases import Case
from overtone.evaluation.stats import LEVEL, Mean, mean_with_interval
from overtone.evaluation.systems import System
from overtone.metrics.spectral import count_frames, frame_spectra
from overtone.report import Column, Report, Section, Table

WINDOW_SAMPLES, HOP_SAMPLES = 1024, 256
CROP_FRAMES = 64
CHANNELS = (16, 32, 48, 64)
BATCH_PAIRS, LEARNING_RATE = 8, 1e-3
ACTIVE_DB, FLOOR = 35.0, 1e-5
TOP_OF_NYQUIST = 0.94


class _Pair(NamedTuple):
    """Log spectra above the cutoff ``[frames, bins]``, and the first frames of active crops."""

    recording: str
    real: NDArray[np.float32]
    fake: NDArray[np.float32]
    starts: NDArray[np.intp]


@dataclass(frozen=True)
class Probed:
    """How often the probe was right about one system, over ``crops`` of unseen recordings."""

    system: str
    accuracy: Mean
    crops: int
    recordings: int


class Probe(nn.Module):
    """Four convolutions over ``[batch, frames, bins]`` of any size, and the mean of the last."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [1, *CHANNELS]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 5, stride=2, padding=2) for a, b in zip(sizes, CHANNELS, strict=False)
        )
        self.out = nn.Linear(CHANNELS[-1], 1)

    def forward(self, spectra: Tensor) -> Tensor:
        """Return a logit for each of the batch: above 0 is real."""
        x = spectra[:, None] / 4  # log magnitudes, about -10 to 5
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        logits: Tensor = self.out(x.mean(dim=(2, 3)))[:, 0]
        return logits


def probe(
    system: System,
    cases: Sequence[Case],
    *,
    steps: int = 1500,
    seed: int = 0,
    log: Callable[[str], None] = lambda _: None,
) -> Probed:
    """Train a probe on every other recording of ``cases``, and return its accuracy on the rest.

    ``log`` is told which cases cannot be used. The same arguments give the same accuracy.

    Raises:
        InvalidInputError: fewer than four recordings have sound above the cutoff.
    """
    pairs = []
    for case in cases:
        try:
            pair = _pair(case, system)
        except OvertoneError as error:
            log(f"{case.label}: skipped, {error}")
            continue
        if pair.starts.size:
            pairs.append(pair)
        else:
            log(f"{case.label}: skipped, too short, or silent above the cutoff")
    recordings = sorted({pair.recording for pair in pairs})
    if len(recordings) < 4:
        raise InvalidInputError(
            f"{system.name}: {len(recordings)} recordings with sound above the cutoff; a probe"
            " needs 4 or more, half of them to train on"
        )
    seen = set(recordings[::2])
    network = _train([pair for pair in pairs if pair.recording in seen], steps, seed)
    right: list[float] = []
    groups: list[str] = []
    for pair in pairs:
        if pair.recording in seen:
            continue
        # Every crop once, real and fake.
        for start in pair.starts[:: CROP_FRAMES // 2]:
            real, fake = _score(network, pair, int(start))
            right += [float(real > 0), float(fake <= 0)]
            groups += [pair.recording] * 2
    accuracy = mean_with_interval(right, groups, seed=seed)
    return Probed(system.name, accuracy, len(right), len(set(groups)))


def probe_report(results: Sequence[Probed], *, steps: int, seed: int) -> Report:
    """Return a row a system."""
    columns = [
        Column("system", "system"),
        Column("accuracy", "accuracy of the probe ↓", of=lambda one: one.accuracy.text(3)),
        Column("crops", "crops"),
        Column("recordings", "recordings"),
    ]
    settings = [
        f"a discriminator of {len(CHANNELS)} convolutions ({', '.join(map(str, CHANNELS))}"
        f" channels) on log spectra (Hann {WINDOW_SAMPLES}, hop {HOP_SAMPLES}) above half the"
        f" input's rate, crops of {CROP_FRAMES} frames; {steps} steps of {BATCH_PAIRS} pairs on"
        f" every other recording, seed {seed}; judged on the others, half of the crops real: 0.5 is"
        " guessing",
        f"[ , ]: {100 * LEVEL:g} % percentile bootstrap interval over recordings",
    ]
    return Report("Probe", [Section("", [Table.of(results, columns, settings)])])


def _pair(case: Case, system: System) -> _Pair:
    clip = case.open()
    output = system.upsample(clip.low, clip.low_rate, clip.rate)
    length = min(clip.reference.shape[1], output.shape[1])
    real, fake = (
        _log_spectra(samples[0, :length], clip.rate, clip.low_rate / 2)
        for samples in (clip.reference, output)
    )
    level_db = 10 * np.log10((np.exp(2.0 * real)).sum(axis=1))
    active = np.cumsum(np.concatenate([[0], level_db > level_db.max() - ACTIVE_DB]))
    # Crops most of whose frames sound.
    active_frames = active[CROP_FRAMES:] - active[:-CROP_FRAMES]
    return _Pair(case.recording, real, fake, np.flatnonzero(active_frames > CROP_FRAMES // 2))


def _log_spectra(channel: NDArray[np.float32], rate: int, cutoff_hz: float) -> NDArray[np.float32]:
    hz = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / rate)
    band = (hz >= 1.02 * cutoff_hz) & (hz < TOP_OF_NYQUIST * rate / 2)
    frames = count_frames(channel, WINDOW_SAMPLES, HOP_SAMPLES)
    spectra = frame_spectra(channel, 0, frames, WINDOW_SAMPLES, HOP_SAMPLES)[:, band]
    return np.log(np.abs(spectra) + FLOOR).astype(np.float32)


def _train(pairs: Sequence[_Pair], steps: int, seed: int) -> Probe:
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Probe()
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
    for _ in range(steps):
        # Pairs of one height: bands of different suites may differ.
        first = pairs[int(rng.integers(len(pairs)))]
        same = [pair for pair in pairs if pair.real.shape[1] == first.real.shape[1]]
        real, fake = [], []
        for number in rng.integers(len(same), size=BATCH_PAIRS):
            pair = same[number]
            start = int(rng.choice(pair.starts))
            real.append(pair.real[start : start + CROP_FRAMES])
            fake.append(pair.fake[start : start + CROP_FRAMES])
        logits = network(torch.tensor(np.stack([*real, *fake])))
        wanted = torch.tensor([1.0] * BATCH_PAIRS + [0.0] * BATCH_PAIRS)
        optimiser.zero_grad(set_to_none=True)
        loss = F.binary_cross_entropy_with_logits(logits, wanted)
        loss.backward()
        optimiser.step()
        schedule.step()
    return network


def _score(network: Probe, pair: _Pair, start: int) -> tuple[float, float]:
    crops = [one[start : start + CROP_FRAMES] for one in (pair.real, pair.fake)]
    with torch.inference_mode():
        real, fake = network(torch.tensor(np.stack(crops))).tolist()
    return real, fake
