"""The options of a request, which are those of ``overtone enhance``, and the report it answers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from fastapi import HTTPException
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

# What the library calls options: its messages speak of these.
ARGUMENTS = {
    "output_rate": "rate",
    "cutoff_hz": "cutoff",
    "level_dbfs": "level",
    "analysis_s": "analysis",
}


class AudioFormat(StrEnum):
    """What is answered, by the extension of such a file."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OPUS = "opus"
    OGG = "ogg"


MEDIA_TYPES = {
    AudioFormat.WAV: "audio/wav",
    AudioFormat.FLAC: "audio/flac",
    AudioFormat.MP3: "audio/mpeg",
    AudioFormat.OPUS: "audio/ogg",
    AudioFormat.OGG: "audio/ogg",
}
SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "32": "PCM_32", "32f": "FLOAT"}


def _auto(value: Any) -> Any:
    return None if value == "auto" else value


class Options(BaseModel):
    """How to enhance; the names and meanings are those of the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        "auto", max_length=100, description="A name that `/v1/models` lists.", examples=["speech"]
    )
    rate: Annotated[int | None, BeforeValidator(_auto)] = Field(
        None,
        ge=1000,
        le=384_000,
        description="Sample rate of the output in Hz. Default: the file's own from 44.1 kHz up,"
        " else 48 kHz (44.1 kHz for 22.05 and 11.025 kHz).",
        examples=[48_000],
    )
    cutoff: Annotated[
        Annotated[float, Field(gt=0, le=192_000)] | Literal["guess"] | None, BeforeValidator(_auto)
    ] = Field(
        None,
        description="Where the recording's real band ends, in Hz. Default: found; `guess` also acts"
        " on the best guess where that is not sure.",
        examples=[4000],
    )
    fidelity: float | None = Field(
        None, ge=0, le=1, description="0: best perceptual quality; 1: least distortion."
    )
    strength: float = Field(0, ge=-40, le=40, description="Level of the new high band, in dB.")
    format: AudioFormat = Field(AudioFormat.WAV, description="Of the answer.")
    bits: Literal["16", "24", "32", "32f"] | None = Field(
        None, description="Sample format of lossless answers. Default: that of the input."
    )
    tags: bool = Field(True, description="Carry over tags, cover art and the like.")

    def merged(self, fields: Mapping[str, str]) -> Options:
        """These options with those that came as fields of a form.

        Raises:
            HTTPException: 422; a field is unknown or has no possible value.
        """
        if not fields:
            return self
        try:
            return Options.model_validate({**self.model_dump(exclude_unset=True), **fields})
        except ValidationError as error:
            raise HTTPException(422, in_one_line(error.errors())) from error


def in_one_line(errors: Any) -> str:
    """Name what does not fit, and why, as one line."""
    told: dict[str, str] = {}
    for error in errors:
        # Options are flat: what follows a name is which of several types was tried.
        place = [str(part) for part in error["loc"] if part not in ("query", "body", "path")]
        told.setdefault(place[0] if place else "request", error["msg"])
    return "; ".join(f"{name}: {message}" for name, message in told.items())


def in_options(message: str) -> str:
    """Return a library's message in one line, with the client's names."""
    for argument, option in ARGUMENTS.items():
        message = message.replace(argument, option)
    return " ".join(message.split())


class Report(BaseModel):
    """What was done to a recording. Rates and cutoffs are in Hz."""

    source: str = Field(description="The name that the client gave.", examples=["call.wav"])
    input_rate: int
    output_rate: int
    channels: int
    duration_s: float
    cutoff_hz: float | None = Field(description="Where the real band ends; null if unsure.")
    cutoff_verdict: str
    cutoff_confidence: float
    model: str
    changed: bool = Field(description="False where there was nothing to add.")
    warning: str
    clipped_samples: int
    left_behind: tuple[str, ...]
    seconds: float = Field(description="Of work.")
    stretches: list[dict[str, Any]] = Field(description="The parts of one bandwidth each.")
