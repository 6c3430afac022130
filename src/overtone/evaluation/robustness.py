"""The robustness matrix: one model on the same clips, damaged in every way that is common.

Each cell is scored twice, what the model made of the damaged clip and the damaged clip itself,
only resampled. The rule is that no cell may come out worse than it went in.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overtone.audio.files import AudioReader
from overtone.degrade.codecs import fit
from overtone.degrade.conditions import USUAL_CUTOFF_HZ, Samples, matrix
from overtone.degrade.conditions import Condition as Cell
from overtone.degrade.conditions import Degraded as Damaged
from overtone.dsp.bandwidth import estimate_cutoff
from overtone.dsp.resample import resample
from overtone.errors import InvalidInputError, OvertoneError
from overtone.evaluation.edges import codec_edge_hz
from overtone.files import sha256_of
from overtone.inference.enhancer import Enhancer
from overtone.inference.jobs import find_sources
from overtone.metrics import mean_scores, snr_db
from overtone.metrics.spectral import band_bins, lsd_of_bins

LSD_TOLERANCE, SNR_TOLERANCE_DB = 0.1, 3.0
"""By how much a cell's mean may be worse than the unprocessed input."""
SCORES = ("lsd", "lsd_hf", "snr_db")
LOWEST_CLIP_RATE = 44_100
"""Of recordings that may be called full-band, unless the model itself ends lower."""
SOUGHT_S = 120.0
"""Excerpts come from the first two minutes of a recording."""
SILENT_RMS = 1e-3


@dataclass(frozen=True)
class Clip:
    """An excerpt: ``samples [n]`` at ``sample_rate``, from ``start_s`` of the file ``name``."""

    name: str
    start_s: float
    sample_rate: int
    samples: Samples
    sha256: str


@dataclass(frozen=True)
class Choice:
    """The clips chosen, and what was wrong with files that were not.

    ``short`` and ``silent`` count recordings that were passed over; ``problems`` name those that
    cannot be used, and ``notes`` the clips whose own band ends early.
    """

    clips: list[Clip]
    problems: list[str]
    notes: list[str]
    short: int = 0
    silent: int = 0


@dataclass(frozen=True)
class CellScore:
    """The means of a cell over its clips, before (``given``) and after (``made``) the model.

    ``edge_hz`` is where the given band ends, ``found_hz`` the median of what the model was told
    (nan if it never ran), ``extended`` the number of clips in which it ran; ``worst`` the worst
    change of each score in a single clip.
    """

    cell: Cell
    clips: int
    extended: int
    edge_hz: float
    found_hz: float
    given: dict[str, float]
    made: dict[str, float]
    worst: dict[str, float]

    def change(self, score: str) -> float:
        """How much the model changed a score."""
        return self.made[score] - self.given[score]

    @property
    def breaks(self) -> bool:
        """Tell whether the cell is worse than the rule allows."""
        return breaks_lsd(self.change("lsd")) or breaks_snr(self.change("snr_db"))


@dataclass(frozen=True)
class Run:
    """A measured matrix with all that is needed to repeat it.

    ``missing`` names what could not be measured here, such as a codec that is not installed.
    """

    model: str
    model_sha256: str
    seed: int
    seconds: float
    choice: Choice
    scores: list[CellScore]
    missing: list[str]

    @property
    def broken(self) -> list[CellScore]:
        """The cells that break the rule, the worst by SNR first."""
        broken = [score for score in self.scores if score.breaks]
        return sorted(broken, key=lambda score: score.change("snr_db"))


def breaks_lsd(change: float) -> bool:
    """Tell whether a change of LSD is against the rule."""
    return change > LSD_TOLERANCE


def breaks_snr(change_db: float) -> bool:
    """Tell whether a change of SNR is against the rule."""
    return change_db < -SNR_TOLERANCE_DB


