"""Upsampling that learns nothing: what a network has to beat.

Each is ``upsample(low [channels, n], rate_in, rate_out) -> [channels, m]`` with
``m = round(n * rate_out / rate_in)``, the first samples aligned; rates are in Hz and need not be
whole (22050 / 4 is 5512.5). :data:`BASELINES` has them by name, :func:`upsample` looks one up.
"""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from overtone.degrade.spline import interpolate
from overtone.dsp.decimation import FILTER_EDGE
from overtone.dsp.resample import resample
from overtone.dsp.stft import Spectrum, StreamOverlapAdd, StreamStft, hann
from overtone.errors import InvalidInputError

FloatArray = NDArray[np.float32]
Baseline = Callable[[FloatArray, float, float], FloatArray]

WINDOW_SAMPLES, HOP_SAMPLES, BLOCK_SAMPLES = 1024, 256, 1 << 17
# A copy moved by whole multiples of this many bins keeps its phase from frame to frame.
SHIFT_BINS = WINDOW_SAMPLES // HOP_SAMPLES
# -100 dB: below it there is no level to extrapolate from.
FLOOR_POWER = 1e-10
# A line through one octave of one frame is uncertain; recordings seldom fall by less an octave.
SHALLOWEST_SLOPE_DB = -9.0


def _ratio(low: FloatArray, rate_in: float, rate_out: float) -> Fraction:
    if low.ndim != 2:
        raise InvalidInputError(f"samples are [channels, samples], not {low.shape}")
    if not 0 < rate_in <= rate_out < float("inf"):
        raise InvalidInputError(
            f"rates must be above 0 and go up, not from {rate_in:g} to {rate_out:g} Hz"
        )
    return Fraction(rate_out) / Fraction(rate_in)


def spline(low: FloatArray, rate_in: float, rate_out: float) -> FloatArray:
    """Interpolate by a cubic B-spline through the samples, as Kuleshov et al. (2017) do."""
    return interpolate(low, _ratio(low, rate_in, rate_out))


def soxr(low: FloatArray, rate_in: float, rate_out: float) -> FloatArray:
    """Band-limited interpolation by soxr VHQ: nothing above the low Nyquist frequency."""
    ratio = _ratio(low, rate_in, rate_out)
    # As a ratio of whole numbers, since half hertz cannot be told to the resampler.
    return resample(low.astype(np.float32, copy=False), ratio.denominator, ratio.numerator)


def copy_up(
    low: FloatArray, rate_in: float, rate_out: float, *, passband: float = FILTER_EDGE
) -> FloatArray:
    """Repeat the upper half of the band above it, on its envelope's slope: spectral copy-up.

    Spectral band replication (Dietz et al. 2002) with nothing transmitted: in every frame a line
    is fitted to the level in dB over log-frequency in the upper half of the given band, and each
    copy is lowered by what that line falls on the way. What lies below ``passband`` (a fraction
    of the low Nyquist frequency, by default where scipy's decimation filter begins to
    fall) equals :func:`soxr`.
    """
    wide = soxr(low, rate_in, rate_out)
    edge_bin = int(passband * rate_in / rate_out * (WINDOW_SAMPLES // 2))
    if wide.shape[1] == 0 or edge_bin < 2 * SHIFT_BINS or rate_in == rate_out:
        return wide
    return wide + _copies(wide, edge_bin)


def _copies(wide: FloatArray, edge_bin: int) -> FloatArray:
    """Return what to add to ``wide [channels, n]`` so that copies lie from ``edge_bin`` up."""
    window = hann(WINDOW_SAMPLES)
    analysis = StreamStft(len(wide), window, HOP_SAMPLES)
    # Squared Hann windows at a quarter of their length add up to 1.5.
    synthesis = StreamOverlapAdd(len(wide), window / 1.5, HOP_SAMPLES)
    padded = np.pad(wide, ((0, 0), (0, WINDOW_SAMPLES)))
    added = []
    for start in range(0, padded.shape[1], BLOCK_SAMPLES):  # bounded memory
        spectrum = analysis.push(padded[:, start : start + BLOCK_SAMPLES])
        added.append(synthesis.push(_replaced(spectrum, edge_bin) - spectrum))
    # The first frame ends with the first hop.
    first = WINDOW_SAMPLES - HOP_SAMPLES
    return np.concatenate(added, axis=1)[:, first : first + wide.shape[1]]


def _replaced(spectrum: Spectrum, edge_bin: int) -> Spectrum:
    """Return ``spectrum [..., bins]`` with copies of the upper half band from ``edge_bin`` up."""
    bins = spectrum.shape[-1]
    octaves = np.log2((np.arange(bins) + 0.5) / edge_bin)
    width = max(edge_bin // 2 // SHIFT_BINS, 1) * SHIFT_BINS
    source = slice(edge_bin - width, edge_bin)
    slope_db = _slope_db(spectrum[..., source], octaves[source])
    out = spectrum.copy()
    for start in range(edge_bin, bins, width):
        shift = start - edge_bin + width
        stop = min(start + width, bins)
        rise = octaves[start:stop] - octaves[start - shift : stop - shift]
        gain = 10 ** (slope_db[..., None] * rise / 20)
        out[..., start:stop] = spectrum[..., start - shift : stop - shift] * gain
    return out


def _slope_db(band: Spectrum, octaves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares slope of the level of ``band [..., bins]``, dB an octave."""
    level = 10 * np.log10(np.abs(band) ** 2 + FLOOR_POWER)
    position = octaves - octaves.mean()
    slope: NDArray[np.float64] = level @ position / (position @ position)
    return np.minimum(slope, SHALLOWEST_SLOPE_DB)


BASELINES: dict[str, Baseline] = {"spline": spline, "soxr": soxr, "copy-up": copy_up}


def upsample(name: str, low: FloatArray, rate_in: float, rate_out: float) -> FloatArray:
    """Return ``low [channels, n]`` at ``rate_out`` by the baseline called ``name``.

    Raises:
        InvalidInputError: no such baseline, rates that do not go up, or not two dimensions.
    """
    if name not in BASELINES:
        raise InvalidInputError(f"no baseline {name!r}; known: {', '.join(BASELINES)}")
    return BASELINES[name](low, rate_in, rate_out)
