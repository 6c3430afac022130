"""Texture above the cutoff: what the log-spectral distance cannot hear.

A model trained to the least log-spectral distance predicts the mean of all that the high band
could be: a smooth fog, with a better distance than a perfect envelope filled with natural noise. So
the envelope is measured apart from what it is filled with. :func:`envelope_db` is a distance, blind
to texture. :func:`grain_db`, :func:`harmonics` and :func:`pulses_db` describe one recording: the
best figure is the reference's own.

``nan`` means that there is nothing to measure: silence, too few samples, no voiced frames, or a
cutoff too close to the Nyquist frequency.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.dsp.stft import frames
from overtone.metrics.signals import (
    Channel,
    Floats,
    as_float64,
    check_cutoff,
    checked_channels,
    mean,
)
from overtone.metrics.spectral import count_frames, frame_spectra

SHORT_FFT, SHORT_HOP = 1024, 256
LONG_FFT, LONG_HOP = 2048, 512
ACTIVE_DB = 35.0
"""A frame counts where its high band lies within this of the loudest one's."""
TOP_OF_NYQUIST = 0.94
"""Where the measured band ends: beyond, anti-alias filters roll off."""
GRAIN_BINS, GRAIN_FRAMES = 9, 5
GRAIN_TOP_HZ = 16_000
BANDS_PER_OCTAVE, NARROWEST_BAND_HZ = 6, 200.0
PITCH_HZ = (90, 350)
RIPPLE_BINS, RIPPLE_SPAN_HZ = 31, 4000
VOICED_CORRELATION, VOICED_LEVEL, FEWEST_VOICED = 0.6, 0.05, 6
MODULATION_HZ = (80, 400)
PULSE_SPAN_HZ, PULSE_WINDOW_S, PULSE_LOUD = 6000, 0.04, 0.1

_BLOCK_FRAMES = 1024
_PIECE_SAMPLES, _PIECE_CONTEXT = 1 << 21, 1 << 13


def texture_scores(
    reference: ArrayLike, estimate: ArrayLike, sample_rate: int, cutoff_hz: float
) -> dict[str, float]:
    """Return all of the texture above ``cutoff_hz``, in Hz, with the reference's own beside it.

    The keys are ``envelope_db``; ``grain_db``, ``harmonics`` and ``pulses_db`` of the estimate;
    and these three with the prefix ``reference_``. Both signals are ``[samples]`` or
    ``[channels, samples]``; several channels give the mean.

    Raises:
        InvalidInputError: the shapes differ, samples are not finite, or the cutoff does not lie
            between 0 Hz and Nyquist.

    Example:
        >>> import numpy as np
        >>> noise = np.random.default_rng(0).standard_normal((2, 48000))
        >>> scores = texture_scores(*noise, 48000, cutoff_hz=4000)
        >>> abs(scores["grain_db"] - scores["reference_grain_db"]) < 0.1
        True
    """
    found = []
    for y, x in zip(*_checked(reference, estimate, sample_rate, cutoff_hz), strict=True):
        short_y, short_x = (_short_frames(one, sample_rate, cutoff_hz) for one in (y, x))
        harmonics_y, harmonics_x = _harmonics(y, x, sample_rate, cutoff_hz)
        found.append(
            {
                "envelope_db": _envelope(short_y, short_x),
                "grain_db": _grain(short_x, short_y.active),
                "reference_grain_db": _grain(short_y, short_y.active),
                "harmonics": harmonics_x,
                "reference_harmonics": harmonics_y,
                "pulses_db": _pulses(x, sample_rate, cutoff_hz),
                "reference_pulses_db": _pulses(y, sample_rate, cutoff_hz),
            }
        )
    return {name: mean(scores[name] for scores in found) for name in found[0]}


def envelope_db(
    reference: ArrayLike, estimate: ArrayLike, sample_rate: int, cutoff_hz: float
) -> float:
    """Return the root mean square error in dB of the envelope above ``cutoff_hz``.

    The power of bands of a sixth of an octave (at least 200 Hz) from 1.02 times the cutoff to 0.94
    of Nyquist, in Hann windows of 1024 (21 ms at 48 kHz), hop 256, over the frames in which the
    reference's high band is active. A gain of g dB costs g.

    Example:
        >>> import numpy as np
        >>> noise = np.random.default_rng(0).standard_normal(48000)
        >>> round(envelope_db(noise, noise / 2, 48000, cutoff_hz=4000), 2)
        6.02
    """

    def distance(y: Channel, x: Channel) -> float:
        return _envelope(*(_short_frames(one, sample_rate, cutoff_hz) for one in (y, x)))

    return _channel_mean(distance, reference, estimate, sample_rate, cutoff_hz)


