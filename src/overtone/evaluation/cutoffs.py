"""How far the detected end of the band is off, on real recordings.

Every recording is low-passed by each filter at each cutoff, resampled, and coded by MP3 and Opus.
The estimate is compared with the filter's nominal cutoff, the resampler's edge (the middle of 0.913
to 1 times the low rate's Nyquist frequency), or the frequency where the codec's output falls 10 dB
under the original and stays there. Half of the results are dithered to 16 bits first. What is
random is seeded.

What could fool the detector comes in three more tables: steady lines and high-passes on recordings
of which half were resampled, and a bandwidth that changes halfway.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy import signal

from overtone.degrade.codecs import mp3_roundtrip, opus_roundtrip
from overtone.dsp.bandwidth import CutoffEstimate, estimate_cutoff
from overtone.dsp.stretches import find_stretches
from overtone.errors import InvalidInputError
from overtone.evaluation.edges import codec_edge_hz
from overtone.report import Column, Report, Section, Table

Samples = NDArray[Any]
Answers = list[tuple[CutoffEstimate, float]]  # each with the truth in Hz

CUTOFFS_HZ = (1000, 2000, 4000, 5500, 8000, 11000)
HIGHEST_PART_OF_NYQUIST = 0.72
RESAMPLER_EDGE = (0.913 + 1) / 2
SUFFIXES = {".flac", ".wav", ".ogg", ".opus", ".mp3"}
MARKS = (
    "<!-- made by overtone benchmark cutoff; what stands before the end mark is replaced -->",
    "<!-- end of what overtone benchmark cutoff made -->",
)
# Arguments of scipy.signal.iirfilter, but for the cutoff.
FILTERS: dict[str, dict[str, Any]] = {
    **{f"Butterworth, order {n}": {"N": n, "ftype": "butter"} for n in (4, 5, 6, 8, 10)},
    "Chebyshev I, order 6, 1 dB": {"N": 6, "rp": 1, "ftype": "cheby1"},
    "Chebyshev I, order 8, 0.05 dB": {"N": 8, "rp": 0.05, "ftype": "cheby1"},
    "elliptic, order 6, 60 dB": {"N": 6, "rp": 0.5, "rs": 60, "ftype": "ellip"},
    "elliptic, order 8, 80 dB": {"N": 8, "rp": 0.1, "rs": 80, "ftype": "ellip"},
}


# The recordings that lines and high-passes are put on are as they are, or resampled to this rate.
LOW_RATE = 8000
LINES_DBFS = (-70, -60, -50, -40, -30, -20)
LINES_HZ = (50, 1000, 3000, 8000, 9000, 12000, 15625, 19000)
HIGH_PASSES_HZ = (80, 150, 300, 400)
TURN_S = 0.02  # of crossfade
SAME_CUTOFF = 0.15


def measure_kinds(
    kinds: Sequence[str],
    files: int,
    whole: Sequence[str],
    seconds: float,
    *,
    log: Callable[[str], None] = lambda _: None,
) -> Report:
    """Measure ``KIND=FOLDER``\\ s of recordings; all recordings of those in ``whole``.

    Of the other kinds the last tenth, by name, of each subfolder is measured, ``files`` at most.
    ``log`` is told which recordings cannot be read.

    Raises:
        InvalidInputError: no such folder, or a kind in ``whole`` that is none.
    """
    folders = {}
    for argument in kinds:
        kind, _, place = argument.partition("=")
        if not place or not Path(place).is_dir():
            raise InvalidInputError(f"{argument}: not KIND=FOLDER with a folder that exists")
        folders[kind] = Path(place)
    for kind in whole:
        if kind not in folders:
            raise InvalidInputError(f"--whole {kind}: no such kind; given: {', '.join(folders)}")
    sections = []
    for kind, folder in folders.items():
        paths = list(pick(folder, files, whole=kind in whole))
        sections += measure(kind, paths, seconds, log)
    return Report("The detected cutoff", sections)


def measure(
    kind: str, paths: Sequence[Path], seconds: float, log: Callable[[str], None]
) -> list[Section]:
    """Return the tables of one kind of recordings."""
    originals: dict[str, Answers] = defaultdict(list)
    by_family: dict[str, Answers] = defaultdict(list)
    by_cutoff: dict[str, Answers] = defaultdict(list)
    by_codec: dict[str, Answers] = defaultdict(list)
    disturbed: dict[str, list[bool]] = defaultdict(list)
    changing: dict[str, list[Change]] = defaultdict(list)
    for number, path in enumerate(paths):
        try:
            excerpts = list(read_excerpts(path, seconds))
        except soundfile.LibsndfileError as error:
            log(f"skipped {path.name}: {error}")
            continue
        rng = np.random.default_rng(number)
        for x, rate in excerpts:
            originals[path.parent.name].append((estimate_cutoff(x, rate), rate / 2))
            for family, cutoff_hz, truth_hz, y in low_passed(x, rate):
                answer = (estimate_cutoff(dither_half(y, rng), rate), truth_hz)
                by_family[family].append(answer)
                by_cutoff[f"{cutoff_hz} Hz"].append(answer)
            for name, y in coded(x, rate):
                by_codec[name].append((estimate_cutoff(y, rate), codec_edge_hz(x, y, rate)))
            for name, plain, y in disturbances(x, rate, rng):
                before, after = (estimate_cutoff(samples, rate) for samples in (plain, y))
                disturbed[name].append(_alike(before, after))
            for name, y in changes(x, rate):
                changing[name].append(find_change(y, rate))
    name = f"{kind[:1].upper()}{kind[1:]}"
    filtered = [errors_table("filter", by_family), errors_table("cutoff", by_cutoff)]
    sections = [
        Section(f"{name}, as it is", [originals_table(originals)]),
        Section(f"{name}, low-passed", filtered),
    ]
    if by_codec:
        sections.append(Section(f"{name}, coded", [errors_table("codec", by_codec)]))
    sections.append(Section(f"{name}, with lines and high-passes", [kept_table(disturbed)]))
    if changing:
        sections.append(Section(f"{name}, changing halfway", [changes_table(changing)]))
    return sections


def pick(folder: Path, files: int, *, whole: bool) -> Iterator[Path]:
    """Yield that many recordings of every subfolder, evenly spaced in order of name."""
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            folders[path.parent].append(path)
    for paths in folders.values():
        kept = len(paths) - max(1, len(paths) // 10)
        chosen = paths if whole else paths[kept:]
        count = min(files, len(chosen))
        yield from (chosen[i * len(chosen) // count] for i in range(count))


def read_excerpts(path: Path, seconds: float) -> Iterator[tuple[Samples, int]]:
    """Yield the start of a recording, mean of its channels; of a long one four places."""
    with soundfile.SoundFile(path) as file:
        frames = min(file.frames, int(seconds * file.samplerate))
        places = 4 if file.frames > 8 * frames else 1
        for place in range(places):
            file.seek(place * file.frames // places)
            yield file.read(frames, always_2d=True).mean(axis=1), file.samplerate


def low_passed(x: Samples, rate: int) -> Iterator[tuple[str, int, float, Samples]]:
    """Yield every filtered version: family, nominal cutoff, truth in Hz, samples."""
    for cutoff_hz in CUTOFFS_HZ:
        if cutoff_hz > HIGHEST_PART_OF_NYQUIST * rate / 2:
            continue
        for family, design in FILTERS.items():
            sos = signal.iirfilter(Wn=cutoff_hz, btype="low", fs=rate, output="sos", **design)
            yield family, cutoff_hz, cutoff_hz, signal.sosfilt(sos, x)
        zero_phase = signal.butter(4, cutoff_hz, fs=rate, output="sos")
        name = "Butterworth, order 4, forth and back"
        yield name, cutoff_hz, cutoff_hz, signal.sosfiltfilt(zero_phase, x)
        for quality in ("HQ", "VHQ"):
            low = soxr.resample(x, rate, 2 * cutoff_hz, quality=quality)
            y = soxr.resample(low, 2 * cutoff_hz, rate, quality=quality)
            yield f"soxr {quality}", cutoff_hz, RESAMPLER_EDGE * cutoff_hz, y


def coded(x: Samples, rate: int) -> Iterator[tuple[str, Samples]]:
    """Yield the recording as lossy codecs return it, from 44.1 kHz up."""
    if rate in (44100, 48000):
        for kbps in (32, 48, 64, 96, 128):
            yield f"MP3, {kbps} kbit/s", mp3_roundtrip(x, rate, kbps)
        for kbps in (8, 12, 16, 24, 32):
            yield f"Opus, {kbps} kbit/s", opus_roundtrip(x, rate, kbps)


def disturbances(
    x: Samples, rate: int, rng: np.random.Generator
) -> Iterator[tuple[str, Samples, Samples]]:
    """Yield each disturbance: its name, the recording without it and with it."""
    turn = 2 * np.pi / rate * np.arange(len(x))
    for plain in (x, _telephone(x, rate)) if rate > LOW_RATE else (x,):
        for dbfs in LINES_DBFS:
            hertz = rng.choice([hertz for hertz in LINES_HZ if hertz < 0.45 * rate])
            line = 10 ** (dbfs / 20) * np.sqrt(2) * np.sin(hertz * turn)
            yield f"a line at {dbfs} dBFS", plain, plain + line
        for hertz in HIGH_PASSES_HZ:
            sos = signal.butter(4, hertz, "high", fs=rate, output="sos")
            yield f"from {hertz} Hz", plain, signal.sosfilt(sos, plain)


def changes(x: Samples, rate: int) -> Iterator[tuple[str, Samples]]:
    """Yield the recording, if it is in full band, with half of it resampled."""
    if rate <= 2 * LOW_RATE or estimate_cutoff(x, rate).verdict != "full band":
        return
    after = np.clip((np.arange(len(x)) - len(x) / 2) / (TURN_S * rate) + 0.5, 0, 1)
    low = _telephone(x, rate)
    yield f"{LOW_RATE // 2} Hz, then full band", low + after * (x - low)
    yield f"full band, then {LOW_RATE // 2} Hz", x + after * (low - x)


def _telephone(x: Samples, rate: int) -> Samples:
    low = soxr.resample(soxr.resample(x, rate, LOW_RATE), LOW_RATE, rate)[: len(x)]
    return np.pad(low, (0, len(x) - len(low)))


class Change(NamedTuple):
    """What was found of a change halfway: how far off in time, and the narrow half's cutoff."""

    off_s: float | None
    narrow: CutoffEstimate | None