def run_matrix(
    model: str,
    folder: Path,
    *,
    clips: int,
    seconds: float,
    seed: int,
    log: Callable[[str], None] = lambda _: None,
    track: Callable[[Sequence[Cell]], Iterable[Cell]] = iter,
) -> Run:
    """Choose clips from ``folder`` and measure ``model`` on every cell.

    ``log`` is told at once what is wrong with the recordings; ``track`` may show how far it is.

    Raises:
        ModelError: there is no such model, or it cannot be used.
        InvalidInputError: there is no such folder, or nothing in it can be used.
    """
    enhancer = Enhancer(model, device="cpu", threads=1)
    info = enhancer.model.info
    choice = choose_clips(
        folder, count=clips, seconds=seconds, seed=seed, model_rate=info.sample_rate
    )
    for line in (*choice.problems, *choice.notes):
        log(line)
    if len(choice.clips) < clips:
        log(
            f"{folder}: {len(choice.clips)} of {clips} clips found ({choice.short} recordings are"
            f" shorter than {seconds:g} s, {choice.silent} silent)"
        )
    lowest_rate = min(clip.sample_rate for clip in choice.clips)
    cells = matrix(lowest_rate, min(USUAL_CUTOFF_HZ, info.max_cutoff_hz))
    scores, missing = measure(enhancer, choice.clips, track(cells), seed=seed)
    return Run(info.name, sha256_of(enhancer.model.path), seed, seconds, choice, scores, missing)


# The clips --------------------------------------------------------------------------------------


