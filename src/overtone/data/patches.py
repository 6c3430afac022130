"""From a recording to pairs of patches, by Kuleshov's protocol: pure functions of arrays.

The steps are those of the preparation scripts of Kuleshov et al. (2017): crop to a multiple of
the scale, decimate, interpolate back if asked, cut both sides at the same places.
"""

import math
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from overtone.degrade.spline import decimate, interpolate
from overtone.dsp.stft import frames
from overtone.settings import Settings

Samples = NDArray[np.float32]

# Whole files are cropped to a multiple of this, so that the U-Nets need no padding.
WHOLE_FILE_MULTIPLE = 256
WHOLE_FILES = -1


class PatchSettings(Settings):
    """How recordings become patches; names and defaults are the options of AudioUNet's script.

    ``dimension``: samples of a patch at the full rate, or -1 for whole files.
    ``interpolate``: bring the input back to the full rate by a cubic spline; without it, a low
    patch has ``dimension / scale`` samples.
    ``low_pass``: filter before taking every ``scale``-th sample; without it the high band aliases.
    ``sam``: the fraction of patches kept, drawn at random by ``seed``.
    ``batch_size``: the number of patches is cut to a multiple of it.
    """

    sample_rate: int = Field(default=16000, gt=0)
    scale: int = Field(default=2, ge=2)
    dimension: int = WHOLE_FILES
    stride: int = Field(default=3200, gt=0)
    interpolate: bool = False
    low_pass: bool = False
    sam: float = Field(default=1.0, gt=0, le=1)
    batch_size: int = Field(default=128, gt=0)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.whole_files:
            return self
        if self.dimension < 1:
            raise ValueError(
                f"dimension must be a number of samples, or -1 for whole files, not"
                f" {self.dimension}"
            )
        if not self.interpolate:
            for name, value in (("dimension", self.dimension), ("stride", self.stride)):
                if value % self.scale:
                    raise ValueError(
                        f"{name} {value} must be a multiple of scale {self.scale} without"
                        f" --interpolate, as low patches have {name} / scale samples"
                    )
        return self

    @property
    def whole_files(self) -> bool:
        """Whether recordings are kept whole."""
        return self.dimension == WHOLE_FILES

    @property
    def low_step(self) -> int:
        """Samples of the full rate for each sample of the input."""
        return 1 if self.interpolate else self.scale

    @property
    def shortest_samples(self) -> int:
        """The length below which a recording gives nothing, at the full rate."""
        whole = math.lcm(WHOLE_FILE_MULTIPLE, self.low_step)
        return whole if self.whole_files else self.dimension


def make_pair(high: Samples, settings: PatchSettings) -> tuple[Samples, Samples]:
    """Return low-resolution input and high-resolution target of a recording ``[samples]``.

    The target is cropped to a multiple of the scale (whole files to a multiple of 256 besides);
    the input has as many samples, or that many divided by the scale without interpolation.
    """
    high = high[: high.size - high.size % settings.scale]
    low = decimate(high, settings.scale, low_pass=settings.low_pass)
    if settings.interpolate:
        low = interpolate(low, settings.scale)
    if settings.whole_files:
        multiple = math.lcm(WHOLE_FILE_MULTIPLE, settings.low_step)
        high = high[: high.size - high.size % multiple]
        low = low[: high.size // settings.low_step]
    return low, high


def patch_starts(samples: int, settings: PatchSettings, file_number: int) -> NDArray[np.int64]:
    """Return where the patches of a recording start, in samples at the full rate.

    ``file_number`` is the recording's place in the list: it seeds the draw of ``sam``, so that the
    patches do not depend on which process cuts them.
    """
    if settings.whole_files:
        return np.zeros(1, np.int64)
    starts = np.arange(0, samples - settings.dimension + 1, settings.stride, dtype=np.int64)
    if settings.sam < 1:
        rng = np.random.default_rng([settings.seed, file_number])
        starts = starts[rng.random(starts.size) < settings.sam]
    return starts


def cut(side: Samples, starts: NDArray[np.int64], length: int) -> Samples:
    """Return ``side [samples]`` at ``starts``: ``[patches, length]``."""
    if starts.size == 0:
        return np.zeros((0, length), np.float32)
    return np.asarray(frames(side, length, 1)[starts], np.float32)
