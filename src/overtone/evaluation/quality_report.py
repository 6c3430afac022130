"""What a comparison says: means with intervals, differences, settings, pages, clips to hear."""

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from overtone import __version__
from overtone.audio.writer import AudioWriter
from overtone.dsp.resample import resample
from overtone.errors import InvalidInputError, MissingExtraError
from overtone.evaluation.alignment import MAX_SHIFT_S, MIN_GAIN_DB
from overtone.evaluation.quality import Comparison, Example, Score
from overtone.evaluation.stats import LEVEL, RESAMPLES, Mean, mean_with_interval
from overtone.files import refuse_existing, write_text
from overtone.metrics import describe, settings_lines
from overtone.metrics.scores import OF_REFERENCE
from overtone.report import Cell, Column, Figure, Notes, Report, Section, Sound, Table
from overtone.report.pages import Block, around, join, made_by
from overtone.report.pictures import plot_spectrograms
from overtone.report.provenance import LIBRARIES

MEANS = ("lsd", "lsd_hf", "lsd_lf", "kuleshov_lsd", "snr_db", "si_sdr_db")
PERCEPTUAL_MEANS = ("pesq_mos", "stoi")
VISQOL = "visqol_mos"
ENVELOPE = ("envelope_db",)
# Of one recording: to be held beside the reference's own.
TEXTURE = ("grain_db", "harmonics", "pulses_db")
TEXTURE_PERCEPTUAL = ("dnsmos_mos",)

CASES, RESULTS, SUMMARY, PAGE, TIMINGS = FILES = (
    "cases.csv",
    "results.json",
    "summary.md",
    "report.html",
    "timings.json",
)
BEGIN = "<!-- made by overtone benchmark quality; what stands before the end mark is replaced -->"
END = "<!-- end of what overtone benchmark quality made -->"
TITLE = "Systems side by side"
# A page that holds its sounds has to stay small enough to be opened.
EXCERPT_S = 5.0
PICTURE_DOTS_PER_INCH = 70


@dataclass(frozen=True)
class Row:
    """One system on one set: its means, and those of its differences to the chosen system.

    Differences are over the ``common`` cases that both have, case by case.
    """

    group: str
    system: str
    cases: int
    shifts: tuple[int, ...]
    means: Mapping[str, Mean]
    cpu_s_per_s: float | None
    common: int
    differences: Mapping[str, Mean]


def require_system(names: Iterable[str], versus: str) -> None:
    """Raise :class:`~overtone.errors.InvalidInputError` unless ``versus`` is one of ``names``."""
    known = list(names)
    if versus not in known:
        raise InvalidInputError(
            f"--versus {versus}: no such system here; there are {', '.join(known)}"
        )


def summarise(comparison: Comparison, versus: str) -> list[Row]:
    """Return a row for every set and system: sets in order, baselines, models, then files."""
    found: dict[tuple[str, str], list[Score]] = {}
    groups = list(dict.fromkeys(score.group for score in comparison.scores))
    for score in comparison.scores:
        found.setdefault((score.group, score.system), []).append(score)
    return [
        _row(comparison, found[group, system], found.get((group, versus), []))
        for group in groups
        for system in comparison.systems
        if (group, system) in found
    ]


def _row(comparison: Comparison, scores: Sequence[Score], versus: Sequence[Score]) -> Row:
    group, system = scores[0].group, scores[0].system
    listeners = comparison.perceptual
    compared = [*MEANS, *PERCEPTUAL_MEANS * listeners, *ENVELOPE]
    own = [*TEXTURE, *TEXTURE_PERCEPTUAL * listeners]
    other = {score.case: score.scores for score in versus if score.system != system}
    common = [score for score in scores if score.case in other]

    def means(of: Sequence[Score], names: Iterable[str], *, minus: bool = False) -> dict[str, Mean]:
        recordings = [one.recording for one in of]
        return {
            name: mean_with_interval(
                [one.scores[name] - minus * other.get(one.case, one.scores)[name] for one in of],
                recordings,
            )
            for name in names
        }

    visqol = {VISQOL: Mean(comparison.visqol.get((group, system), math.nan))} if listeners else {}
    cpu_s = [score.cpu_s for score in scores if score.cpu_s is not None]
    return Row(
        group,
        system,
        len(scores),
        tuple(sorted({score.shift_samples for score in scores})),
        means(scores, [*compared, *own, *(OF_REFERENCE + name for name in own)]) | visqol,
        math.fsum(cpu_s) / math.fsum(score.audio_s for score in scores) if cpu_s else None,
        len(common),
        means(common, compared, minus=True) if common else {},
    )


