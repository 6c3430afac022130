"""What several commands ask for in the same words: option types and how their values are read."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

import typer

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 384_000


class Device(StrEnum):
    """Where the model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def parse_hertz(text: str) -> float:
    """Read a frequency: ``4000``, ``4k``, ``44.1 kHz``."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*(k?)(?:hz)?", text.strip(), flags=re.IGNORECASE)
    if not match or float(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is not a frequency in Hz, such as 4000 or 4k")
    return float(match[1]) * (1000 if match[2] else 1)


def parse_cutoff(text: str) -> float | None:
    """Read a cutoff: a frequency, or ``auto`` (None) to have it detected."""
    return None if text.strip().lower() == "auto" else parse_hertz(text)


def parse_rate(text: str) -> int:
    """Read a sample rate in Hz."""
    rate = round(parse_hertz(text))
    if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
        raise typer.BadParameter(f"{rate} Hz is not within {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}")
    return rate


# Library messages speak of arguments; on the command line these are options.
OPTIONS = {
    "overwrite=True": "--force",
    "output_rate": "--rate",
    "cutoff_hz": "--cutoff",
    "level_dbfs": "--level",
    "analysis_s": "--analysis",
}


def in_options(message: str) -> str:
    """Return a library's message in one line, with options in place of arguments."""
    line = " ".join(message.split())
    for argument, option in OPTIONS.items():
        line = re.sub(rf"(?<![\w./-]){re.escape(argument)}(?![\w/])", option, line)
    return line


ModelOption = Annotated[
    str,
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="A name that 'overtone models' lists, or an .onnx file.",
    ),
]
DeviceOption = Annotated[Device, typer.Option("-d", "--device", help="Where to compute.")]
FidelityOption = Annotated[
    float | None,
    typer.Option(
        "--fidelity",
        min=0,
        max=1,
        metavar="0..1",
        help="0 for the best perceptual quality, 1 for the least distortion. Default: 0.",
        show_default=False,
    ),
]
StrengthOption = Annotated[
    float,
    typer.Option(
        "--strength",
        min=-40,
        max=40,
        metavar="DB",
        help="Makes the new high band louder, or, below 0, tames it; what was given stays.",
    ),
]
LevelOption = Annotated[
    float | None,
    typer.Option(
        "--level",
        metavar="DBFS",
        help="RMS level of the sound, pauses aside. Default: -26, that of telephony.",
        show_default=False,
    ),
]