def find_change(y: Samples, rate: int) -> Change:
    """Look for the change in the middle of a recording."""
    found = find_stretches(y, rate)
    if len(found) != 2:
        return Change(None, None)
    narrow = min(found, key=lambda stretch: stretch.cutoff.cutoff_hz or rate)
    return Change(found[0].end_s - len(y) / rate / 2, narrow.cutoff)


def _alike(one: CutoffEstimate, other: CutoffEstimate) -> bool:
    if one.verdict != other.verdict or one.cutoff_hz is None or other.cutoff_hz is None:
        return one.verdict == other.verdict
    return abs(other.cutoff_hz / one.cutoff_hz - 1) < SAME_CUTOFF


def dither_half(x: Samples, rng: np.random.Generator) -> Samples:
    """Round to 16 bits with triangular dither, or leave alone, by a coin."""
    if rng.random() < 0.5:
        return x
    return np.round(32768 * x + rng.random(len(x)) - rng.random(len(x))) / 32768


def originals_table(originals: dict[str, Answers]) -> Table:
    """Return what was said about the recordings as they are."""

    def count(verdict: str) -> Callable[[Any], int]:
        return lambda item: sum(estimate.verdict == verdict for estimate, _ in item[1])

    def limited(item: tuple[str, Answers]) -> str:
        found = [e.cutoff_hz for e, _ in item[1] if e.verdict == "band-limited" and e.cutoff_hz]
        return f"{len(found)} ({np.median(found):.0f})" if found else "0"

    columns = [
        Column("name", "recordings", of=lambda item: item[0]),
        Column("n", "n", of=lambda item: len(item[1])),
        Column("full", "full band", of=count("full band")),
        Column("limited", "band-limited (median Hz)", of=limited),
        Column("unsure", "unsure", of=count("unsure")),
    ]
    return Table.of(originals.items(), columns)


