"""What every family of models has: a description, and a stream of residuals.

A family's runtime is one module with a subclass of :class:`ModelInfo` and one of :class:`Model`;
:data:`overtone.families.FAMILIES` names it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from overtone.dsp.bandwidth_model import TransitionBand
from overtone.inference.bands import OutputBandLimit

FloatArray = NDArray[np.float32]

METADATA_KEY = "overtone"
FORMAT_VERSION = 1


class ModelInfo(BaseModel):
    """What every model file says of itself. Rates and cutoffs in Hz.

    The cutoffs are those it was trained for. ``level_rms`` is the level of active speech or music
    that the network expects.
    """

    # A model file is data from anywhere: each number has a range outside which no model lies.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    # Whether the work comes evenly enough for a microphone: a little with every block.
    runs_live: ClassVar[bool] = True
    # How much slower than ``sample_rate`` it may run, every frequency being that much higher.
    slowest: ClassVar[float] = 1.0

    # Whether its prediction can be made louder or softer.
    has_strength: ClassVar[bool] = False

    # Whether it can lean from perceptual quality to the least distortion of the waveform.
    has_fidelity: bool = False
    format_version: int = FORMAT_VERSION
    kind: str
    name: str = Field(min_length=1, max_length=200)
    description: str
    sample_rate: int = Field(ge=1_000, le=384_000)
    min_cutoff_hz: float = Field(gt=0)
    max_cutoff_hz: float
    level_rms: float = Field(ge=1e-6, le=1)
    parameters: int = Field(ge=0)
    license: str
    training_data: tuple[str, ...]
    training: str
    config_sha256: str
    overtone_version: str
    # Known from the file rather than written in it.
    size_bytes: int = 0
    is_default: bool = False

    @model_validator(mode="after")
    def _check_cutoffs(self) -> Self:
        if not self.min_cutoff_hz <= self.max_cutoff_hz <= self.sample_rate / 2:
            raise ValueError("min_cutoff_hz <= max_cutoff_hz <= sample_rate / 2 does not hold")
        return self

    @property
    def companion(self) -> str:
        """The model that takes over as fidelity rises; none where this one does it by itself."""
        return ""

    @property
    def latency_samples(self) -> int:
        """Algorithmic latency at ``sample_rate``, in samples."""
        raise NotImplementedError

    def warning(self, cutoff_hz: float) -> str:
        """Return what a user should know whose recording ends at ``cutoff_hz``; mostly nothing."""
        del cutoff_hz
        return ""


class ResidualStream(Protocol):
    """What has to be added to a signal at the model's rate; aligned with it and as long."""

    def push(self, block: FloatArray) -> FloatArray:
        """Return what of the residual is known after ``block [channels, n]``."""
        ...

    def flush(self) -> FloatArray:
        """Return the rest; the stream is over."""
        ...


class Model(ABC):
    """A loaded model: its :class:`ModelInfo` and the network behind :meth:`residual_stream`."""

    info_type: ClassVar[type[ModelInfo]]
    info: ModelInfo

    def __init__(self, path: Path, session: Any, info: ModelInfo) -> None:
        self.path, self.info = path, info
        self._session = session

    @abstractmethod
    def residual_stream(
        self,
        channels: int,
        gain: float,
        conditions: Mapping[str, float],
        *,
        transition: TransitionBand = (),
        limit: OutputBandLimit | None = None,
        lines_hz: tuple[float, ...] = (),
    ) -> ResidualStream:
        """Start predicting what lies above a cutoff in a signal at ``info.sample_rate``.

        Args:
            channels: of the signal.
            gain: brings the signal to the level that the network expects.
            conditions: by name, for every frame the same. ``cutoff_hz`` is where the signal's band
                ends. ``fidelity`` goes from perceptual quality, 0, to the least distortion of the
                waveform, 1, where ``info.has_fidelity``. ``strength_db`` makes the prediction
                louder, 0 by default, where ``info.has_strength``.
            transition: the transition band of the low-pass that the recording went through, as
                the cutoff's estimate has it; its roll-off is compensated as far as it is usable.
            limit: where an output of a lower rate ends; a transition band must end before it.
            lines_hz: steady tones that are kept wherever they lie.
        """
