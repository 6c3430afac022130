"""Spectrograms of input, output and reference side by side, for the clips that a page talks about.

    python tools/listening_pictures.py suites/published.toml --data-root BENCH -m speech \
        nuwave/multi_x2/0 nuwave/single_x3/7 -o docs/images/listening

Draws one picture for each clip of the suite that is named, all on one scale, with half the low
side's rate marked.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from overtone.cli.options import in_options
from overtone.dsp.resample import resample
from overtone.errors import InvalidInputError, OvertoneError
from overtone.evaluation.cases import Case
from overtone.evaluation.suites import read_suite
from overtone.evaluation.systems import System, find_system
from overtone.report import plot_spectrograms

# Sharp enough to see harmonics in, small enough for a repository.
DOTS_PER_INCH = 60
SHOWN_S = 4.0


def draw(case: Case, system: System, path: Path, *, overwrite: bool) -> None:
    """One picture: what the system is given, what it makes of it, the reference."""
    clip = case.open()
    output = system.upsample(clip.low, clip.low_rate, clip.rate)
    # No picture needs the exact rate of a low side that is no whole number.
    low_rate = round(clip.low_rate)
    low = clip.low if low_rate == clip.low_rate else resample(clip.low, clip.low_rate, low_rate)
    sounds = [("input", low, low_rate), (system.name, output, clip.rate)]
    sounds.append(("reference", clip.reference, clip.rate))
    plot_spectrograms(
        [(title, samples[:, : round(SHOWN_S * rate)], rate) for title, samples, rate in sounds],
        path,
        cutoff_hz=[None, clip.low_rate / 2, clip.low_rate / 2],
        dots_per_inch=DOTS_PER_INCH,
        overwrite=overwrite,
    )


def picture_name(label: str) -> str:
    """A file's name of a clip's."""
    return re.sub(r"[^\w.-]+", "_", label, flags=re.ASCII).strip("_") + ".png"


def main() -> None:
    """Find the clips, draw them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suite", type=Path, metavar="SUITE")
    parser.add_argument("clips", nargs="+", metavar="SET/CLIP")
    parser.add_argument("--data-root", type=Path, default=Path("data"), metavar="FOLDER")
    parser.add_argument("-m", "--model", default="auto")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--force", action="store_true", help="replace pictures that exist")
    options = parser.parse_args()
    cases = {case.label: case for case in read_suite(options.suite, options.data_root).cases}
    for label in options.clips:
        if label not in cases:
            raise InvalidInputError(
                f"{label}: no such clip in {options.suite}; for example {next(iter(cases))}"
            )
    system = find_system(options.model)
    options.output.mkdir(parents=True, exist_ok=True)
    for label in options.clips:
        path = options.output / picture_name(label)
        draw(cases[label], system, path, overwrite=options.force)
        print(f"wrote {path}")


if __name__ == "__main__":
    try:
        main()
    except OvertoneError as error:
        sys.exit(f"listening_pictures: {in_options(str(error))}")