def kept_table(rows: dict[str, list[bool]]) -> Table:
    """Return how often a disturbance left verdict and cutoff as they were."""
    columns = [
        Column("name", "recordings with", of=lambda item: item[0]),
        Column("n", "n", of=lambda item: len(item[1])),
        Column("kept", "same verdict, cutoff within 15 %", of=lambda item: sum(item[1])),
    ]
    return Table.of(rows.items(), columns)


def changes_table(rows: dict[str, list[Change]]) -> Table:
    """Return how often a change was found as one, when, and how far off the narrow end is."""

    def late(quantile: float) -> Callable[[Any], float | None]:
        def of(item: tuple[str, list[Change]]) -> float | None:
            off = [abs(change.off_s) for change in item[1] if change.off_s is not None]
            return float(np.quantile(off, quantile)) if off else None

        return of

    def narrow(item: tuple[str, list[Change]]) -> float | None:
        ends = [c.narrow.cutoff_hz for c in item[1] if c.narrow and c.narrow.cutoff_hz]
        errors = [abs(end / (RESAMPLER_EDGE * LOW_RATE / 2) - 1) for end in ends]
        return 100 * float(np.median(errors)) if errors else None

    columns = [
        Column("name", "recordings of", of=lambda item: item[0]),
        Column("n", "n", of=lambda item: len(item[1])),
        Column("found", "two stretches", of=lambda item: sum(c.off_s is not None for c in item[1])),
        Column("median", "off, s, median", 2, of=late(0.5)),
        Column("high", "95 %", 2, of=late(0.95)),
        Column("narrow", "narrow half's cutoff, median error, %", 1, of=narrow),
    ]
    return Table.of(rows.items(), columns)


