"""Systems side by side on a suite of cases: every system run, read and scored on every case.

What a system is given is the case's input; its output is aligned with the reference, and
scored over what both have. Other systems' outputs are scored as they lie.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overtone import executor
from overtone.audio.reader import read_audio
from overtone.errors import InvalidInputError, OvertoneError
from overtone.evaluation.alignment import find_shift, overlap
from overtone.evaluation.baselines import BASELINES, soxr
from overtone.evaluation.cases import Case, Clip
from overtone.evaluation.suites import Suite
from overtone.evaluation.systems import System, always, find_systems
from overtone.files import sha256_of
from overtone.inference.model import list_models
from overtone.metrics import dnsmos_mos, evaluate_pair, pesq_mos, stoi, visqol_mos
from overtone.report import plot_spectrograms

FloatArray = NDArray[np.float32]
Pair = tuple[FloatArray, FloatArray]
Kind = Literal["baseline", "model", "file"]
# Pictures sharp enough to see harmonics in, small enough for a repository.
DRAWN_S, DRAWN_DOTS_PER_INCH = 4.0, 60


@dataclass(frozen=True)
class Score:
    """One system on one case: metrics by name, and by how many samples it was late.

    ``cpu_s`` is the CPU time that the system took for ``audio_s`` of sound; None for a file.
    """

    group: str
    case: str
    recording: str
    system: str
    scores: dict[str, float]
    shift_samples: int
    rate: int
    cutoff_hz: float
    audio_s: float
    cpu_s: float | None = None


class Example(NamedTuple):
    """A case to see and hear: ``(name, samples [channels, n], rate)``, the reference first.

    ``scores`` are the systems', by their names.
    """

    group: str
    case: str
    cutoff_hz: float
    sounds: list[tuple[str, FloatArray, int]]
    scores: dict[str, dict[str, float]]


@dataclass
class Comparison:
    """All that was measured. ``systems`` maps names to what they are and their identity.

    ``visqol`` holds the score of a set's joined clips by ``(group, system)``; ``hashes`` the
    SHA-256 of each case's files; ``problems`` a line for everything that was left out.
    """

    suite: Suite
    systems: dict[str, tuple[Kind, str]]
    aligned: bool
    perceptual: bool
    scores: list[Score] = field(default_factory=list)
    visqol: dict[tuple[str, str], float] = field(default_factory=dict)
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def choose_systems(models: Sequence[str] = ()) -> list[System]:
    """Return the baselines, and the models named, or else all that are shipped and fit a case.

    Raises:
        ModelError: there is no such model, or it cannot be used.
    """
    baselines = find_systems(list(BASELINES))
    if models:
        return [*baselines, *(replace(one, fits=always) for one in find_systems(models))]
    return [*baselines, *find_systems([info.name for info in list_models()])]


def system_names(suite: Suite, systems: Sequence[System]) -> list[str]:
    """Return the names of all that is compared: systems that are run, then files' of the suite."""
    files = dict.fromkeys(name for case in suite.cases for name in case.outputs)
    return [*(one.name for one in systems), *(_file_name(name, systems) for name in files)]


