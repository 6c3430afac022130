"""Make the examples to hear: ``python tools/listening_examples.py``.

examples/listen: low, baseline and method of the AudioUNet family, from each reference. Each folder
DOMAIN/NAME holds a reference.flac; the others are made from it as overtone examples makes them, by
the protocol of Kuleshov et al. The result has the layout that overtone benchmark quality reads.

examples/gallery: what the shipped models make of the other examples, brought to a low rate, with a
picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from overtone import enhance
from overtone.audio.reader import read_audio
from overtone.dsp.resample import resample
from overtone.evaluation.examples import make_signals
from overtone.evaluation.systems import find_bare_system
from overtone.report import plot_spectrograms

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SCALE = 4
MODELS = {"speech": "tfilm-speech-x4", "piano": "tfilm-piano-x4", "music": "tfilm-music-x4"}
# Which example, brought to which rate, for which model; SECONDS of it.
GALLERY = {
    "call": ("speech_en_48k.flac", 8000, "speech"),
    "wideband": ("speech_nl_48k.flac", 16000, "speech"),
    "as_recorded": ("speech_nl_male_24k.flac", 24000, "speech"),
    "piano": ("piano_44k.flac", 16000, "music"),
}
SECONDS = 4.0


def main(examples: Path = EXAMPLES) -> None:
    """Write 16-bit FLAC files, and pictures."""
    for reference in sorted(examples.glob("listen/*/*/reference.flac")):
        listen(reference)
    for name in GALLERY:
        show(examples, name)


def listen(reference: Path) -> None:
    """Write low, baseline and method beside a reference."""
    high, rate = read_audio(reference)
    system = find_bare_system(MODELS[reference.parent.parent.name])
    system.require(rate, SCALE)
    signals = make_signals(high, rate, system, SCALE)
    named = {"low": "low_res", "spline": "base", system.name: "super"}
    for name, signal in named.items():
        write(
            reference.with_name(f"{name}.flac"),
            signals[signal],
            rate // (SCALE if name == "low" else 1),
        )


def show(examples: Path, name: str) -> None:
    """Write input, output and picture of one entry of the gallery."""
    source, low_rate, model = GALLERY[name]
    high, rate = read_audio(examples / source)
    high = high[:, : round(SECONDS * rate)]
    low = resample(high, rate, low_rate)
    out, out_rate, *_ = enhance(low, low_rate, output_rate=max(rate, 44100), model=model)
    folder = examples / "gallery" / name
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "low.flac", low, low_rate)
    write(folder / "overtone.flac", out, out_rate)
    sounds = [("before", low, low_rate), ("overtone", out, out_rate), ("the recording", high, rate)]
    plot_spectrograms(
        sounds[: 2 if rate == low_rate else 3],
        folder / "picture.png",
        dots_per_inch=70,
        overwrite=True,
    )


def write(path: Path, samples: Any, rate: int) -> None:
    """Write ``[channels, samples]`` as 16-bit FLAC."""
    steps = np.clip(np.rint(samples.T * 2**15), -(2**15), 2**15 - 1)
    soundfile.write(path, steps.astype(np.int16), rate)
    print(path)


if __name__ == "__main__":
    main()
