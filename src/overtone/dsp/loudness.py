"""Loudness as ITU-R BS.1770-5 and EBU R 128 measure it, of any length in little memory.

The K-weighting is the standard's, given for 48 kHz; other rates are converted. It is applied by
FFT, a second at a time: its impulse response has died away after a tenth of one.
"""

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.resample import StreamResampler

FloatArray = NDArray[np.float32]

RATE = 48_000
STEP = RATE // 10  # blocks of 0.4 s begin every 0.1 s
HISTORY = STEP
PEAK_RATE = 4 * RATE  # true peaks are sought between the samples

# Numerators and denominators of the two filters: a shelf for the head, and a high-pass.
SHELF = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285),
    (1.0, -1.69065929318241, 0.73248077421585),
)
HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))
# Surrounds count for more, the low-frequency channel for nothing.
WEIGHTS = {5: (1, 1, 1, 1.41, 1.41), 6: (1, 1, 1, 0, 1.41, 1.41)}
SILENCE_LUFS, RELATIVE_LU, OFFSET_DB = -70.0, -10.0, -0.691


def k_weighting(size: int) -> NDArray[np.complex128]:
    """Return the frequency response on the bins of a real FFT of ``size`` at 48 kHz."""
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones(z.shape, np.complex128)
    for numerator, denominator in (SHELF, HIGH_PASS):
        response *= np.polyval(numerator[::-1], z) / np.polyval(denominator[::-1], z)
    return response


class LoudnessMeter:
    """Measures a recording ``[channels, n]`` block by block.

    Example:
        >>> meter = LoudnessMeter(48000, 2)
        >>> tone = np.sin(2 * np.pi * 1000 / 48000 * np.arange(96000))
        >>> meter.push(np.float32([tone, tone]) / 10)
        >>> meter.finish()
        >>> round(meter.lufs, 1), round(float(meter.true_peak), 3)
        (-20.0, 0.1)
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._converter = StreamResampler(sample_rate, RATE, channels)
        factor = max(1, round(PEAK_RATE / sample_rate))
        self._between = StreamResampler(sample_rate, factor * sample_rate, channels)
        self._pending = np.zeros((channels, HISTORY), np.float32)  # behind what came before it
        self._weights = np.array(WEIGHTS.get(channels, (1,) * channels))
        self._response = k_weighting(HISTORY + RATE)
        self._energies: list[NDArray[np.float64]] = []
        self.true_peak = 0.0

    def push(self, block: FloatArray) -> None:
        """Take the next samples."""
        self._take(self._converter.push(block), self._between.push(block))

    def finish(self) -> None:
        """Measure what is left; the recording is over."""
        self._take(self._converter.flush(), self._between.flush())
        left = self._pending.shape[1] - HISTORY
        padded = np.pad(self._pending, ((0, 0), (0, RATE - left)))
        self._energies.append(self._energy(padded)[: left // STEP])

    def _take(self, converted: FloatArray, between: FloatArray) -> None:
        self.true_peak = max(self.true_peak, float(np.abs(between).max(initial=0)))
        self._pending = np.concatenate([self._pending, converted], axis=1)
        while self._pending.shape[1] >= HISTORY + RATE:
            self._energies.append(self._energy(self._pending[:, : HISTORY + RATE]))
            self._pending = self._pending[:, RATE:]

    def _energy(self, samples: FloatArray) -> NDArray[np.float64]:
        """Return the weighted mean square of each tenth of a second."""
        spectrum = np.fft.rfft(samples) * self._response
        weighted = np.fft.irfft(spectrum, samples.shape[1])[:, HISTORY:]
        squares = np.mean(weighted.reshape(len(samples), -1, STEP) ** 2, axis=2)
        return np.asarray(self._weights @ squares)

    @property
    def lufs(self) -> float:
        """Integrated loudness; minus infinity where nothing is louder than -70 LUFS."""
        steps = np.concatenate([np.zeros(0), *self._energies])
        if len(steps) < 4:
            return -np.inf
        blocks = np.convolve(steps, np.full(4, 0.25), "valid")
        blocks = blocks[blocks > _energy_at(SILENCE_LUFS)]
        if not blocks.size:
            return -np.inf
        relative = _energy_at(_loudness(blocks) + RELATIVE_LU)
        return _loudness(blocks[blocks > relative])


def _loudness(blocks: NDArray[np.float64]) -> float:
    return float(OFFSET_DB + 10 * np.log10(np.mean(blocks)))


def _energy_at(lufs: float) -> float:
    return float(10 ** ((lufs - OFFSET_DB) / 10))
