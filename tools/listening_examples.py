"""Make the examples to hear in examples/listen: low, baseline and method, from each reference.

    python tools/listening_examples.py

Each folder DOMAIN/NAME holds a reference.flac; the others are made from it as overtone examples
makes them, by the protocol of Kuleshov et al. The result has the layout that overtone benchmark
quality reads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from overtone.audio.reader import read_audio
from overtone.evaluation.examples import make_signals
from overtone.evaluation.systems import find_bare_system

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "listen"
SCALE = 4
MODELS = {"speech": "tfilm-speech-x4", "piano": "tfilm-piano-x4", "music": "tfilm-music-x4"}


def main(folder: Path = FOLDER) -> None:
    """Write 16-bit FLAC files beside each reference."""
    for reference in sorted(folder.glob("*/*/reference.flac")):
        high, rate = read_audio(reference)
        system = find_bare_system(MODELS[reference.parent.parent.name])
        system.require(rate, SCALE)
        signals = make_signals(high, rate, system, SCALE)
        named = {"low": "low_res", "spline": "base", system.name: "super"}
        for name, signal in named.items():
            steps = np.clip(np.rint(signals[signal].T * 2**15), -(2**15), 2**15 - 1)
            path = reference.with_name(f"{name}.flac")
            soundfile.write(path, steps.astype(np.int16), rate // SCALE if name == "low" else rate)
            print(path.relative_to(folder))


if __name__ == "__main__":
    main()