# Tables ------------------------------------------------------------------------------------------

_SYSTEM = Column("system", "system")
_CASES = Column("cases", "cases")


def _mean_column(name: str, label: str = "", *, bare: bool = False) -> Column:
    def text(row: Row) -> Cell:
        mean = row.means[name]
        return (Mean(mean.value) if bare else mean).text(describe(name).decimals)

    return Column(name, label or describe(name).label, of=text)


def score_table(rows: Sequence[Row], *, with_cost: bool = True) -> Table:
    """Return means of one set, a system a row; ``with_cost`` adds CPU-seconds per second."""
    names = [name for name in (*MEANS, VISQOL, *PERCEPTUAL_MEANS) if name in rows[0].means]
    columns = [_SYSTEM, _CASES, *map(_mean_column, names)]
    columns.append(
        Column(
            "shift",
            "late, samples",
            of=lambda row: " to ".join(dict.fromkeys(map(str, (row.shifts[0], row.shifts[-1])))),
        )
    )
    if with_cost:
        columns.append(Column("cpu_s_per_s", "CPU-s per s", 4))
    return Table.of(rows, columns)


def texture_table(rows: Sequence[Row]) -> Table:
    """Return the envelope's distance, and the texture beside the reference's own."""
    columns = [_SYSTEM, _CASES, *map(_mean_column, ENVELOPE)]
    for name in (*TEXTURE, *TEXTURE_PERCEPTUAL):
        if name in rows[0].means:
            columns += [
                _mean_column(name),
                _mean_column(OF_REFERENCE + name, "reference", bare=True),
            ]
    return Table.of(rows, columns)


def difference_table(rows: Sequence[Row], versus: str, *, grouped: bool = False) -> Table | None:
    """Return differences to ``versus``, and sets if ``grouped``; None where no case is shared."""
    compared = [row for row in rows if row.common]
    if not compared:
        return None

    def column(name: str) -> Column:
        metric = describe(name)
        return Column(
            name, metric.label, of=lambda row: row.differences[name].text(metric.decimals, "+")
        )

    columns = [
        Column("system", f"minus {versus}", of=lambda row: row.system),
        Column("cases", "cases", of=lambda row: row.common),
    ]
    if grouped:
        columns.insert(0, Column("group", "group"))
    return Table.of(compared, [*columns, *map(column, compared[0].differences)])


def case_table(comparison: Comparison) -> Table:
    """Return every figure of every case but timings: the same input gives the same table."""
    names = list(dict.fromkeys(name for score in comparison.scores for name in score.scores))
    columns = [
        Column("group", "group"),
        Column("case", "case"),
        Column("system", "system"),
        Column("kind", "kind", of=lambda score: comparison.systems[score.system][0]),
        Column("sample_rate", "sample_rate", of=lambda score: score.rate),
        Column("cutoff_hz", "cutoff_hz"),
        Column("shift_samples", "shift_samples"),
        *(Column(name, name, of=partial(_score, name)) for name in names),
    ]
    return Table.of(comparison.scores, columns)


def _score(name: str, score: Score) -> float | None:
    return score.scores.get(name)


def settings(comparison: Comparison, versus: str) -> list[str]:
    """Say what made the numbers: versions, inputs, alignment, intervals, metrics."""
    libraries = [*LIBRARIES, "scipy"]
    if comparison.perceptual:
        libraries += ["visqol-python", "pesq", "pystoi", "speechmos"]
    aligned = (
        "every output moved by the whole number of samples, at most "
        f"{MAX_SHIFT_S:g} s, at which its cross-correlation with the reference is highest, where"
        f" that gains {MIN_GAIN_DB:g} dB"
        if comparison.aligned
        else "none: outputs are scored as they start"
    )
    used = dict.fromkeys(name for score in comparison.scores for name in score.scores)
    lines = [
        f"overtone {__version__}, " + ", ".join(f"{name} {version(name)}" for name in libraries),
        *comparison.suite.settings,
        f"alignment: {aligned}; scored over what both have",
        "several channels: their mean; LSD-HF, LSD-LF and texture: above and below half the"
        " input's rate",
        "models find the cutoff themselves, and run on one thread; system soxr is soxr VHQ",
        f"[ , ]: {100 * LEVEL:g} % percentile bootstrap interval of the mean over recordings,"
        f" {RESAMPLES} resamples, seed 0; differences are taken case by case, to {versus}",
        *settings_lines([*used, *([VISQOL] if comparison.perceptual else [])]),
    ]
    if comparison.perceptual:
        lines.append(
            "ViSQOL is of each set's clips joined, since single clips can be too short for it:"
            " it has no interval"
        )
    if any(math.isnan(value) for score in comparison.scores for value in score.scores.values()):
        lines.append(
            "n/a: an output that equals its reference or is silent, no voiced frames, or too little"
            " sound for a listener model; left out of means"
        )
    return lines


