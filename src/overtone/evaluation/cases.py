"""Cases to compare systems on: a reference, its input, and what other systems made of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overtone.audio.reader import read_audio
from overtone.degrade.lowpass import FAMILIES, LowPass, apply
from overtone.degrade.spline import decimate
from overtone.dsp.resample import resample
from overtone.errors import InvalidInputError

FloatArray = NDArray[np.float32]

REFERENCE, LOW = "reference", "low"
DECIMATE, SOXR = "decimate", "soxr"
FILTERS = (DECIMATE, SOXR, *FAMILIES)
# Below it 16 bits hold nothing but dither.
SILENT_PEAK = 2.0**-15


@dataclass(frozen=True)
class Degradation:
    """How a input is made: one of :data:`FILTERS`, and the ratio of the rates.

    ``decimate`` is the protocol of Kuleshov et al.; ``soxr`` is a plain conversion; a family of
    :mod:`overtone.degrade.lowpass` has its edge at ``edge`` times the low Nyquist frequency, and
    soxr takes the samples after it.
    """

    filter: str
    scale: Fraction
    edge: float = 1.0

    def degrade(self, high: FloatArray, rate: int) -> tuple[FloatArray, float]:
        """Return ``high [channels, samples]`` degraded, and its rate in Hz."""
        low_rate = rate / self.scale
        if self.filter == DECIMATE:
            step = int(self.scale)
            whole = high.shape[1] // step * step
            return decimate(high[:, :whole], step), float(low_rate)
        if self.filter in FAMILIES:
            cutoff_hz = self.edge * float(low_rate) / 2
            high = apply(high, rate, LowPass(self.filter, cutoff_hz))
        low = resample(high, self.scale.numerator, self.scale.denominator)
        return low, float(low_rate)

    def describe(self) -> str:
        """Return what is done, for the settings."""
        if self.filter == DECIMATE:
            return (
                f"scipy.signal.decimate by {self.scale} (order-8 Chebyshev I, forward and backward)"
            )
        if self.filter == SOXR:
            return "soxr VHQ"
        return f"{self.filter} low-pass at {self.edge:g} of the low Nyquist frequency, soxr VHQ"


@dataclass(frozen=True)
class Clip:
    """A case's sounds: ``[channels, samples]``, rates in Hz."""

    reference: FloatArray
    rate: int
    low: FloatArray
    low_rate: float


@dataclass(frozen=True)
class Case:
    """One clip of a suite, unread. ``outputs`` are other systems' files, by their names.

    ``low`` is a file or how to make it. ``piece`` is ``(seconds, seed, number)``: which part of the
    reference to take; None takes all of it. ``recording`` names what the clip was taken from.
    """

    group: str
    name: str
    recording: str
    reference: Path
    low: Path | Degradation
    outputs: Mapping[str, Path] = field(default_factory=dict)
    piece: tuple[float, int, int] | None = None
    rate: int | None = None

    @property
    def label(self) -> str:
        """Set and clip."""
        return f"{self.group}/{self.name}"

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield every file of the case, with what it is."""
        yield REFERENCE, self.reference
        if isinstance(self.low, Path):
            yield LOW, self.low
        yield from self.outputs.items()

    def open(self) -> Clip:
        """Read the reference and read or make the input.

        Raises:
            AudioFileError: a file cannot be read.
            InvalidInputError: the reference is silent, too short, or its rate does not allow it.
        """
        reference, rate = read_audio(self.reference)
        if self.rate is not None:
            if rate < self.rate:
                raise InvalidInputError(
                    f"{self.reference}: sampled at {rate} Hz, below the suite's {self.rate} Hz"
                )
            reference, rate = resample(reference, rate, self.rate), self.rate
        if self.piece is not None:
            reference = _piece(reference, rate, *self.piece)
        if np.max(np.abs(reference), initial=0) < SILENT_PEAK:
            raise InvalidInputError(
                f"{self.reference}: silent, so that no figure is defined; leave it out"
            )
        if isinstance(self.low, Path):
            low, low_rate = read_audio(self.low)
            if low_rate > rate:
                raise InvalidInputError(
                    f"{self.low}: sampled at {low_rate} Hz, above its reference's {rate} Hz"
                )
            if len(low) != len(reference):
                raise InvalidInputError(
                    f"{self.low}: {len(low)} channels, its reference {len(reference)}"
                )
            return Clip(reference, rate, low, float(low_rate))
        return Clip(reference, rate, *self.low.degrade(reference, rate))


def _piece(samples: FloatArray, rate: int, seconds: float, seed: int, number: int) -> FloatArray:
    length = round(seconds * rate)
    spare = samples.shape[1] - length
    if spare <= 0:
        return samples
    start = int(np.random.default_rng([seed, number]).integers(0, spare + 1))
    return samples[:, start : start + length]