def errors_table(title: str, rows: dict[str, Answers]) -> Table:
    """Return a line a row: how often there was an answer, and how far it was off."""
    rows = {**rows, "**all**": [answer for answers in rows.values() for answer in answers]}
    labels = {
        "name": title,
        "n": "n",
        "answered": "answered",
        "median": "median error",
        "lowest": "lowest 5 %",
        "highest": "highest",
        "high": "> 15 % high",
    }
    lines = [{"name": name, **errors(answers)} for name, answers in rows.items()]
    return Table([Column(key, label) for key, label in labels.items()], lines)


def errors(answers: Answers) -> dict[str, str | int]:
    """Return how often there was an answer, and how far it was off, in words of a table."""
    found = [e.cutoff_hz / truth - 1 for e, truth in answers if e.cutoff_hz is not None]
    cells: dict[str, str | int] = {
        "n": len(answers),
        "answered": f"{100 * len(found) / max(1, len(answers)):.0f} %",
    }
    if found:
        percent = 100 * np.array(found)
        cells |= {
            "median": f"{np.median(np.abs(percent)):.1f} %",
            "lowest": f"{np.quantile(percent, 0.05):+.0f} %",
            "highest": f"{percent.max():+.0f} %",
            "high": f"{100 * np.mean(percent > 15):.1f} %",
        }
    return cells
