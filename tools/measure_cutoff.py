"""How far estimate_cutoff is off, measured on real recordings: prints or renews docs/cutoff.md.

    python tools/measure_cutoff.py speech=FOLDER rock=FOLDER --whole rock --into docs/cutoff.md

Each kind of recordings has its folder, of which the last tenth by name is measured, or all of it
with ``--whole``. Every recording there is low-passed by each filter at each cutoff, resampled, and
coded by MP3 and Opus; the estimate is compared with the filter's nominal cutoff, the resampler's
edge (the middle of 0.913 to 1 times the low rate's Nyquist frequency), or the frequency where the
codec's output falls 10 dB under the original and stays there. Half of the results are dithered to
16 bits first. Nothing is random but the dither, and that is seeded.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy import signal

from overtone.cli.options import in_options
from overtone.degrade.codecs import mp3_roundtrip, opus_roundtrip
from overtone.dsp.bandwidth import CutoffEstimate, estimate_cutoff
from overtone.errors import InvalidInputError, OvertoneError
from overtone.evaluation.edges import codec_edge_hz
from overtone.files import write_text
from overtone.report import Column, Table
from overtone.report.pages import around, made_by, renewed

Samples = NDArray[Any]
Answers = list[tuple[CutoffEstimate, float]]  # each with the truth in Hz

CUTOFFS_HZ = (1000, 2000, 4000, 5500, 8000, 11000)
HIGHEST_PART_OF_NYQUIST = 0.72
RESAMPLER_EDGE = (0.913 + 1) / 2
SUFFIXES = {".flac", ".wav", ".ogg", ".opus", ".mp3"}
FILTERS: dict[str, Callable[[float, int], NDArray[Any]]] = {
    **{
        f"Butterworth, order {order}": lambda hz, rate, order=order: signal.butter(
            order, hz, fs=rate, output="sos"
        )
        for order in (4, 5, 6, 8, 10)
    },
    "Chebyshev I, order 6, 1 dB": lambda hz, rate: signal.cheby1(6, 1, hz, fs=rate, output="sos"),
    "Chebyshev I, order 8, 0.05 dB": lambda hz, rate: signal.cheby1(
        8, 0.05, hz, fs=rate, output="sos"
    ),
    "elliptic, order 6, 60 dB": lambda hz, rate: signal.ellip(
        6, 0.5, 60, hz, fs=rate, output="sos"
    ),
    "elliptic, order 8, 80 dB": lambda hz, rate: signal.ellip(
        8, 0.1, 80, hz, fs=rate, output="sos"
    ),
}


MARKS = (
    "<!-- made by tools/measure_cutoff.py; what stands before the end mark is replaced -->",
    "<!-- end of what tools/measure_cutoff.py made -->",
)


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "kinds", nargs="+", metavar="KIND=FOLDER", help="recordings, searched recursively"
    )
    parser.add_argument("--files", type=int, default=12, help="recordings of each subfolder")
    parser.add_argument(
        "--whole", action="append", default=[], metavar="KIND", help="measure all of its recordings"
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each excerpt")
    parser.add_argument("--into", type=Path, metavar="PAGE.md", help="renew the tables there")
    options = parser.parse_args()
    if options.into is not None:
        around(options.into, *MARKS)  # before the work, not after it
    folders = read_kinds(options.kinds)
    for kind in options.whole:
        if kind not in folders:
            raise InvalidInputError(f"--whole {kind}: no such kind; given: {', '.join(folders)}")
    parts = []
    for kind, folder in folders.items():
        paths = list(pick(folder, options.files, whole=kind in options.whole))
        parts += measure(kind, paths, options.seconds)
    if options.into is None:
        print("\n".join(parts))
        return
    arguments = [f"{kind}=FOLDER" for kind in folders]
    arguments += [f"--whole {kind}" for kind in options.whole]
    command = f"python tools/measure_cutoff.py {' '.join(arguments)} --into docs/cutoff.md"
    made = "\n".join([made_by(command), *parts])
    write_text(renewed(options.into, *MARKS, made), options.into, overwrite=True)


def read_kinds(arguments: list[str]) -> dict[str, Path]:
    """The folder of each kind."""
    folders = {}
    for argument in arguments:
        kind, _, folder = argument.partition("=")
        if not folder or not Path(folder).is_dir():
            raise InvalidInputError(f"{argument}: not KIND=FOLDER with a folder that exists")
        folders[kind] = Path(folder)
    return folders


def measure(kind: str, paths: list[Path], seconds: float) -> list[str]:
    """The tables of one kind of recordings, in Markdown."""
    originals: dict[str, Answers] = defaultdict(list)
    by_family: dict[str, Answers] = defaultdict(list)
    by_cutoff: dict[str, Answers] = defaultdict(list)
    by_codec: dict[str, Answers] = defaultdict(list)
    for number, path in enumerate(paths):
        try:
            excerpts = list(read_excerpts(path, seconds))
        except soundfile.LibsndfileError as error:
            print(f"skipped {path.name}: {error}", file=sys.stderr)
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
    parts = [f"### {kind[:1].upper()}{kind[1:]}, as it is\n", originals_table(originals)]
    parts += [f"### {kind[:1].upper()}{kind[1:]}, low-passed\n", errors_table("filter", by_family)]
    parts += [errors_table("cutoff", by_cutoff)]
    if by_codec:
        coded_title = f"### {kind[:1].upper()}{kind[1:]}, coded\n"
        parts += [coded_title, errors_table("codec", by_codec)]
    return parts


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
            yield family, cutoff_hz, cutoff_hz, signal.sosfilt(design(cutoff_hz, rate), x)
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


def dither_half(x: Samples, rng: np.random.Generator) -> Samples:
    """Round to 16 bits with triangular dither, or leave alone, by a coin."""
    if rng.random() < 0.5:
        return x
    return np.round(32768 * x + rng.random(len(x)) - rng.random(len(x))) / 32768


def originals_table(originals: dict[str, Answers]) -> str:
    """What was said about the recordings as they are."""
    rows = []
    for name, answers in originals.items():
        verdicts = [estimate.verdict for estimate, _ in answers]
        found = [e.cutoff_hz for e, _ in answers if e.verdict == "band-limited"]
        rows.append(
            {
                "name": name,
                "n": len(answers),
                "full": verdicts.count("full band"),
                "limited": f"{len(found)} ({np.median(found):.0f})" if found else "0",
                "unsure": verdicts.count("unsure"),
            }
        )
    labels = {
        "name": "recordings",
        "n": "n",
        "full": "full band",
        "limited": "band-limited (median Hz)",
        "unsure": "unsure",
    }
    return Table([Column(key, label) for key, label in labels.items()], rows).render("markdown")


def errors_table(title: str, rows: dict[str, Answers]) -> str:
    """A line a row: how often there was an answer, and how far it was off."""
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
    return Table([Column(key, label) for key, label in labels.items()], lines).render("markdown")


def errors(answers: Answers) -> dict[str, str | int]:
    """How often there was an answer, and how far it was off, in words of a table."""
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


if __name__ == "__main__":
    try:
        main()
    except OvertoneError as error:
        sys.exit(f"measure_cutoff: {in_options(str(error))}")
