"""The robustness matrix: one model on the same clips, degraded in every common way.

Each condition is scored twice: the model's output, and its input, only resampled. The rule is that
no output may be worse than its input.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overtone import executor
from overtone.audio.reader import AudioReader
from overtone.audio.sources import find_sources
from overtone.degrade.codecs import fit
from overtone.degrade.conditions import USUAL_CUTOFF_HZ, Condition, DegradedClip, Samples, matrix
from overtone.dsp.bandwidth import estimate_cutoff
from overtone.dsp.resample import resample
from overtone.errors import InvalidInputError, OvertoneError
from overtone.evaluation.edges import codec_edge_hz
from overtone.files import sha256_of
from overtone.inference.enhancer import Enhancer
from overtone.metrics import METRICS, envelope_db, mean_scores, snr_db
from overtone.metrics.spectral import band_bins, lsd_of_bins

TOLERANCES = {"lsd": 0.1, "envelope_db": 1.0, "snr_db": 3.0}
"""By how much the mean of a condition may be worse than that of its input."""
SCORES = ("lsd", "lsd_hf", "envelope_db", "snr_db")
LOWEST_CLIP_RATE = 44_100
"""Of recordings that may be called full-band, unless the model itself ends lower."""
SOUGHT_S = 120.0
"""Excerpts come from the first two minutes of a recording."""
SILENT_RMS = 1e-3


@dataclass(frozen=True)
class Excerpt:
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

    clips: list[Excerpt]
    problems: list[str]
    notes: list[str]
    short: int = 0
    silent: int = 0


@dataclass(frozen=True)
class ConditionScore:
    """The means of a condition over its clips, before (``input``) and after (``output``) the model.

    ``edge_hz`` is where the input's band ends, ``found_hz`` the median of what the model was given
    (nan if it never ran), ``extended`` the number of clips in which it ran; ``worst`` the worst
    change of each score in a single clip.
    """

    condition: Condition
    clips: int
    extended: int
    edge_hz: float
    found_hz: float
    input: dict[str, float]
    output: dict[str, float]
    worst: dict[str, float]

    def change(self, score: str) -> float:
        """Return how much the model changed a score."""
        return self.output[score] - self.input[score]

    @property
    def failures(self) -> list[str]:
        """The scores by which the output is worse than the rule allows."""
        return [name for name in TOLERANCES if fails(name, self.change(name))]


@dataclass(frozen=True)
class Matrix:
    """A measured matrix with all that is needed to repeat it.

    ``missing`` names what could not be measured here, such as a codec that is not installed.
    """

    model: str
    model_sha256: str
    seed: int
    seconds: float
    choice: Choice
    scores: list[ConditionScore]
    missing: list[str]

    @property
    def failed(self) -> list[ConditionScore]:
        """The conditions that break the rule, the worst by SNR first."""
        failed = [score for score in self.scores if score.failures]
        return sorted(failed, key=lambda score: score.change("snr_db"))


def fails(name: str, change: float) -> bool:
    """Tell whether a change of a score is against the rule; ``nan`` never is."""
    worse = -change if METRICS[name].higher_is_better else change
    return worse > TOLERANCES.get(name, math.inf)


def run_matrix(
    model: str,
    folder: Path,
    *,
    clips: int,
    seconds: float,
    seed: int,
    log: Callable[[str], None] = lambda _: None,
    track: Callable[[Sequence[Condition]], Iterable[Condition]] = iter,
    jobs: int | None = None,
    cluster: str | None = None,
) -> Matrix:
    """Choose clips from ``folder`` and measure ``model`` on every condition.

    ``log`` is told at once what is wrong with the recordings; ``track`` may show how far it is.
    ``jobs`` conditions are measured at the same time, and ``cluster`` is where, as
    :func:`overtone.executor.map` has them.

    Raises:
        ModelError: there is no such model, or it cannot be used.
        InvalidInputError: there is no such folder, or nothing in it can be used.
    """
    make = partial(Enhancer, model, device="cpu", threads=1)
    enhancer = make()
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
    conditions = matrix(lowest_rate, min(USUAL_CUTOFF_HZ, info.max_cutoff_hz))
    shared = jobs is not None or cluster is not None
    scores, missing = measure(
        make if shared else lambda: enhancer,
        choice.clips,
        conditions,
        seed=seed,
        track=track,
        jobs=jobs,
        cluster=cluster,
    )
    return Matrix(info.name, sha256_of(enhancer.model.path), seed, seconds, choice, scores, missing)


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
    problems = [f"{path}: {reason}" for path, reason in failures]
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
) -> Excerpt | None:
    """Read an excerpt; None if the recording is too short."""
    with AudioReader(path) as reader:
        rate = reader.info.sample_rate
        lowest = min(LOWEST_CLIP_RATE, model_rate)
        if rate < lowest:
            raise InvalidInputError(f"{path}: {rate} Hz; give recordings of {lowest} Hz or more")
        mono = _mono(reader.blocks(), round(SOUGHT_S * rate))
    wanted = round(seconds * rate)
    if mono.size < wanted:
        return None
    start = int(rng.integers(mono.size - wanted + 1))
    samples = mono[start : start + wanted]
    digest = hashlib.sha256(samples.tobytes()).hexdigest()
    if rate > model_rate:
        samples, rate = resample(samples[None], rate, model_rate)[0], model_rate
    return Excerpt(
        path.relative_to(folder).as_posix(), start / reader.info.sample_rate, rate, samples, digest
    )


def _mono(blocks: Iterable[NDArray[np.float32]], most: int) -> Samples:
    mono, length = [np.zeros(0, np.float32)], 0
    for block in blocks:
        mono.append(block.mean(axis=0))
        length += block.shape[1]
        if length >= most:
            break
    return np.concatenate(mono)[:most]


def _ends_early(clip: Excerpt) -> list[str]:
    """Say that a clip has no top of its own: the conditions above its edge would mean nothing."""
    edge_hz = estimate_cutoff(clip.samples, clip.sample_rate).cutoff_hz
    if edge_hz is None or edge_hz > 0.8 * clip.sample_rate / 2:
        return []
    return [f"{clip.name}: its own band ends near {edge_hz:.0f} Hz; it is no full-band recording"]


# The conditions ---------------------------------------------------------------------------------


def measure(
    make_enhancer: Callable[[], Enhancer],
    clips: Sequence[Excerpt],
    conditions: Sequence[Condition],
    *,
    seed: int,
    track: Callable[[Sequence[Condition]], Iterable[Condition]] = iter,
    jobs: int | None = None,
    cluster: str | None = None,
) -> tuple[list[ConditionScore], list[str]]:
    """Score every condition; noise is the same in each for one ``seed``.

    Returns the scores, and a message for each row of conditions that cannot be made here (a codec
    that is not installed).
    """
    results = executor.map(
        make_enhancer,
        partial(_try_condition, clips=clips, seed=seed),
        [_Numbered(number, condition) for number, condition in enumerate(conditions)],
        jobs=jobs,
        cluster=cluster,
        lost=_lost,
    )
    # The order of the conditions, whichever was done first.
    done = {
        one.number: result for _, (one, result) in zip(track(conditions), results, strict=False)
    }
    scores: list[ConditionScore] = []
    missing: dict[str, str] = {}
    for number, condition in enumerate(conditions):
        result = done[number]
        if isinstance(result, str):
            missing.setdefault(condition.row, f"{condition.row}: not available here ({result})")
        else:
            scores.append(result)
    return scores, list(missing.values())


class _Numbered(NamedTuple):
    """A condition, and its place among all."""

    number: int
    condition: Condition


def _lost(one: _Numbered, reason: str) -> str:
    del one
    return reason


def _try_condition(
    enhancer: Enhancer,
    one: _Numbered,
    report: executor.Report,
    *,
    clips: Sequence[Excerpt],
    seed: int,
) -> ConditionScore | str:
    """Score a condition; a string says why it cannot be made here."""
    del report
    try:
        degraded = [
            one.condition.degrade(
                clip.samples, clip.sample_rate, np.random.default_rng([seed, index])
            )
            for index, clip in enumerate(clips)
        ]
    except OvertoneError as error:
        return str(error)
    return _score_condition(enhancer, one.condition, clips, degraded)


def _score_condition(
    enhancer: Enhancer,
    condition: Condition,
    clips: Sequence[Excerpt],
    degraded: Sequence[DegradedClip],
) -> ConditionScore:
    inputs, outputs, edges_hz, found_hz = [], [], [], []
    for clip, one in zip(clips, degraded, strict=True):
        rate, length = clip.sample_rate, one.reference.size
        plan = enhancer.plan([one.samples[None]], one.sample_rate, output_rate=rate)
        if plan.extend_from_hz is not None:
            found_hz.append(plan.extend_from_hz)
        low = fit(resample(one.samples[None], one.sample_rate, rate)[0], length)
        high, _ = enhancer.enhance(one.samples, one.sample_rate, output_rate=rate)
        edge_hz = condition.cutoff_hz or codec_edge_hz(one.reference, low, rate)
        edges_hz.append(edge_hz)
        # The known gain is taken out, so that the floor of LSD lies where it does elsewhere.
        inputs.append(score(one.reference, low / one.gain, rate, edge_hz))
        outputs.append(score(one.reference, fit(high, length) / one.gain, rate, edge_hz))
    changes = [
        {name: b[name] - a[name] for name in SCORES} for a, b in zip(inputs, outputs, strict=True)
    ]
    return ConditionScore(
        condition,
        len(clips),
        len(found_hz),
        float(np.median(edges_hz)),
        float(np.median(found_hz)) if found_hz else math.nan,
        mean_scores(inputs),
        mean_scores(outputs),
        {name: _worst(name, [change[name] for change in changes]) for name in SCORES},
    )


def score(reference: Samples, estimate: Samples, rate: int, edge_hz: float) -> dict[str, float]:
    """Return :data:`SCORES` of ``estimate [n]``, new from ``edge_hz`` up."""
    edge_hz = min(edge_hz, 0.97 * rate / 2)
    whole, above = lsd_of_bins(
        reference, estimate, [slice(None), band_bins(rate, edge_hz, math.inf)]
    )
    return {
        "lsd": whole,
        "lsd_hf": above,
        "envelope_db": envelope_db(reference, estimate, rate, edge_hz),
        "snr_db": snr_db(reference, estimate),
    }


def _worst(name: str, changes: Sequence[float]) -> float:
    defined = [change for change in changes if not math.isnan(change)]
    if not defined:
        return math.nan
    return min(defined) if name == "snr_db" else max(defined)