def grain_db(
    samples: ArrayLike, sample_rate: int, cutoff_hz: float, *, reference: ArrayLike | None = None
) -> float:
    """Return the spread in dB of the log magnitude around its local mean.

    The standard deviation of what a mean over 9 bins by 5 frames leaves (Hann 1024, hop 256), from
    1.1 times ``cutoff_hz`` to 0.94 of Nyquist or 16 kHz, over the frames in which the high band of
    ``reference`` (default: of the samples themselves) is active. Gaussian noise has 5.4, a smooth
    mean spectrum less, a clear tone more.

    Example:
        >>> import numpy as np
        >>> noise = np.random.default_rng(0).standard_normal(48000)
        >>> round(grain_db(noise, 48000, cutoff_hz=4000), 1)
        5.4
    """

    def grain(y: Channel, x: Channel) -> float:
        active = _short_frames(y, sample_rate, cutoff_hz).active
        return _grain(_short_frames(x, sample_rate, cutoff_hz), active)

    reference = samples if reference is None else reference
    return _channel_mean(grain, reference, samples, sample_rate, cutoff_hz)


def harmonics(
    samples: ArrayLike, sample_rate: int, cutoff_hz: float, *, reference: ArrayLike | None = None
) -> float:
    """Return how much of a ripple at the spacing of the pitch there is above ``cutoff_hz``, to 1.

    The autocorrelation over frequency of the log spectrum (Hann 2048, hop 512; the mean over 31
    bins taken out) in the 4 kHz above the cutoff, at the lag of the pitch: the one between 90 and
    350 Hz at which the spectrum of ``reference`` (default: of the samples themselves) below the
    cutoff correlates best with itself. The mean over voiced frames, those in which that is more
    than 0.6; 0 where the high band has no harmonics of the pitch.

    Example:
        >>> import numpy as np
        >>> clicks = np.zeros(48000)
        >>> clicks[::240] = 1  # 200 Hz
        >>> harmonics(clicks, 48000, cutoff_hz=4000) > 0.8
        True
    """

    def ripple(y: Channel, x: Channel) -> float:
        return _harmonics(y, x, sample_rate, cutoff_hz)[1]

    reference = samples if reference is None else reference
    return _channel_mean(ripple, reference, samples, sample_rate, cutoff_hz)


def pulses_db(samples: ArrayLike, sample_rate: int, cutoff_hz: float) -> float:
    """Return how strongly the band above ``cutoff_hz`` pulses at the rate of a voice, in dB.

    The modulation of the Hilbert envelope of the 6 kHz above 1.05 times the cutoff between 80 and
    400 Hz, relative to its mean, in windows of 40 ms that are no softer than a tenth of the
    loudest. Noise has about 11.

    Example:
        >>> import numpy as np
        >>> clicks = np.zeros(48000)
        >>> clicks[::240] = 1  # 200 Hz
        >>> noise = np.random.default_rng(0).standard_normal(48000)
        >>> pulses_db(clicks, 48000, 4000) > pulses_db(noise, 48000, 4000) + 5
        True
    """

    def pulses(_: Channel, x: Channel) -> float:
        return _pulses(x, sample_rate, cutoff_hz)

    return _channel_mean(pulses, samples, samples, sample_rate, cutoff_hz)


def _channel_mean(
    metric: Callable[[Channel, Channel], float],
    reference: ArrayLike,
    estimate: ArrayLike,
    sample_rate: int,
    cutoff_hz: float,
) -> float:
    pairs = _checked(reference, estimate, sample_rate, cutoff_hz)
    return mean(metric(y, x) for y, x in zip(*pairs, strict=True))


def _checked(
    reference: ArrayLike, estimate: ArrayLike, sample_rate: int, cutoff_hz: float
) -> tuple[Channel, Channel]:
    check_cutoff(cutoff_hz, sample_rate)
    return checked_channels(reference, estimate)


# Envelope and grain: windows of 1024 -------------------------------------------------------------


class _ShortFrames(NamedTuple):
    """A channel's frames: which are active, ``bands_db [frames, bands]``, grain's two moments."""

    active: NDArray[np.bool_]
    bands_db: Floats
    grain_bins: int
    residual_sum: Floats
    residual_squares: Floats


