"""How far estimate_cutoff is off, measured on real recordings: prints the tables of docs/cutoff.md.

    python tools/measure_cutoff.py FOLDER [--files 8] [--part last-tenth]

Every recording under FOLDER is low-passed by each filter at each cutoff, resampled, and coded by
MP3 and Opus; the estimate is compared with the filter's nominal cutoff, the resampler's edge (the
middle of 0.913 to 1 times the low rate's Nyquist frequency), or the frequency where the codec's
output falls 10 dB under the original and stays there. Half of the results are dithered to 16 bits
first. Nothing is random but the dither, and that is seeded.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy import signal

from overtone.audio.cutoff import CutoffEstimate, estimate_cutoff
from overtone.degrade.codecs import mp3_roundtrip, opus_roundtrip
from overtone.evaluation.edges import codec_edge_hz

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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="recordings, searched recursively")
    parser.add_argument("--files", type=int, default=8, help="recordings of each subfolder")
    parser.add_argument("--part", choices=["all", "first-tenths", "last-tenth"], default="all")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each excerpt")
    options = parser.parse_args()

    originals: dict[str, Answers] = defaultdict(list)
    by_family: dict[str, Answers] = defaultdict(list)
    by_cutoff: dict[str, Answers] = defaultdict(list)
    by_codec: dict[str, Answers] = defaultdict(list)
    for number, path in enumerate(pick(options.folder, options.files, options.part)):
        try:
            excerpts = list(read_excerpts(path, options.seconds))
        except soundfile.LibsndfileError as error:
            print(f"skipped {path.name}: {error}")
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
    print_originals(originals)
    for title, rows in (("filter", by_family), ("cutoff", by_cutoff), ("codec", by_codec)):
        print_errors(title, rows)


def pick(folder: Path, files: int, part: str) -> Iterator[Path]:
    """Yield that many recordings of every subfolder, evenly spaced in order of name."""
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            folders[path.parent].append(path)
    for paths in folders.values():
        kept = len(paths) - max(1, len(paths) // 10)
        chosen = {"all": paths, "first-tenths": paths[:kept], "last-tenth": paths[kept:]}[part]
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


def print_originals(originals: dict[str, Answers]) -> None:
    """Print what was said about the recordings as they are."""
    print("\n| recordings | n | full band | band-limited (median Hz) | unsure |")
    print("|---|---|---|---|---|")
    for name, answers in originals.items():
        verdicts = [estimate.verdict for estimate, _ in answers]
        found = [e.cutoff_hz for e, _ in answers if e.verdict == "band-limited"]
        limited = f"{len(found)} ({np.median(found):.0f})" if found else "0"
        full, unsure = verdicts.count("full band"), verdicts.count("unsure")
        print(f"| {name} | {len(answers)} | {full} | {limited} | {unsure} |")


def print_errors(title: str, rows: dict[str, Answers]) -> None:
    """Print one line a row: how often there was an answer, and how far it was off."""
    print(f"\n| {title} | n | answered | median error | lowest 5 % | highest | > 15 % high |")
    print("|---|---|---|---|---|---|---|")
    rows = {**rows, "**all**": [answer for answers in rows.values() for answer in answers]}
    for name, answers in rows.items():
        found = [e.cutoff_hz / truth - 1 for e, truth in answers if e.cutoff_hz is not None]
        if not found:
            print(f"| {name} | {len(answers)} | 0 % | | | | |")
            continue
        errors = 100 * np.array(found)
        print(
            f"| {name} | {len(answers)} | {100 * len(found) / len(answers):.0f} % "
            f"| {np.median(np.abs(errors)):.1f} % | {np.quantile(errors, 0.05):+.0f} % "
            f"| {errors.max():+.0f} % | {100 * np.mean(errors > 15):.1f} % |"
        )


if __name__ == "__main__":
    main()
