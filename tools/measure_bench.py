"""Score a model, and plain resampling beside it, on a folder of published test clips.

The folder holds ``SET/CLIP/reference.*`` and optionally ``low.*``, and other systems' outputs by
name. A clip without ``low`` (or any, with ``--decimate R``) gets its low side from the reference by
the lineage's protocol, ``scipy.signal.decimate``. The cutoff is found as for any user's file.

    python tools/measure_bench.py BENCH/nuwave
    python tools/measure_bench.py BENCH/kuleshov-x4 --decimate 4
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from overtone.audio.files import read_audio
from overtone.audio.resample import resample
from overtone.inference import Enhancer
from overtone.metrics import lsd, lsd_hf, lsd_lf, snr_db, visqol_mos

Samples = NDArray[np.float32]


def low_side(clip: Path, reference: Samples, rate: int, decimate: int) -> tuple[Samples, int]:
    """The clip's degraded recording and its rate."""
    if not decimate:
        return read_audio(next(clip.glob("low.*")))
    whole = reference[:, : reference.shape[1] // decimate * decimate].astype(np.float64)
    return signal.decimate(whole, decimate).astype(np.float32), rate // decimate


def scores(reference: Samples, estimate: Samples, rate: int, cutoff_hz: float) -> list[float]:
    """LSD, LSD-HF, LSD-LF and SNR, over the length that both have."""
    count = min(reference.shape[1], estimate.shape[1])
    y, x = reference[:, :count], estimate[:, :count]
    return [lsd(y, x), lsd_hf(y, x, rate, cutoff_hz), lsd_lf(y, x, rate, cutoff_hz), snr_db(y, x)]


def main() -> None:
    """Print one row a set and system: means over its clips."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--decimate", type=int, default=0, metavar="R")
    parser.add_argument("--clips", action="store_true", help="print every clip, too")
    parser.add_argument("--visqol", action="store_true", help="on each set's clips joined")
    options = parser.parse_args()
    enhancer = Enhancer(options.model, threads=1)
    rows: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    joined: dict[tuple[str, str], list[Samples]] = defaultdict(list)
    rates: dict[str, int] = {}
    for path in sorted(options.folder.glob("**/reference.*")):
        clip = path.parent
        reference, rate = read_audio(path)
        low, low_rate = low_side(clip, reference, rate, options.decimate)
        group = clip.parent.name if clip.parent != options.folder else clip.name.rpartition("-")[0]
        rates[group] = rate
        systems = {
            "soxr VHQ": resample(low, low_rate, rate),
            "overtone": enhancer.enhance(low, low_rate, output_rate=rate)[0],
        }
        for other in sorted(clip.iterdir()):
            if other.stem not in ("reference", "low"):
                systems[other.stem] = read_audio(other)[0]
        for system, estimate in systems.items():
            found = scores(reference, estimate, rate, low_rate / 2)
            rows[group, system].append(found)
            joined[group, "reference"] += [reference] if system == "overtone" else []
            joined[group, system].append(estimate[:, : reference.shape[1]])
            if options.clips:
                print(f"{group}/{clip.name}  {system}  " + "  ".join(f"{v:.3f}" for v in found))
    print(
        "| set | system | clips | LSD | LSD-HF | LSD-LF | SNR dB |" + " ViSQOL |" * options.visqol
    )
    print("|---|---|---:|---:|---:|---:|---:|" + "---:|" * options.visqol)
    for (group, system), found in rows.items():
        mean = np.mean(found, axis=0)
        row = f"| {group} | {system} | {len(found)} | {mean[0]:.3f} | {mean[1]:.3f} |"
        row += f" {mean[2]:.3f} | {mean[3]:.2f} |"
        if options.visqol:
            pairs = zip(joined[group, "reference"], joined[group, system], strict=True)
            cut = [(y[:, : x.shape[1]], x[:, : y.shape[1]]) for y, x in pairs]
            y, x = (np.concatenate(side, axis=1) for side in zip(*cut, strict=True))
            row += f" {visqol_mos(y, x, rates[group]):.2f} |"
        print(row)


if __name__ == "__main__":
    main()