def compare(
    suite: Suite,
    systems: Sequence[System],
    *,
    align: bool = True,
    perceptual: bool = False,
    examples: int = 0,
    log: Callable[[str], None] = lambda _: None,
    jobs: int | None = None,
    cluster: str | None = None,
    make_systems: Callable[[], Sequence[System]] | None = None,
) -> Comparison:
    """Run and score ``systems``, and other systems' files, on every case of ``suite``.

    Args:
        suite: the cases; those that cannot be used become problems.
        systems: run where they fit.
        align: move every output by the shift that cross-correlation finds.
        perceptual: add PESQ, STOI and DNSMOS of each case, and ViSQOL of each set's clips joined.
        examples: how many cases to keep the sounds of, spread over the sets.
        log: told which case is done.
        jobs: cases done at the same time, and ``cluster``, as :func:`overtone.executor.map` has
            them.
        make_systems: makes ``systems`` anew in each of their processes.
    """
    kinds: dict[str, tuple[Kind, str]] = dict.fromkeys(
        system_names(suite, systems), ("file", "as found in the suite")
    )
    for one in systems:
        kinds[one.name] = ("baseline" if one.name in BASELINES else "model", one.identity)
    done = Comparison(suite, kinds, align, perceptual, problems=list(suite.problems))
    shown = {case.label for case in spread(suite.cases, examples)}
    work = partial(_measure, align=align, perceptual=perceptual, shown=shown)
    cases = [_Numbered(number, case) for number, case in enumerate(_by_group(suite.cases))]
    measured: dict[int, _Measured] = {}
    for (number, case), result in executor.map(
        make_systems or (lambda: systems), work, cases, jobs=jobs, cluster=cluster, lost=_lost
    ):
        log(case.label)
        measured[number] = result
    for group, numbered in groupby(cases, key=lambda one: one.case.group):
        results = [(case, measured[number]) for number, case in numbered]
        for case, result in results:
            done.problems += result.problems
            done.scores += result.scores
            done.examples += result.examples
            if result.hashes:
                done.hashes[case.label] = result.hashes
        if perceptual:
            _score_joined(group, [result for _, result in results], done)
    return done


class _Numbered(NamedTuple):
    """A case, and its place among all."""

    number: int
    case: Case


@dataclass
class _Measured:
    """What one case comes to. ``pairs`` are by system, and only kept where they are wanted."""

    rate: int = 0
    hashes: dict[str, str] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    pairs: dict[str, Pair] = field(default_factory=dict)


def _lost(one: _Numbered, reason: str) -> _Measured:
    return _Measured(problems=[_named(one.case.label, reason)])


def _measure(
    systems: Sequence[System],
    one: _Numbered,
    report: executor.Report,
    *,
    align: bool,
    perceptual: bool,
    shown: Collection[str],
) -> _Measured:
    """Run and score every system on one case."""
    del report
    case, done = one.case, _Measured()
    try:
        clip = case.open()
        _require_matching(clip)
        done.hashes = {what: sha256_of(path) for what, path in case.files()}
    except (OvertoneError, OSError) as error:
        return _lost(one, str(error))
    done.rate = clip.rate
    pairs = _run_case(case, clip, systems, done, align=align, perceptual=perceptual)
    if case.label in shown:
        scores = {score.system: score.scores for score in done.scores}
        done.examples.append(_example(case, clip, pairs, scores))
    if perceptual:
        done.pairs = pairs
    return done


def spread(cases: Iterable[Case], count: int) -> list[Case]:
    """Return ``count`` cases, the first of every set, then the second, and so on."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.group].append(case)
    rounds = zip_longest(*groups.values())
    return [case for cases in rounds for case in cases if case is not None][:count]


def _by_group(cases: Sequence[Case]) -> list[Case]:
    order = {group: index for index, group in enumerate(dict.fromkeys(c.group for c in cases))}
    return sorted(cases, key=lambda case: order[case.group])


def _file_name(name: str, systems: Sequence[System]) -> str:
    """Return the name of a file's system: its own, unless something that is run has it."""
    return f"{name} (file)" if any(one.name == name for one in systems) else name


def _require_matching(clip: Clip) -> None:
    """Refuse a input that cannot belong to the reference, once for all systems."""
    try:
        plain = soxr(clip.low, clip.low_rate, clip.rate)
        overlap(clip.reference, plain, clip.rate, find_shift(clip.reference, plain, clip.rate))
    except InvalidInputError as error:
        raise InvalidInputError(f"its input {error}") from error


def _run_case(
    case: Case,
    clip: Clip,
    systems: Sequence[System],
    done: _Measured,
    *,
    align: bool,
    perceptual: bool,
) -> dict[str, Pair]:
    """Score every system on one case; returns the aligned pairs by system."""
    pairs = {}
    outputs: dict[str, Callable[[], tuple[FloatArray, float | None]]] = {
        one.name: _runner(one, clip) for one in systems if one.fits(clip.low_rate, clip.rate)
    }
    for name, path in case.outputs.items():
        outputs[_file_name(name, systems)] = _reader(path, clip)
    for name, output in outputs.items():
        try:
            estimate, cpu_s = output()
            shift = find_shift(clip.reference, estimate, clip.rate) if align else 0
            pair = overlap(clip.reference, estimate, clip.rate, shift)
            scores = _scores(*pair, clip, perceptual)
        except OvertoneError as error:
            done.problems.append(_named(f"{case.label}: {name}", str(error)))
            continue
        pairs[name] = pair
        done.scores.append(
            Score(
                case.group,
                case.name,
                case.recording,
                name,
                scores,
                shift,
                clip.rate,
                clip.low_rate / 2,
                clip.reference.shape[1] / clip.rate,
                cpu_s,
            )
        )
    return pairs


