"""Low-pass families as magnitude responses, so that one description serves arrays and batches.

A :class:`LowPass` is applied as a zero-phase product on the spectrum. Training multiplies a whole
batch of spectra by such responses; :func:`apply` does the same to one recording for evaluation.
Formulas: Butterworth and Chebyshev I in closed form from Oppenheim & Schafer, elliptic and Bessel
from scipy's analogue prototypes.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from overtone.errors import InvalidInputError

Family = Literal["butterworth", "chebyshev", "elliptic", "bessel", "resampler", "brickwall"]
FAMILIES: tuple[Family, ...] = get_args(Family)

Doubles = NDArray[np.float64]

# soxr's HQ and VHQ recipes keep the band up to this fraction of the lower Nyquist frequency.
RESAMPLER_PASSBAND = 0.913


@dataclass(frozen=True)
class LowPass:
    """A low-pass filter with nominal edge ``cutoff_hz``.

    The edge is -3 dB for Butterworth and Bessel, the end of the ripple for Chebyshev and
    elliptic, the end of the band for brickwall, and the end of the stop band's transition (the
    low rate's Nyquist frequency) for a resampler. ``passes`` is 2 for forward-backward filtering.

    Raises InvalidInputError for an unknown family or an impossible value.

    Example:
        >>> low_pass = LowPass("butterworth", 4000, order=6)
        >>> float(low_pass.magnitude(np.array(4000.0)).round(3))  # -3 dB
        0.707
    """

    family: Family
    cutoff_hz: float
    order: int = 8
    ripple_db: float = 0.05
    stop_db: float = 60.0
    passes: int = 1

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise InvalidInputError(
                f"unknown filter family {self.family!r}; known: {', '.join(FAMILIES)}"
            )
        if not 0 < self.cutoff_hz < math.inf:
            raise InvalidInputError(f"a cutoff must be above 0 Hz, not {self.cutoff_hz:g}")
        if self.order < 1 or self.passes < 1:
            raise InvalidInputError(
                f"order and passes must be at least 1, not {self.order} and {self.passes}"
            )
        if not 0 < self.ripple_db < self.stop_db:
            raise InvalidInputError(
                f"the ripple must be above 0 dB and below the stop band's {self.stop_db:g} dB, not"
                f" {self.ripple_db:g}"
            )

    def magnitude(self, frequencies_hz: Doubles) -> Doubles:
        """Return the magnitude response at ``frequencies_hz`` (any shape), linear."""
        ratio = np.asarray(frequencies_hz, dtype=np.float64) / self.cutoff_hz
        return _response(self, ratio) ** self.passes

    def edge_hz(self, attenuation_db: float = 6.0) -> float:
        """Return the frequency from which the response stays ``attenuation_db`` or more down, Hz.

        It is looked for up to an octave either side of ``cutoff_hz``; ``attenuation_db`` must
        exceed the ripple of all passes, or there is no such frequency.
        """
        grid = np.linspace(0.5, 2.0, 1501)
        level = self.magnitude(grid * self.cutoff_hz)
        alive = np.flatnonzero(level > 10 ** (-attenuation_db / 20))
        if alive.size == 0 or alive[-1] == grid.size - 1:
            raise InvalidInputError(
                f"no edge of {attenuation_db:g} dB within an octave of {self.cutoff_hz:g} Hz"
            )
        return float(grid[alive[-1]] * self.cutoff_hz)


def _response(low_pass: LowPass, ratio: Doubles) -> Doubles:
    family, order = low_pass.family, low_pass.order
    if family == "butterworth":
        return np.asarray(1 / np.sqrt(1 + ratio ** (2 * order)))
    if family == "chebyshev":
        epsilon_squared = 10 ** (low_pass.ripple_db / 10) - 1
        inside = np.cos(order * np.arccos(np.minimum(ratio, 1)))
        outside = np.cosh(order * np.arccosh(np.clip(ratio, 1, 1e3)))
        polynomial = np.where(ratio <= 1, inside, outside)
        return np.asarray(1 / np.sqrt(1 + epsilon_squared * polynomial**2))
    if family == "resampler":
        ramp = np.clip((ratio - RESAMPLER_PASSBAND) / (1 - RESAMPLER_PASSBAND), 0, 1)
        return np.asarray(np.cos(0.5 * np.pi * ramp) ** 2)
    if family == "brickwall":
        return (ratio <= 1).astype(np.float64)
    grid, level = _prototype(family, order, low_pass.ripple_db, low_pass.stop_db)
    return np.interp(ratio, grid, level)


@lru_cache(maxsize=256)
def _prototype(
    family: str, order: int, ripple_db: float, stop_db: float
) -> tuple[Doubles, Doubles]:
    """Return an analogue prototype's response on a grid of f / cutoff."""
    grid = np.concatenate([np.linspace(0, 2, 1001), np.geomspace(2.01, 60, 200)])
    if family == "elliptic":
        b, a = signal.ellip(order, ripple_db, stop_db, 1.0, analog=True)
    else:
        b, a = signal.bessel(order, 1.0, analog=True, norm="mag")
    return grid, np.abs(signal.freqs(b, a, worN=grid)[1])