# Pages -------------------------------------------------------------------------------------------


def report(
    comparison: Comparison,
    rows: Sequence[Row],
    versus: str,
    *,
    with_cost: bool = True,
    with_clips: bool = False,
    differences_in: str = "",
) -> Report:
    """Return tables of every set, the systems' identities, the settings, and what was left out.

    ``with_clips`` adds the clips that were kept, to see and hear in HTML. ``differences_in`` names
    the file beside the page that has the differences in place of tables.
    """
    parts = []
    for group, members in groupby(rows, key=lambda row: row.group):
        found = list(members)
        tables = [score_table(found, with_cost=with_cost), texture_table(found)]
        differences = None if differences_in else difference_table(found, versus)
        parts.append(Section(group, [*tables, *([differences] if differences else [])]))
    if with_clips and comparison.examples:
        said = (
            f"At most the first {EXCERPT_S:g} s. The dashed line is half the input's rate."
            " All players of a clip have one gain."
        )
        parts += [Section("Seen and heard", [said]), *map(_example, comparison.examples)]
    if differences_in:
        said = f"Differences to {versus}, case by case: [{differences_in}]({differences_in})."
        parts.append(Section("Differences", [said]))
    parts.append(Section("Systems", [_identities(comparison)]))
    parts.append(Section("Settings", [Notes(settings(comparison, versus))]))
    if comparison.problems:
        parts.append(Section("Left out", [Notes(comparison.problems, urgent=True)]))
    models = {name for name, (kind, _) in comparison.systems.items() if kind == "model"}
    return Report(TITLE, parts, models)


def _identities(comparison: Comparison) -> Table:
    def identity(item: tuple[str, tuple[str, str]]) -> str:
        _, (kind, text) = item
        return f"SHA-256 {text}" if kind == "model" else text

    columns = [
        Column("system", "system", of=lambda item: item[0]),
        Column("kind", "kind", of=lambda item: item[1][0]),
        Column("identity", "identity", of=identity),
    ]
    return Table.of(comparison.systems.items(), columns)


def _example(example: Example) -> Section:
    """Return a clip: one picture of all its spectrograms, and a row with a player for each."""
    sounds = [(name, x[:, : round(EXCERPT_S * rate)], rate) for name, x, rate in example.sounds]
    peak = max(float(np.max(np.abs(x), initial=0)) for _, x, _ in sounds)
    gain = np.float32(min(1.0, 0.99 / peak)) if peak else np.float32(1)
    title = f"{example.group}/{example.case}"
    rate = sounds[0][2]
    with tempfile.TemporaryDirectory(prefix="overtone-quality-") as folder:
        picture = _picture(sounds, example.cutoff_hz, Path(folder), title)

        def player(sound: tuple[str, np.ndarray, int]) -> Sound:
            _, samples, own_rate = sound
            return _flac(resample(samples, own_rate, rate) * gain, rate, Path(folder))

        columns = [Column("system", "", of=lambda sound: sound[0]), Column("sound", "", of=player)]
        for name in (*MEANS, *ENVELOPE):
            metric = describe(name)
            own = partial(_own_score, example, name)
            columns.append(Column(name, metric.label, metric.decimals, of=own))
        return Section(title, [picture, Table.of(sounds, columns)], level=1)


def _own_score(example: Example, name: str, sound: tuple[str, np.ndarray, int]) -> float | None:
    return example.scores.get(sound[0], {}).get(name)


def _picture(
    sounds: Sequence[tuple[str, np.ndarray, int]], cutoff_hz: float, folder: Path, title: str
) -> Block:
    path = folder / "spectrograms.png"
    try:
        plot_spectrograms(
            sounds, path, cutoff_hz=cutoff_hz, dots_per_inch=PICTURE_DOTS_PER_INCH, overwrite=True
        )
    except MissingExtraError as error:
        return str(error)
    return Figure(f"spectrograms of {title}", png=path.read_bytes())