def _short_frames(channel: Channel, rate: int, cutoff_hz: float) -> _ShortFrames:
    hz = np.fft.rfftfreq(SHORT_FFT, 1 / rate)
    above = hz >= cutoff_hz
    grainy = (hz >= 1.1 * cutoff_hz) & (hz < min(TOP_OF_NYQUIST * rate / 2, GRAIN_TOP_HZ))
    starts, stop = _band_bins(hz, rate, cutoff_hz)
    count = count_frames(channel, SHORT_FFT, SHORT_HOP)
    energy, bands, sums, squares = [], [], [], []
    halo = GRAIN_FRAMES // 2
    for first in range(0, count, _BLOCK_FRAMES):
        last = min(first + _BLOCK_FRAMES, count)
        begin, end = max(first - halo, 0), min(last + halo, count)
        magnitude = np.abs(frame_spectra(channel, begin, end - begin, SHORT_FFT, SHORT_HOP))
        own = slice(first - begin, last - begin)
        level_db = 20 * np.log10(magnitude + 1e-5)
        smooth_db = _local_mean(_local_mean(level_db, GRAIN_BINS, 1), GRAIN_FRAMES, 0)
        residual = (level_db - smooth_db)[own, grainy]
        power = magnitude[own] ** 2
        energy.append(power[:, above].sum(axis=1))
        bands.append(10 * np.log10(np.add.reduceat(power[:, :stop], starts, axis=1) + 1e-7))
        sums.append(residual.sum(axis=1))
        squares.append((residual**2).sum(axis=1))
    energy_db = 10 * np.log10(np.concatenate(energy) + 1e-12)
    active = energy_db > energy_db.max() - ACTIVE_DB
    if not np.any(channel):
        active[:] = False
    moments = np.concatenate(sums), np.concatenate(squares)
    return _ShortFrames(active, np.concatenate(bands), int(grainy.sum()), *moments)


def _band_bins(
    hz: NDArray[np.floating], rate: int, cutoff_hz: float
) -> tuple[NDArray[np.intp], int]:
    """Return the first bin of each band, and the bin at which the last one ends."""
    edges = [1.02 * cutoff_hz]
    while edges[-1] < TOP_OF_NYQUIST * rate / 2:
        width_hz = edges[-1] * (2 ** (1 / BANDS_PER_OCTAVE) - 1)
        edges.append(edges[-1] + max(NARROWEST_BAND_HZ, width_hz))
    bins = np.unique(np.searchsorted(hz, edges))  # no empty bands
    return bins[:-1], int(bins[-1])


def _envelope(y: _ShortFrames, x: _ShortFrames) -> float:
    errors = (x.bands_db - y.bands_db)[y.active]
    return math.sqrt(np.mean(errors**2)) if errors.size else math.nan


def _grain(short: _ShortFrames, active: NDArray[np.bool_]) -> float:
    count = short.grain_bins * int(active.sum())
    if count == 0:
        return math.nan
    average = short.residual_sum[active].sum() / count
    return math.sqrt(max(short.residual_squares[active].sum() / count - average**2, 0.0))


