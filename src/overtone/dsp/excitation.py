"""Excitations: wide-band signals with the pitch, the pulses and the moments of the kept band.

A source-filter model makes what lies above a cutoff from *excitations* and smooth gains. The
excitations are ordinary signal processing, outside any network:

1. The kept band, up to 4 kHz, is *whitened*: every bin is divided by the root of its local mean
   power, and the frames are overlap-added to a waveform.
2. Its absolute value has every harmonic of its pitch, all the way up (Makhoul & Berouti 1979,
   "High-frequency regeneration in speech coding systems"). Multiplied by a power of its own
   *swell*, a fast mean over a slow one, it becomes sharp ``pulses``. Where the kept band is narrow
   they would be sharper than a voice's, so low frequencies are delayed (the pulse dispersion of
   MELP; McCree & Barnwell 1995, "A mixed excitation LPC vocoder model for low bit rate speech
   coding").
3. White noise times a lower power is ``modulated_noise``: breath between the pulses of a voice.
4. White noise as it is, ``noise``.
5. Mixtures have no one pitch, and their absolute value is full of differences between tones. For
   them the whitened band itself moves up: by steps of its own width (spectral band replication,
   Dietz et al. 2002), ``copy_up``, or reflected at the cutoff first, ``mirror``. Its magnitudes are
   raised to a power before: frames that overlap, and noise beside it, take grain from it.

Frames overlap and excitations add up, which takes grain from them. So magnitudes of the first three
may be raised to a power as well. What comes of absolute values is whitened again, bin by bin, so
that all have unit power at every frequency. All means but those over frequency look back only. The
noise is a function of a seed, the channel and the number of the sample, so that any way of cutting
a recording into blocks gives the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.stft import FrameDelay, StreamOverlapAdd, StreamStft, hann

FloatArray = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

# In the order of a waveform's making; the last two are made of bins.
WAVES = ("pulses", "modulated_noise", "noise")
COPIES = ("copy_up", "mirror")
NAMES = WAVES + COPIES


@dataclass(frozen=True)
class ExcitationConstants:
    """What defines the excitations; travels in a model's metadata, for other runtimes to repeat.

    The kept band is used from ``lowest_hz`` to where the crossover begins, ``crossover_start`` of
    the cutoff; for a waveform, at most to ``highest_hz``. Local means run over ``whitening_bins``.
    The swell is the mean over the last ``fast_samples`` divided by that over the last
    ``slow_samples``; pulses are weighted by its power ``pulse_power``, modulated noise by its
    ``noise_power``, which are 2 where a file does not say. The pulses' delay falls linearly from
    ``dispersion_ms`` at 0 Hz to nothing at ``dispersion_end_hz``. Copies are of the last
    ``copied_part`` of the band. Magnitudes of copies are raised to the power ``copy_power``, those
    of pulses and noises to ``wave_power``.
    """

    lowest_hz: float = 80.0
    highest_hz: float = 4000.0
    crossover_start: float = 0.97
    whitening_bins: int = 15
    whitening_floor: float = 1e-10
    copied_part: float = 0.75
    fast_samples: int = 32
    slow_samples: int = 1024
    swell_floor: float = 1e-6
    pulse_power: int = 2
    noise_power: int = 2
    dispersion_ms: float = 0.0
    dispersion_end_hz: float = 6000.0
    copy_power: int = 1
    wave_power: float = 1.0
    flattening_floor: float = 1e-12


def white_noise(seed: int, channel: int, start: int, count: int) -> FloatArray:
    """Return samples ``start`` to ``start + count`` of endless white noise of unit variance.

    Uniform, by a hash of the sample's number (lowbias32 of Wellons 2018, "Prospecting for hash
    functions"): integer arithmetic that any language repeats to the bit.

    Example:
        >>> whole = white_noise(7, 0, 0, 100)
        >>> bool((white_noise(7, 0, 60, 40) == whole[60:]).all())
        True
    """
    index = np.arange(start, start + count, dtype=np.uint64)
    key = _hash(np.array([seed * 0x9E3779B9 + channel * 0x85EBCA6B & 0xFFFFFFFF], np.uint32))
    high = _hash((index >> np.uint64(32)).astype(np.uint32) ^ key)
    bits = _hash(index.astype(np.uint32) ^ high)
    return ((bits / 2**32 - 0.5) * math.sqrt(12)).astype(np.float32)


def _hash(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return np.asarray(x ^ (x >> np.uint32(16)), np.uint32)


def local_mean(power: FloatArray, bins: int) -> FloatArray:
    """Return the mean of ``power [..., n]`` over the ``bins`` around each, fewer at either end."""
    half, n = bins // 2, power.shape[-1]
    # Beyond either end the sums stay what they are there.
    total = np.zeros((*power.shape[:-1], n + 1 + 2 * half))
    np.cumsum(power, axis=-1, dtype=np.float64, out=total[..., half + 1 : half + 1 + n])
    total[..., half + 1 + n :] = total[..., half + n, None]
    mean = total[..., 2 * half + 1 :] - total[..., :n]
    at = np.arange(n)
    mean /= np.minimum(at + half + 1, n) - np.maximum(at - half, 0)
    return np.asarray(mean, np.float32)


def power_of(spectrum: Spectrum) -> FloatArray:
    """Squared magnitude."""
    return np.asarray(spectrum.real**2 + spectrum.imag**2, np.float32)


class TrailingMean:
    """Mean of the last ``count`` samples of ``[channels, n]``, zeros before the first."""

    def __init__(self, channels: int, count: int) -> None:
        self._count = count
        self._past = np.zeros((channels, count), np.float32)

    def push(self, block: FloatArray) -> FloatArray:
        """Return the means up to each sample of ``block``."""
        held = np.concatenate([self._past, block], axis=1)
        # Sums begin anew with every block, so errors do not grow over hours.
        total = np.cumsum(held, axis=1, dtype=np.float64)
        self._past = held[:, block.shape[1] :].copy()
        n = self._count
        return ((total[:, n:] - total[:, :-n]) / n).astype(np.float32)


def dispersion(hz: NDArray[np.floating[Any]], constants: ExcitationConstants) -> Spectrum:
    """Return the all-pass response at each of ``hz`` that disperses pulses."""
    end = constants.dispersion_end_hz
    at = np.minimum(hz, end)
    # The phase whose slope is the delay.
    cycles = constants.dispersion_ms / 1000 * (at - at**2 / (2 * end))
    return np.asarray(np.exp(-2j * np.pi * cycles), np.complex64)


def copy_sources(
    bins: int, edge: int, constants: ExcitationConstants, *, mirror: bool
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return which bin each of ``bins`` is copied from, and whether its conjugate is.

    ``edge`` is the first bin above the kept band. Distances are multiples of four bins: with a hop
    of a quarter of the window, the frames of a moved band then agree in phase.
    """
    step = max(4, int(constants.copied_part * edge) // 4 * 4)
    at = np.arange(bins)
    times = (at - edge) // step + 1
    source = np.where(at >= edge, at - times * step, at)
    conjugate = mirror & (at >= edge) & (times % 2 == 1)
    source = np.where(conjugate, edge // 2 * 4 + (times - 1) * step - at, source)
    return np.clip(source, 0, bins - 1), conjugate


class Excitations:
    """Makes excitation frames from frames of the recording, ``hops - 1`` frames late.

    Both are short-time spectra under a periodic Hann window with white noise of unit variance at
    unit power (:mod:`overtone.dsp.stft`).
    """

    def __init__(
        self,
        constants: ExcitationConstants,
        names: Sequence[str] = WAVES,
        *,
        sample_rate: int,
        window_samples: int,
        hop_samples: int,
        channels: int,
        cutoff_hz: float,
        seed: int = 0,
        first_bin: int = 0,
    ) -> None:
        self._c, self._seed, self._channels = constants, seed, channels
        self._names, self._hop = tuple(names), hop_samples
        self._floor = np.float32(constants.swell_floor)
        hz = np.fft.rfftfreq(window_samples, 1 / sample_rate)
        edge_hz = constants.crossover_start * cutoff_hz
        limits_hz = [constants.lowest_hz, min(edge_hz, constants.highest_hz), edge_hz]
        first, last, edge = np.maximum.accumulate(np.searchsorted(hz, limits_hz, side="right"))
        self._voiced, self._kept = slice(int(first), int(last)), slice(int(first), int(edge))
        window = hann(window_samples)
        norm = np.sqrt(np.sum(window**2))
        # Squared Hann windows add up to 3/8 of the window over the hop.
        overlap = 3 / 8 * window_samples / hop_samples
        self._synthesis = StreamOverlapAdd(channels, window * norm / overlap, hop_samples)
        # Of the waves, noise costs little without the others.
        self._waved = WAVES if set(self._names) & set(WAVES[:2]) else WAVES[2:]
        self._analysis = StreamStft(len(self._waved) * channels, window / norm, hop_samples)
        self._fast = TrailingMean(channels, constants.fast_samples)
        self._slow = TrailingMean(channels, constants.slow_samples)
        half = constants.whitening_bins // 2
        # What lies below the cutoff serves nobody but the means at the edge.
        self._from = max(0, first_bin - half)
        self._cut = first_bin - self._from
        self._dispersion = dispersion(hz[self._from :], constants)
        bins = window_samples // 2 + 1
        self._before = np.zeros((2, channels, 1, bins - self._from), np.float32)
        self._copies = [
            copy_sources(bins, self._kept.stop, constants, mirror=name == "mirror")
            for name in self._names
            if name in COPIES
        ]
        shape = (len(self._copies), channels, 0, bins - first_bin)
        self._late = FrameDelay(window_samples // hop_samples - 1, shape, 2, np.complex64)
        # Frames start before the first sample, and with them the samples' numbers.
        self._sample = 0
        self._partial = window_samples // hop_samples - 1

    def push(self, spectrum: Spectrum) -> Spectrum:
        """Return excitations ``[names, channels, frames, bins from first_bin on]`` known by now.

        ``spectrum [channels, frames, bins]`` goes on where the last call's ended. The frames that
        come first out belong to times before the first frame; they are zero.
        """
        found = dict(zip(self._waved, self._waves(spectrum), strict=True))
        if self._copies:
            moved = self._moved(self._raised(self._white(spectrum, self._kept)))
            found.update(zip((n for n in self._names if n in COPIES), moved, strict=True))
        return np.stack([found[name] for name in self._names])

    def _white(self, spectrum: Spectrum, band: slice) -> Spectrum:
        """Return a band of the frames, each bin divided by the root of its local mean power."""
        white = np.zeros_like(spectrum)
        white[..., band] = spectrum[..., band]
        # The means reach over the edges of the band, where there is nothing.
        mean = local_mean(power_of(white), self._c.whitening_bins)
        white *= 1 / np.sqrt(mean + self._c.whitening_floor)
        return white

    def _waves(self, spectrum: Spectrum) -> Spectrum:
        """Pulses, modulated noise and noise, or noise alone."""
        count = spectrum.shape[1] * self._hop
        noise = np.stack(
            [white_noise(self._seed, n, self._sample, count) for n in range(self._channels)]
        )
        self._sample += count
        signals = noise
        if self._waved == WAVES:
            wave = np.abs(self._synthesis.push(self._white(spectrum, self._voiced)))
            swell = self._fast.push(wave) / (self._slow.push(wave) + self._floor)
            pulses = wave * math.prod([swell] * self._c.pulse_power)
            breath = noise * math.prod([swell] * self._c.noise_power)
            signals = np.concatenate([pulses, breath, noise])
        spectra = self._analysis.push(signals)[..., self._from :]
        found = spectra.reshape(len(self._waved), self._channels, -1, spectra.shape[-1])
        if self._c.wave_power != 1:
            found *= power_of(found) ** np.float32((self._c.wave_power - 1) / 2)
            # The power of noise is distributed exponentially.
            found[-1] /= math.sqrt(math.gamma(1 + self._c.wave_power))
        if self._waved == WAVES:
            self._flatten(found[:2])
            found[0] *= self._dispersion
        # Frames that begin before the first one are partly made of nothing.
        partial = min(self._partial, found.shape[2])
        found[:, :, :partial] = 0
        self._partial -= partial
        return found[..., self._cut :]

    def _raised(self, white: Spectrum) -> Spectrum:
        """Raise magnitudes to the power of copies; local means of power stay what they are."""
        if self._c.copy_power == 1:
            return white
        before = power_of(white)
        raised = white * before ** ((self._c.copy_power - 1) / 2)
        means = (local_mean(x, self._c.whitening_bins) for x in (before, power_of(raised)))
        wanted, found = (mean + self._c.flattening_floor for mean in means)
        return np.asarray(raised * np.sqrt(wanted / found), np.complex64)

    def _moved(self, white: Spectrum) -> Spectrum:
        """Return the whitened band above itself, once for each way of copying."""
        moved = []
        for source, conjugate in self._copies:
            picked = white[..., source[self._from + self._cut :]]
            moved.append(np.where(conjugate[self._from + self._cut :], picked.conj(), picked))
        return self._late.push(np.stack(moved))

    def _flatten(self, found: Spectrum) -> None:
        """Divide by the local mean of power over bins, and over this frame and the last."""
        mean = local_mean(power_of(found), self._c.whitening_bins)
        both = np.concatenate([self._before, mean], axis=2)
        self._before = mean[:, :, -1:]
        found *= 1 / np.sqrt(0.5 * (both[:, :, 1:] + both[:, :, :-1]) + self._c.flattening_floor)
