"""A demo for a browser: ``python app.py``, or this folder as a Space of the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr

from overtone import Enhancer, list_models
from overtone.audio.reader import read_audio
from overtone.errors import OvertoneError
from overtone.report import plot_spectrograms


def enhance(path: str | None, model: str, strength_db: float) -> tuple[str, str, str]:
    """Return the enhanced file, a picture of before and after, and what was found and done."""
    if not path:
        raise gr.Error("choose a file, or record something, first")
    folder = Path(mkdtemp(prefix="overtone-"))  # Gradio takes copies of what lies below /tmp
    after, picture = folder / "enhanced.flac", folder / "before_after.png"
    try:
        report = Enhancer(model, strength_db=strength_db).enhance_file(path, after)
        sounds = [("before", *read_audio(path)), ("after", *read_audio(after))]
        plot_spectrograms(sounds, picture, cutoff_hz=report.cutoff.cutoff_hz)
    except OvertoneError as error:
        raise gr.Error(str(error)) from error
    return str(after), str(picture), str(report).partition(".flac: ")[2]


def build() -> Any:
    """Return the page."""
    models = ["auto", *(info.name for info in list_models())]
    return gr.Interface(
        enhance,
        [
            gr.Audio(type="filepath", label="A recording"),
            gr.Dropdown(models, value="auto", label="Model"),
            gr.Slider(-12, 12, 0, step=0.5, label="Strength of the new band, dB"),
        ],
        [gr.Audio(label="Enhanced"), gr.Image(label="Spectrograms"), gr.Textbox(label="Report")],
        title="overtone: audio super-resolution",
        flagging_mode="never",
    )


if __name__ == "__main__":
    build().launch()
