"""What a model file says of itself: the same fields for every kind, and each kind's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from overtone.errors import ModelError

METADATA_KEY = "overtone"
FORMAT_VERSION = 1
# Recordings may end this many times above or below what a waveform model was trained for before
# the report says so.
TOLERATED_RATIO = 1.1


class ModelInfo(BaseModel):
    """What every model file says of itself. Rates and cutoffs in Hz.

    The cutoffs are those it was trained for. ``level_rms`` is the level of active speech or music
    that the network expects.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    # Whether the work comes evenly enough for a microphone: a little with every block.
    runs_live: ClassVar[bool] = True
    # How much slower than ``sample_rate`` it may run, hearing everything that much higher.
    slowest: ClassVar[float] = 1.0

    # Whether it can lean from the most natural sound to the least error of the waveform.
    has_fidelity: bool = False
    format_version: int = FORMAT_VERSION
    kind: str
    name: str
    description: str
    sample_rate: int
    min_cutoff_hz: float
    max_cutoff_hz: float
    level_rms: float
    parameters: int
    license: str
    training_data: tuple[str, ...]
    training: str
    config_sha256: str
    overtone_version: str
    # Known from the file rather than written in it.
    size_bytes: int = 0
    is_default: bool = False

    @property
    def latency_samples(self) -> int:
        """Algorithmic latency at ``sample_rate``, in samples."""
        raise NotImplementedError

    def remark(self, cutoff_hz: float) -> str:
        """What a user should know whose recording ends at ``cutoff_hz``; mostly nothing."""
        del cutoff_hz
        return ""


class SpectralInfo(ModelInfo):
    """A spectral extender: frames of an STFT in, the bins above the cutoff out.

    ``context_shape`` is (blocks, past frames, channels), the network's memory for one audio
    channel.
    """

    slowest: ClassVar[float] = 0.9

    kind: Literal["spectral-extender"] = "spectral-extender"
    window_samples: int
    hop_samples: int
    lookahead_frames: int
    context_shape: tuple[int, int, int]

    @property
    def bins(self) -> int:
        """Bins of a one-sided spectrum."""
        return self.window_samples // 2 + 1

    @property
    def latency_samples(self) -> int:
        """Algorithmic latency at ``sample_rate``, window and lookahead included."""
        return self.window_samples + self.lookahead_frames * self.hop_samples


class WaveformInfo(ModelInfo):
    """A waveform network: patches of interpolated samples in, the same with their top out.

    It was trained on patches of ``patch_samples`` that hold nothing above ``low_nyquist_hz``, and
    takes any multiple of ``multiple_samples``. A recording is cut into such patches, each
    overlapping the next: ``margin_samples`` at either end of a patch are thrown away, the next
    ``ramp_samples`` are crossfaded with the neighbour's. ``guard_samples`` more are taken at
    either end for filtering alone.
    """

    runs_live: ClassVar[bool] = False

    kind: Literal["waveform"] = "waveform"
    scale: int = Field(ge=2)
    patch_samples: int = Field(gt=0)
    multiple_samples: int = Field(gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.patch_samples % (32 * self.scale):
            raise ValueError(
                f"patch_samples must be a multiple of 32 * scale = {32 * self.scale}, not"
                f" {self.patch_samples}"
            )
        return self

    @property
    def low_nyquist_hz(self) -> float:
        """Where the recordings end that the network was trained on."""
        return self.sample_rate / 2 / self.scale

    @property
    def margin_samples(self) -> int:
        """What is thrown away at either end of a patch, since the network sees no further."""
        return self.patch_samples // 8

    @property
    def ramp_samples(self) -> int:
        """How long neighbouring patches are crossfaded."""
        return self.patch_samples // 16

    @property
    def guard_samples(self) -> int:
        """What the filters need at either end in addition to a patch."""
        return self.patch_samples // 16

    @property
    def hop_samples(self) -> int:
        """From the start of a patch to that of the next."""
        return self.patch_samples - 2 * self.margin_samples - self.ramp_samples

    @property
    def latency_samples(self) -> int:
        """Algorithmic latency at ``sample_rate``: a patch is needed up to its guard's end."""
        return self.patch_samples - self.margin_samples + self.guard_samples

    def remark(self, cutoff_hz: float) -> str:
        """Say what the model is made for, where the recording is something else."""
        above = cutoff_hz > TOLERATED_RATIO * self.max_cutoff_hz
        if not above and cutoff_hz * TOLERATED_RATIO >= self.min_cutoff_hz:
            return ""
        return f"this model is made for recordings that end at {self.low_nyquist_hz:.0f} Hz"


KINDS: dict[str, type[SpectralInfo] | type[WaveformInfo]] = {
    "spectral-extender": SpectralInfo,
    "waveform": WaveformInfo,
}


def parse_info(text: str, path: Path) -> SpectralInfo | WaveformInfo:
    """Read the metadata of the model file ``path``.

    Raises:
        ModelError: it was written for another version of overtone, or is damaged.
    """
    try:
        content = json.loads(text)
        version = content.get("format_version", FORMAT_VERSION)
        kind = content.get("kind", "spectral-extender")
        if version == FORMAT_VERSION and kind in KINDS:
            return KINDS[kind].model_validate(content)
    except (ValueError, AttributeError, TypeError) as error:  # ValidationError is a ValueError
        raise ModelError(
            f"{path}: made for another version of overtone; update overtone or export it again"
        ) from error
    kinds = " or ".join(repr(known) for known in KINDS)
    raise ModelError(
        f"{path}: format {version}, kind {kind!r}; this overtone reads format {FORMAT_VERSION},"
        f" kind {kinds}: update overtone"
    )