def random_low_pass(rng: np.random.Generator, cutoff_hz: float) -> LowPass:
    """Return a random member of the families with its nominal edge at ``cutoff_hz``."""
    family = FAMILIES[rng.choice(len(FAMILIES), p=[0.2, 0.25, 0.15, 0.05, 0.25, 0.1])]
    passes = int(rng.integers(1, 3))
    if family == "elliptic":
        return LowPass(
            family,
            cutoff_hz,
            order=int(rng.integers(4, 9)),
            ripple_db=float(rng.choice([0.05, 0.5, 1.0])),
            stop_db=float(rng.choice([40.0, 60.0, 80.0])),
            passes=passes,
        )
    orders = {"butterworth": (4, 13), "chebyshev": (6, 11), "bessel": (6, 11)}
    low, high = orders.get(family, (8, 9))
    return LowPass(
        family,
        cutoff_hz,
        order=int(rng.integers(low, high)),
        ripple_db=float(rng.choice([0.05, 0.05, 0.5])),
        passes=passes if family in orders else 1,
    )


def passband_droop(
    frequencies_hz: Doubles, edge_hz: float, depth_db: float, steepness: float
) -> Doubles:
    """Return the magnitude of a band that falls towards its edge, before any filter; 1 at 0 Hz.

    It is ``depth_db`` down at ``edge_hz`` and stays so above; the fall in dB grows with the
    frequency to the power ``steepness``. A converter that holds its samples comes to 3.9 dB at
    the Nyquist frequency, and interpolation by straight lines to twice that, both with a
    steepness of about 2.
    """
    ratio = np.minimum(np.asarray(frequencies_hz, dtype=np.float64) / edge_hz, 1)
    return np.asarray(10 ** (-depth_db / 20 * ratio**steepness))


def compensated(magnitude: Doubles, limit_db: float) -> Doubles:
    """Return a low-pass's ``magnitude`` after its roll-off is compensated as in enhancing.

    Down to ``limit_db`` the transition band is made level; what lies lower is raised by as much.
    """
    return magnitude / np.maximum(magnitude, 10 ** (-limit_db / 20))


def apply(
    samples: NDArray[np.floating], sample_rate: int, low_pass: LowPass
) -> NDArray[np.float32]:
    """Low-pass ``samples`` (``[..., samples]``) with zero phase; same shape, float32.

    The ends are padded by reflection so that nothing wraps around.

    Example:
        >>> noise = np.random.default_rng(0).standard_normal(48000)
        >>> low = apply(noise, 48000, LowPass("brickwall", 6000))
        >>> round(float(np.mean(low**2)), 1)  # a quarter of the band is left
        0.3
    """
    length = samples.shape[-1]
    if length == 0:
        return samples.astype(np.float32)
    pad = min(length - 1, int(8 * sample_rate / low_pass.cutoff_hz) + 1024)
    padded = np.pad(
        samples.astype(np.float64), [(0, 0)] * (samples.ndim - 1) + [(pad, pad)], mode="reflect"
    )
    spectrum = np.fft.rfft(padded, axis=-1)
    frequencies = np.asarray(np.fft.rfftfreq(padded.shape[-1], 1 / sample_rate), np.float64)
    filtered = np.fft.irfft(spectrum * low_pass.magnitude(frequencies), padded.shape[-1], axis=-1)
    return filtered[..., pad : pad + length].astype(np.float32)