def _flac(samples: np.ndarray, rate: int, folder: Path) -> Sound:
    path = folder / "sound.flac"
    with AudioWriter(path, rate, len(samples), subtype="PCM_16", overwrite=True) as writer:
        writer.write(samples)
    return Sound(path.read_bytes())


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raise :class:`~overtone.errors.InvalidInputError` unless results may be written there."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder}: a file; -o names a folder for the results")
    for name in FILES:
        refuse_existing(folder / name, overwrite)


def write_folder(
    comparison: Comparison, rows: Sequence[Row], versus: str, folder: Path, *, overwrite: bool
) -> list[Path]:
    """Write :data:`FILES`; all but the timings are the same bytes for the same input.

    Returns the files written.
    """
    check_folder(folder, overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"{folder}: cannot be made ({error.strerror})") from error
    page = report(comparison, rows, versus, with_cost=False, with_clips=True)
    summary = report(comparison, rows, versus, with_cost=False)
    texts = {
        CASES: case_table(comparison).render("csv"),
        RESULTS: as_json(comparison, rows, versus),
        SUMMARY: summary.markdown(level=3),
        PAGE: page.html(),
        TIMINGS: timings(comparison, rows),
    }
    for name, text in texts.items():
        write_text(text, folder / name, overwrite=overwrite)
    return [folder / name for name in texts]


def update_page(
    comparison: Comparison,
    rows: Sequence[Row],
    versus: str,
    path: Path,
    command: str,
    *,
    overwrite: bool,
) -> None:
    """Write the generated part of a Markdown page, and its differences as CSV beside it.

    What stands outside the marks of a page that exists is kept; a new page gets a title.

    Raises:
        InvalidInputError: the page exists and may not be changed, or has no marks.
    """
    before, after = page_around(path, overwrite)
    differences = difference_table(rows, versus, grouped=True)
    beside = path.with_suffix(".csv")
    name = beside.name if differences else ""
    made = report(comparison, rows, versus, differences_in=name).markdown(level=3, titled=False)
    if differences:
        write_text(differences.render("csv"), beside, overwrite=overwrite)
    text = join(before, made_by(command) + "\n" + made, after)
    write_text(text, path, overwrite=overwrite)


def page_around(path: Path, overwrite: bool) -> tuple[str, str]:
    """Return the page ``path`` up to its first mark and from its second on. Raises as above."""
    for written in (path, path.with_suffix(".csv")):
        refuse_existing(written, overwrite)
    if not path.parent.is_dir():
        raise InvalidInputError(f"{path}: the folder {path.parent} does not exist; create it")
    if not path.exists():
        return f"# {TITLE}\n\n{BEGIN}", f"{END}\n"
    return around(path, BEGIN, END)


# Data --------------------------------------------------------------------------------------------


def timings(comparison: Comparison, rows: Sequence[Row]) -> str:
    """Return CPU-seconds per second of audio by set and system, and for every case, as JSON."""
    sets = [row for row in rows if row.cpu_s_per_s is not None]
    cases = [score for score in comparison.scores if score.cpu_s is not None]
    return _json(
        {
            "sets": list(_picked(sets, "group", "system", "cpu_s_per_s")),
            "cases": list(_picked(cases, "group", "case", "system", "cpu_s", "audio_s")),
        }
    )


def as_json(comparison: Comparison, rows: Sequence[Row], versus: str) -> str:
    """Return everything but timings: settings, systems, hashes, means, cases, problems."""
    sets = _picked(rows, "group", "system", "cases", "common", "means", "differences")
    return _json(
        {
            "settings": settings(comparison, versus),
            "versus": versus,
            "systems": {
                name: {"kind": kind, "identity": identity}
                for name, (kind, identity) in comparison.systems.items()
            },
            "sets": list(sets),
            "cases": json.loads(case_table(comparison).render("json"))["rows"],
            "sha256": comparison.hashes,
            "problems": comparison.problems,
        }
    )


def _picked(items: Iterable[Any], *names: str) -> Iterator[dict[str, Any]]:
    return ({name: getattr(item, name) for name in names} for item in items)


def _json(content: Any) -> str:
    return json.dumps(_exact(content), indent=2, ensure_ascii=False) + "\n"


def _exact(value: Any) -> Any:
    """Return the value with six decimals, null for what is not finite, and means by name."""
    if isinstance(value, Mean):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: _exact(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(one) for one in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
