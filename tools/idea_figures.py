"""Draw the figures of docs/guide/idea.md from an example: ``python tools/idea_figures.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from overtone import enhance
from overtone.audio.reader import read_audio
from overtone.dsp.excitation import Excitations
from overtone.dsp.resample import resample
from overtone.dsp.stft import StreamStft, hann
from overtone.report import plot_spectrograms
from overtone.report.drawing import picture
from overtone.training.excitation import CONSTANTS

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
WINDOW, HOP, RATE = 2048, 512, 48000
VOWEL_S = 0.35
DOTS_PER_INCH = 70


def main(folder: Path = IMAGES) -> None:
    """Write the three pictures."""
    low, rate = read_audio(ROOT / "examples" / "speech_en_8k.flac")
    result = enhance(low, rate)
    cutoff_hz = result.report.cutoff.cutoff_hz
    assert cutoff_hz is not None
    given = resample(low, rate, RATE)
    sounds = {"the call": given, "what is added": result[0] - given, "together": result[0]}
    plot_spectrograms(
        [(name, samples, RATE) for name, samples in sounds.items()],
        folder / "idea_sum.png",
        cutoff_hz=cutoff_hz,
        dots_per_inch=DOTS_PER_INCH,
        overwrite=True,
    )
    draw_spectra(given, cutoff_hz, folder / "idea_cutoff.png")
    draw_excitations(given, cutoff_hz, folder / "idea_excitations.png")


def frames(samples: Any) -> Any:
    """Return short-time spectra ``[1, frames, bins]``."""
    window = hann(WINDOW)
    return StreamStft(1, window / np.sqrt(np.sum(window**2)), HOP).push(samples)


def draw_spectra(given: Any, cutoff_hz: float, path: Path) -> None:
    """Draw where the sound of the call ends, beside that of the recording it was made from."""
    whole, _ = read_audio(ROOT / "examples" / "speech_en_48k.flac")
    khz = np.fft.rfftfreq(WINDOW, 1 / RATE) / 1000
    with picture([path], (7, 3), {}, dots_per_inch=DOTS_PER_INCH, overwrite=True) as figure:
        axes = figure.subplots()
        for name, samples in {"the recording": whole, "the call": given}.items():
            power = np.mean(np.abs(frames(samples)[0]) ** 2, axis=0)
            axes.plot(khz, 10 * np.log10(power + 1e-12), label=name)
        axes.axvline(cutoff_hz / 1000, color="black", linestyle="--", label="cutoff found")
        axes.set(xlabel="frequency, kHz", ylabel="level, dB", xlim=(0, 24), ylim=(-100, 0))
        axes.legend()


def draw_excitations(given: Any, cutoff_hz: float, path: Path) -> None:
    """Draw a vowel of the call, and what two excitations make of it."""
    sources = Excitations(
        CONSTANTS,
        sample_rate=RATE,
        window_samples=WINDOW,
        hop_samples=HOP,
        channels=1,
        cutoff_hz=cutoff_hz,
    )
    vowel = frames(given)
    pulses, _, noise = sources.push(vowel)[:, 0]
    at, late = round(VOWEL_S * RATE / HOP), WINDOW // HOP - 1
    spectra = {"the call": vowel[0, at], "pulses": pulses[at + late], "noise": noise[at + late]}
    khz = np.fft.rfftfreq(WINDOW, 1 / RATE) / 1000
    with picture([path], (7, 4.5), {}, dots_per_inch=DOTS_PER_INCH, overwrite=True) as figure:
        panels = figure.subplots(3, sharex=True)
        for axes, (name, spectrum) in zip(panels, spectra.items(), strict=True):
            level = 20 * np.log10(np.abs(spectrum) + 1e-6)
            axes.plot(khz, level, linewidth=0.9)
            axes.axvline(cutoff_hz / 1000, color="black", linestyle="--")
            axes.set(ylabel="level, dB", xlim=(0, 10), ylim=(level.max() - 45, level.max() + 5))
            axes.set_title(name, loc="right")
        panels[-1].set_xlabel("frequency, kHz")


if __name__ == "__main__":
    main()