def _runner(system: System, clip: Clip) -> Callable[[], tuple[FloatArray, float | None]]:
    def run() -> tuple[FloatArray, float]:
        start = time.process_time()
        estimate = system.upsample(clip.low, clip.low_rate, clip.rate)
        return estimate, time.process_time() - start

    return run


def _reader(path: Path, clip: Clip) -> Callable[[], tuple[FloatArray, None]]:
    def read() -> tuple[FloatArray, None]:
        estimate, rate = read_audio(path)
        if rate != clip.rate:
            raise InvalidInputError(f"{path}: at {rate} Hz, its reference at {clip.rate} Hz")
        if len(estimate) != len(clip.reference):
            raise InvalidInputError(
                f"{path}: {len(estimate)} channels, its reference {len(clip.reference)}"
            )
        return estimate, None

    return read


def _scores(y: FloatArray, x: FloatArray, clip: Clip, perceptual: bool) -> dict[str, float]:
    scores = evaluate_pair(y, x, clip.rate, cutoff_hz=clip.low_rate / 2)
    if perceptual:
        scores |= {"pesq_mos": pesq_mos(y, x, clip.rate), "stoi": stoi(y, x, clip.rate)}
        scores["dnsmos_mos"] = dnsmos_mos(x, clip.rate)
        scores["reference_dnsmos_mos"] = dnsmos_mos(y, clip.rate)
    return scores


def _score_joined(group: str, results: Sequence[_Measured], done: Comparison) -> None:
    joined: dict[str, list[Pair]] = defaultdict(list)
    for result in results:
        for name, pair in result.pairs.items():
            joined[name].append(pair)
    rates = {result.rate for result in results if result.pairs}
    if len(rates) > 1:
        found = ", ".join(map(str, sorted(rates)))
        done.problems.append(f"{group}: no ViSQOL, its clips have different rates ({found} Hz)")
        return
    for name, pairs in joined.items():
        channels = {len(y) for y, _ in pairs}
        if len(channels) > 1:
            done.problems.append(f"{group}: no ViSQOL, its clips have different channel counts")
            return
        y, x = (np.concatenate(side, axis=1) for side in zip(*pairs, strict=True))
        done.visqol[group, name] = visqol_mos(y, x, *rates)


def _example(
    case: Case,
    clip: Clip,
    pairs: dict[str, Pair],
    scores: dict[str, dict[str, float]],
) -> Example:
    sounds = [("reference", clip.reference, clip.rate)]
    if clip.low_rate == round(clip.low_rate):
        sounds.append(("input", clip.low, round(clip.low_rate)))
    sounds += [(name, x, clip.rate) for name, (_, x) in pairs.items()]
    return Example(case.group, case.name, clip.low_rate / 2, sounds, scores)


def draw_clip(case: Case, system: System, path: Path, *, overwrite: bool = False) -> None:
    """Draw the input, what ``system`` makes of it, and the reference; at most four seconds."""
    clip = case.open()
    output = system.upsample(clip.low, clip.low_rate, clip.rate)
    sounds = [
        ("input", clip.low, round(clip.low_rate)),  # a picture does not show half a hertz
        (system.name, output, clip.rate),
        ("reference", clip.reference, clip.rate),
    ]
    plot_spectrograms(
        [(name, samples[:, : round(DRAWN_S * rate)], rate) for name, samples, rate in sounds],
        path,
        cutoff_hz=[None, clip.low_rate / 2, clip.low_rate / 2],
        dots_per_inch=DRAWN_DOTS_PER_INCH,
        overwrite=overwrite,
    )


def _named(label: str, message: str) -> str:
    return f"{label}: skipped, {message}"