def _local_mean(values: Floats, size: int, axis: int) -> Floats:
    """Return the mean over ``size`` (odd) neighbours along an axis, mirrored at both ends."""
    width = [(0, 0)] * values.ndim
    width[axis] = (size // 2, size // 2)
    sums = np.cumsum(np.pad(values, width, mode="symmetric"), axis=axis)
    width[axis] = (1, 0)
    sums = np.moveaxis(np.pad(sums, width), axis, 0)
    return np.moveaxis((sums[size:] - sums[:-size]) / size, 0, axis)


# Harmonics: windows of 2048 ----------------------------------------------------------------------


def _harmonics(y: Channel, x: Channel, rate: int, cutoff_hz: float) -> tuple[float, float]:
    """Return the ripple at the pitch of ``y`` in the high bands of ``y`` and of ``x``."""
    spacing_hz = rate / LONG_FFT
    hz = np.fft.rfftfreq(LONG_FFT, 1 / rate)
    below = (hz > 100) & (hz < min(cutoff_hz, 4000))
    first_hz = 1.02 * cutoff_hz
    above = (hz >= first_hz) & (hz < min(first_hz + RIPPLE_SPAN_HZ, TOP_OF_NYQUIST * rate / 2))
    lags = range(max(3, int(PITCH_HZ[0] / spacing_hz)), int(PITCH_HZ[1] / spacing_hz))
    total = count_frames(y, LONG_FFT, LONG_HOP)
    if not below.any() or not above.any() or not lags:
        return math.nan, math.nan
    voicing, levels, ripples = np.empty(total), np.empty(total), np.empty((total, 2))
    for first in range(0, total, _BLOCK_FRAMES):
        count = min(_BLOCK_FRAMES, total - first)
        part = slice(first, first + count)
        of_y, of_x = (
            np.abs(frame_spectra(one, first, count, LONG_FFT, LONG_HOP)) for one in (y, x)
        )
        pitch = _ripple(of_y[:, below])
        correlations = np.stack([_correlation(pitch, lag) for lag in lags], axis=1)
        best = np.argmax(correlations, axis=1)
        voicing[part] = correlations.max(axis=1)
        levels[part] = of_y.max(axis=1)
        high = [_ripple(one[:, above]) for one in (of_y, of_x)]
        for number in np.unique(best):
            rows = best == number
            for column, one in enumerate(high):
                ripples[part][rows, column] = _correlation(one[rows], lags[number])
    voiced = (voicing > VOICED_CORRELATION) & (levels > VOICED_LEVEL * levels.max())
    if voiced.sum() < FEWEST_VOICED:
        return math.nan, math.nan
    of_y, of_x = ripples[voiced].mean(axis=0)
    return float(of_y), float(of_x)


def _ripple(magnitude: Floats) -> Floats:
    level = np.log(magnitude + 1e-6)
    return level - _local_mean(level, RIPPLE_BINS, 1)


def _correlation(ripple: Floats, lag: int) -> Floats:
    """Return each frame's correlation with itself, ``lag`` bins up."""
    a, b = ripple[:, :-lag], ripple[:, lag:]
    energy = np.sum(a * a, axis=1) * np.sum(b * b, axis=1)
    return np.asarray(np.sum(a * b, axis=1) / (np.sqrt(energy) + 1e-9))


# Pulses: the envelope in time --------------------------------------------------------------------


def _pulses(channel: Channel, rate: int, cutoff_hz: float) -> float:
    first_hz = 1.05 * cutoff_hz
    last_hz = min(first_hz + PULSE_SPAN_HZ, 0.48 * rate)
    size = int(PULSE_WINDOW_S * rate)
    if first_hz >= last_hz or channel.size < size:
        return math.nan
    windows = frames(_hilbert_envelope(channel, rate, first_hz, last_hz), size, size // 2)
    levels = windows.mean(axis=1)
    loud = np.flatnonzero(levels > PULSE_LOUD * levels.max())
    if not loud.size:
        return math.nan
    power = np.zeros(size // 2 + 1)
    for part in np.array_split(loud, math.ceil(loud.size / _BLOCK_FRAMES)):
        relative = windows[part] / (levels[part, None] + 1e-9) - 1
        # Symmetric, unlike the windows of spectra: published figures were made with it.
        power += np.sum(np.abs(np.fft.rfft(relative * np.hanning(size))) ** 2, axis=0)
    hz = np.fft.rfftfreq(size, 1 / rate)
    voice = (hz >= MODULATION_HZ[0]) & (hz <= MODULATION_HZ[1])
    return 10 * math.log10(power[voice].sum() / loud.size / size + 1e-9)


def _hilbert_envelope(channel: Channel, rate: int, first_hz: float, last_hz: float) -> Floats:
    """Return the envelope of a band ``[samples]``; a long channel is done in pieces."""
    envelope = np.empty(channel.size)
    for start in range(0, channel.size, _PIECE_SAMPLES):
        begin = max(start - _PIECE_CONTEXT, 0)
        piece = as_float64(channel[begin : start + _PIECE_SAMPLES + _PIECE_CONTEXT])
        spectrum = np.fft.rfft(piece)
        hz = np.fft.rfftfreq(piece.size, 1 / rate)
        spectrum[(hz < first_hz) | (hz > last_hz)] = 0
        # Positive frequencies alone, doubled, are the analytic signal.
        analytic = np.fft.ifft(2 * spectrum, piece.size)
        stop = min(start + _PIECE_SAMPLES, channel.size)
        envelope[start:stop] = np.abs(analytic[start - begin : stop - begin])
    return envelope
