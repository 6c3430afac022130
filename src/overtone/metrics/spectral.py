"""Log-spectral distances (LSD): how far, bin by bin, two log spectra lie apart.

The numbers in papers come from two incompatible definitions, :func:`lsd` and :func:`kuleshov_lsd`.
Spectra are taken a block of frames at a time, so memory does not grow with the length.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.dsp.stft import hann, stft
from overtone.errors import InvalidInputError
from overtone.metrics.signals import Channel, Floats, as_float64, channel_mean, checked_channels

FFT_SAMPLES = 2048
HOP_SAMPLES = 512
POWER_FLOOR = 1e-8
"""Power below which a bin counts as empty, for samples in [-1, 1] and an unscaled window."""
BAND_WIDTH_HZ = 4000
_BLOCK_FRAMES = 256


def lsd(
    reference: ArrayLike,
    estimate: ArrayLike,
    *,
    sample_rate: int | None = None,
    band_hz: tuple[float, float] | None = None,
) -> float:
    """Return the log-spectral distance as the field reports it since NU-Wave (2021).

    Hann window of 2048 (periodic), hop 512, centred, reflect padding; log10 of max(|S|^2, 1e-8);
    root of the mean squared difference over frequency; mean over time. A gain of g dB on an
    estimate that is otherwise perfect costs g / 10. Signals of 1024 samples or fewer, too short to
    reflect, are padded with zeros to one window first.

    ``band_hz = (lo, hi)`` keeps the bins with lo <= frequency < hi (and Nyquist's own, if hi
    reaches it) and needs ``sample_rate`` in Hz; a band without any bin raises
    :class:`~overtone.errors.InvalidInputError`.
    """
    if band_hz is None:
        return lsd_of_bins(reference, estimate, [slice(None)])[0]
    if sample_rate is None:
        raise InvalidInputError("LSD of a band needs the sample rate: pass sample_rate")
    return lsd_of_bins(reference, estimate, [band_bins(sample_rate, *band_hz)])[0]


def lsd_hf(reference: ArrayLike, estimate: ArrayLike, sample_rate: int, cutoff_hz: float) -> float:
    """Return the LSD over the bins at or above ``cutoff_hz``: what was predicted."""
    return lsd(reference, estimate, sample_rate=sample_rate, band_hz=(cutoff_hz, math.inf))


def lsd_lf(reference: ArrayLike, estimate: ArrayLike, sample_rate: int, cutoff_hz: float) -> float:
    """Return the LSD over the bins below ``cutoff_hz``: what should have been left alone."""
    return lsd(reference, estimate, sample_rate=sample_rate, band_hz=(0.0, cutoff_hz))


def lsd_by_band(
    reference: ArrayLike,
    estimate: ArrayLike,
    sample_rate: int,
    width_hz: float = BAND_WIDTH_HZ,
) -> dict[tuple[float, float], float]:
    """Return the LSD of each band of ``width_hz`` from 0 Hz up, keyed by ``(lo_hz, hi_hz)``.

    The topmost band ends at the Nyquist frequency, which it includes, and may be narrower.
    """
    edges = band_edges_hz(sample_rate, width_hz)
    bands = [band_bins(sample_rate, *edge) for edge in edges]
    return dict(zip(edges, lsd_of_bins(reference, estimate, bands), strict=True))


def kuleshov_lsd(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Return the log-spectral distance as AudioUNet and TFiLM compute it.

    The STFT of :func:`lsd`, but the natural logarithm of |S|^2 + 1e-8, the root of the mean over
    time, then the mean over frequency; 10 at most. About twice the value of :func:`lsd`.
    """

    def distance(y: Channel, x: Channel) -> float:
        squares, frames = np.zeros(FFT_SAMPLES // 2 + 1), 0
        for power_y, power_x in _power_blocks(y, x):
            difference = np.log(power_y + POWER_FLOOR) - np.log(power_x + POWER_FLOOR)
            squares += np.sum(difference**2, axis=0)
            frames += len(difference)
        return min(float(np.mean(np.sqrt(squares / frames))), 10.0)

    return channel_mean(distance, reference, estimate)


def spectrum_blocks(channel: Channel) -> Iterator[NDArray[np.complex128]]:
    """Yield the STFT ``[frames, bins]`` of one channel, as :func:`lsd` has it, block by block."""
    frames = count_frames(channel)
    for first in range(0, frames, _BLOCK_FRAMES):
        yield frame_spectra(channel, first, min(_BLOCK_FRAMES, frames - first))


def count_frames(channel: Channel, size: int = FFT_SAMPLES, hop: int = HOP_SAMPLES) -> int:
    """Return the number of centred frames of a channel; one too short to reflect is padded."""
    return 1 + (channel.size if channel.size > size // 2 else size) // hop


def frame_spectra(
    channel: Channel, first: int, count: int, size: int = FFT_SAMPLES, hop: int = HOP_SAMPLES
) -> NDArray[np.complex128]:
    """Return the spectra ``[count, bins]`` of centred frames, through a periodic Hann window."""
    if channel.size <= size // 2:
        channel = np.pad(channel, (0, size - channel.size))
    start = first * hop - size // 2
    index = np.abs(np.arange(start, start + (count - 1) * hop + size))
    last = channel.size - 1
    index = np.where(index > last, 2 * last - index, index)
    return np.asarray(stft(as_float64(channel[index]), hann(size), hop), np.complex128)


def power(spectrum: NDArray[np.complex128]) -> Floats:
    """Return |S|^2."""
    return np.asarray(spectrum.real**2 + spectrum.imag**2)


def _power_blocks(y: Channel, x: Channel) -> Iterator[tuple[Floats, Floats]]:
    """Return the power spectra ``[frames, bins]`` of one channel of each, block by block."""
    return zip(map(power, spectrum_blocks(y)), map(power, spectrum_blocks(x)), strict=True)


def lsd_of_bins(reference: ArrayLike, estimate: ArrayLike, bands: Sequence[slice]) -> list[float]:
    """Return the LSD over each range of bins, all from one pass over the spectra."""
    channels = []
    for y, x in zip(*checked_channels(reference, estimate), strict=True):
        totals, frames = np.zeros(len(bands)), 0
        for power_y, power_x in _power_blocks(y, x):
            log_y, log_x = (np.log10(np.maximum(p, POWER_FLOOR)) for p in (power_y, power_x))
            squares = (log_y - log_x) ** 2
            totals += [np.sqrt(squares[:, band].mean(axis=1)).sum() for band in bands]
            frames += len(squares)
        channels.append(totals / frames)
    return [float(value) for value in np.mean(channels, axis=0)]


def band_bins(sample_rate: int, lo_hz: float, hi_hz: float) -> slice:
    """Return the bins in ``[lo_hz, hi_hz)``, with Nyquist's own if ``hi_hz`` reaches it."""
    if sample_rate <= 0:
        raise InvalidInputError(f"sample rate {sample_rate}: need more than 0 Hz")
    spacing_hz, last = sample_rate / FFT_SAMPLES, FFT_SAMPLES // 2
    if 0 <= lo_hz < hi_hz:
        stop = last + 1 if hi_hz >= sample_rate / 2 else math.ceil(hi_hz / spacing_hz)
        first = min(math.ceil(lo_hz / spacing_hz), stop) if lo_hz <= sample_rate / 2 else stop
        if first < stop:
            return slice(first, stop)
    span = f"between {lo_hz:g} and {hi_hz:g} Hz" if hi_hz < math.inf else f"from {lo_hz:g} Hz up"
    raise InvalidInputError(
        f"no frequency bin lies {span} at {sample_rate} Hz: choose "
        f"a band within 0 to {sample_rate / 2:g} Hz, wider than {spacing_hz:.3g} Hz"
    )


def band_edges_hz(sample_rate: int, width_hz: float) -> list[tuple[float, float]]:
    """Return ``(lo, hi)`` of each band from 0 Hz to Nyquist.

    A topmost band narrower than a bin would be empty, and joins the one below.
    """
    if not width_hz >= sample_rate / FFT_SAMPLES:
        raise InvalidInputError(
            f"bands of {width_hz:g} Hz: need at least one bin, {sample_rate / FFT_SAMPLES:.3g} Hz"
        )
    nyquist_hz = sample_rate / 2
    count = max(math.ceil((nyquist_hz - sample_rate / FFT_SAMPLES) / width_hz), 1)
    lows = [index * width_hz for index in range(count)]
    return list(zip(lows, [*lows[1:], nyquist_hz], strict=True))