def choose_clips(folder: Path, *, count: int, seconds: float, seed: int, model_rate: int) -> Choice:
    """Choose excerpts of ``seconds`` by ``seed`` from the recordings under ``folder``.

    Subfolders take turns, so that a large corpus does not crowd out a small one. Recordings are
    mixed to mono, and brought down to ``model_rate`` where theirs is higher.

    Raises:
        InvalidInputError: no such folder, or nothing in it can be used.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"{folder}: no such folder; name one of full-band recordings")
    rng = np.random.default_rng(seed)
    sources, failures = find_sources([str(folder)])
    problems = [failure.error for failure in failures if failure.error]
    choice = Choice([], problems, [])
    short = silent = 0
    for path in _in_turns([source.path for source in sources], rng):
        try:
            clip = _excerpt(path, folder, seconds, model_rate, rng)
        except OvertoneError as error:
            choice.problems.append(str(error))
            continue
        if clip is None:
            short += 1
        elif np.sqrt(np.mean(clip.samples**2)) < SILENT_RMS:
            silent += 1
        else:
            choice.clips.append(clip)
            choice.notes.extend(_ends_early(clip))
        if len(choice.clips) == count:
            break
    if not choice.clips:
        detail = choice.problems[0] if choice.problems else f"{short} too short, {silent} silent"
        raise InvalidInputError(f"{folder}: no recording of {seconds:g} s to use ({detail})")
    return Choice(choice.clips, choice.problems, choice.notes, short, silent)


def _in_turns(paths: Sequence[Path], rng: np.random.Generator) -> Iterator[Path]:
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    shuffled = [[files[i] for i in rng.permutation(len(files))] for files in folders.values()]
    turns = chain.from_iterable(zip_longest(*shuffled))
    return (path for path in turns if path is not None)


def _excerpt(
    path: Path, folder: Path, seconds: float, model_rate: int, rng: np.random.Generator
) -> Clip | None:
    """Read an excerpt; None if the recording is too short."""
    with AudioReader(path) as reader:
        rate = reader.info.sample_rate
        lowest = min(LOWEST_CLIP_RATE, model_rate)
        if rate < lowest:
            raise InvalidInputError(f"{path}: {rate} Hz; give recordings of {lowest} Hz or more")
        heard = _mono(reader.blocks(), round(SOUGHT_S * rate))
    wanted = round(seconds * rate)
    if heard.size < wanted:
        return None
    start = int(rng.integers(heard.size - wanted + 1))
    samples = heard[start : start + wanted]
    digest = hashlib.sha256(samples.tobytes()).hexdigest()
    if rate > model_rate:
        samples, rate = resample(samples[None], rate, model_rate)[0], model_rate
    return Clip(
        path.relative_to(folder).as_posix(), start / reader.info.sample_rate, rate, samples, digest
    )


def _mono(blocks: Iterable[NDArray[np.float32]], most: int) -> Samples:
    heard, length = [np.zeros(0, np.float32)], 0
    for block in blocks:
        heard.append(block.mean(axis=0))
        length += block.shape[1]
        if length >= most:
            break
    return np.concatenate(heard)[:most]


def _ends_early(clip: Clip) -> list[str]:
    """Say that a clip has no top of its own: the cells above its edge would mean nothing."""
    edge_hz = estimate_cutoff(clip.samples, clip.sample_rate).cutoff_hz
    if edge_hz is None or edge_hz > 0.8 * clip.sample_rate / 2:
        return []
    return [f"{clip.name}: its own band ends near {edge_hz:.0f} Hz; it is no full-band recording"]


# The cells --------------------------------------------------------------------------------------


def measure(
    enhancer: Enhancer, clips: Sequence[Clip], cells: Iterable[Cell], *, seed: int
) -> tuple[list[CellScore], list[str]]:
    """Score every cell; noise is the same in each for one ``seed``.

    Returns the scores, and a message for each row of cells that cannot be made here (a codec
    that is not installed).
    """
    scores: list[CellScore] = []
    missing: dict[str, str] = {}
    for cell in cells:
        try:
            damaged = [
                cell.degrade(clip.samples, clip.sample_rate, np.random.default_rng([seed, index]))
                for index, clip in enumerate(clips)
            ]
        except OvertoneError as error:
            missing.setdefault(cell.row, f"{cell.row}: not available here ({error})")
        else:
            scores.append(_score_cell(enhancer, cell, clips, damaged))
    return scores, list(missing.values())


def _score_cell(
    enhancer: Enhancer, cell: Cell, clips: Sequence[Clip], damaged: Sequence[Damaged]
) -> CellScore:
    given, made, edges_hz, found_hz = [], [], [], []
    for clip, one in zip(clips, damaged, strict=True):
        rate, length = clip.sample_rate, one.reference.size
        plan = enhancer.plan([one.samples[None]], one.sample_rate, output_rate=rate)
        if plan.extend_from_hz is not None:
            found_hz.append(plan.extend_from_hz)
        low = fit(resample(one.samples[None], one.sample_rate, rate)[0], length)
        high, _ = enhancer.enhance(one.samples, one.sample_rate, output_rate=rate)
        edge_hz = cell.cutoff_hz or codec_edge_hz(one.reference, low, rate)
        edges_hz.append(edge_hz)
        # The known gain is taken out, so that the floor of LSD lies where it does elsewhere.
        given.append(score(one.reference, low / one.gain, rate, edge_hz))
        made.append(score(one.reference, fit(high, length) / one.gain, rate, edge_hz))
    changes = [
        {name: b[name] - a[name] for name in SCORES} for a, b in zip(given, made, strict=True)
    ]
    return CellScore(
        cell,
        len(clips),
        len(found_hz),
        float(np.median(edges_hz)),
        float(np.median(found_hz)) if found_hz else math.nan,
        mean_scores(given),
        mean_scores(made),
        {name: _worst(name, [change[name] for change in changes]) for name in SCORES},
    )


def score(reference: Samples, estimate: Samples, rate: int, edge_hz: float) -> dict[str, float]:
    """LSD, LSD from ``edge_hz`` up, and SNR of ``estimate [n]`` against ``reference [n]``."""
    bins = [slice(None), band_bins(rate, min(edge_hz, 0.97 * rate / 2), math.inf)]
    whole, above = lsd_of_bins(reference, estimate, bins)
    return {"lsd": whole, "lsd_hf": above, "snr_db": snr_db(reference, estimate)}


def _worst(name: str, changes: Sequence[float]) -> float:
    defined = [change for change in changes if not math.isnan(change)]
    if not defined:
        return math.nan
    return min(defined) if name == "snr_db" else max(defined)
