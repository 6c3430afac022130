"""Random degradations of training examples: equalised, noisy, low-passed, coded, as recordings are.

Filtering, playing faster or slower and the noise floor are operations on the spectrum of a crop,
which is transformed once each way.
"""

import math
from dataclasses import replace
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import fft

from overtone.degrade.lowpass import LowPass, compensated, passband_droop, random_low_pass
from overtone.degrade.mdct import transform_coded
from overtone.settings import Settings


class DegradeConfig(Settings):
    """Ranges that every example's degradation is drawn from; ``_prob`` are probabilities."""

    renamed: ClassVar[dict[str, str]] = {
        "common_share": "common_prob",
        "noise_share": "noise_prob",
        "droop_share": "droop_prob",
        "lift_share": "compensation_prob",
        "speed_share": "speed_prob",
        "codec_share": "codec_prob",
        "tilt_db": "eq_db",
        "max_lift_db": "max_compensation_db",
    }

    min_cutoff_hz: float = Field(default=1000.0, gt=0)
    max_cutoff_hz: float = Field(default=14000.0, gt=0)
    # Cutoffs that are common, moved by a few per cent.
    common_cutoffs_hz: tuple[float, ...] = (
        2000.0,
        3400.0,
        4000.0,
        5500.0,
        8000.0,
        11025.0,
        12000.0,
    )
    common_prob: float = Field(default=0.5, ge=0, le=1)
    # A cutoff lies below this part of the corpus's bandwidth, to leave something to predict.
    max_cutoff_of_bandwidth: float = Field(default=0.75, gt=0, lt=1)
    level_rms: float = Field(default=0.05, gt=0)
    min_gain_db: float = -14.0
    max_gain_db: float = 10.0
    # Random equalisers, by about so many dB.
    eq_db: float = Field(default=4.0, ge=0)
    noise_prob: float = Field(default=0.4, ge=0, le=1)
    min_noise_db: float = -75.0
    max_noise_db: float = -35.0
    # Room noise falls with frequency: by up to this many dB an octave from 200 Hz up.
    max_noise_slope_db: float = Field(default=0.0, ge=0)
    # Passband droop: a band that falls towards its edge, by at most so many dB, as converters and
    # cheap resamplers leave it. The network has to go on at the level of what was there before.
    droop_prob: float = Field(default=0.0, ge=0, le=1)
    max_droop_db: float = Field(default=12.0, ge=0)
    # Roll-off compensation: a transition band raised as enhancing raises it, by at most so many dB.
    compensation_prob: float = Field(default=0.0, ge=0, le=1)
    max_compensation_db: float = Field(default=40.0, ge=6)
    # The cutoff that the network is given errs by up to this much either way, as a detector does.
    cutoff_jitter: float = Field(default=0.03, ge=0, lt=1)
    # An example is supervised up to a random point in this last part of its corpus's bandwidth:
    # where every example of a corpus ends at the same place, the network learns a step there.
    bandwidth_jitter: float = Field(default=0.2, ge=0, lt=1)
    # Speed perturbation: played faster or slower, by at most this factor either way: voices
    # and instruments that are in no corpus. The bandwidth moves along.
    speed_prob: float = Field(default=0.0, ge=0, le=1)
    max_speed: float = Field(default=1.28, ge=1)
    # Inputs that went through a lossy codec, and how lossy: the fall of its
    # signal-to-noise ratio in dB a Bark. 0.6 to 1.1 is MP3 at 96 to 32 kbit/s.
    codec_prob: float = Field(default=0.0, ge=0, le=1)
    min_codec_fall_db: float = Field(default=0.5, ge=0)
    max_codec_fall_db: float = Field(default=1.3, ge=0)
    # Recordings without their lowest band, as telephones and microphones with a filter leave it.
    high_pass_prob: float = Field(default=0.0, ge=0, le=1)
    min_high_pass_hz: float = Field(default=80.0, gt=0)
    max_high_pass_hz: float = Field(default=400.0, gt=0)
    # Levels that change within a crop, once or twice, by up to 40 dB down or 20 dB up.
    level_step_prob: float = Field(default=0.0, ge=0, le=1)
    # Steady tones, steady noise and clicks in place of a recording: what must not gain a high band
    # that pulses or hisses, nor one that begins too soon.
    synthetic_prob: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for low, high in (
            ("min_cutoff_hz", "max_cutoff_hz"),
            ("min_gain_db", "max_gain_db"),
            ("min_noise_db", "max_noise_db"),
            ("min_codec_fall_db", "max_codec_fall_db"),
            ("min_high_pass_hz", "max_high_pass_hz"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"{low} must be at most {high}, not {getattr(self, low):g} with"
                    f" {getattr(self, high):g}"
                )
        return self

    def highest_cutoff_hz(self, bandwidth_hz: float) -> float:
        """Return the highest cutoff for recordings that end at ``bandwidth_hz``, Hz."""
        return min(self.max_cutoff_hz, self.max_cutoff_of_bandwidth * bandwidth_hz)

    def least_bandwidth_hz(self, bandwidth_hz: float) -> float:
        """Return where the narrowest example of a corpus of ``bandwidth_hz`` ends, Hz."""
        slowest = 1 / self.max_speed if self.speed_prob else 1.0
        return bandwidth_hz * slowest * (1 - self.bandwidth_jitter)


class Degraded(NamedTuple):
    """``clean`` and ``low``: ``[batch, samples]``; ``cutoff_hz [batch]`` for the network."""

    clean: NDArray[np.float32]
    low: NDArray[np.float32]
    cutoff_hz: NDArray[np.float64]


class Augmentation:
    """Draws degradations of crops of ``crop_samples`` at ``sample_rate``.

    Crops are spectra of ``padded`` samples: even, and quick to transform.
    """

    def __init__(self, config: DegradeConfig, sample_rate: int, crop_samples: int) -> None:
        self.config, self.sample_rate, self.crop_samples = config, sample_rate, crop_samples
        self.padded = 2 * fft.next_fast_len(-(-crop_samples // 2), real=True)
        self.frequencies = np.asarray(np.fft.rfftfreq(self.padded, 1 / sample_rate), np.float64)
        octave = np.log2(1 + self.frequencies / 200) / np.log2(1 + 24000 / 200)
        self.waves = np.stack([np.cos(np.pi * k * octave) for k in (1, 2, 3)]).astype(np.float32)

    def speeds(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Return how many times faster each of ``size`` examples is played."""
        octaves = rng.uniform(-1, 1, size) * np.log(self.config.max_speed)
        return np.where(rng.random(size) < self.config.speed_prob, np.exp(octaves), 1.0)

    def spectrum(self, samples: NDArray[np.float32]) -> NDArray[np.complex64]:
        """Return the spectrum ``[bins]`` of ``samples`` played until they last ``padded`` samples.

        Cut down or filled up to as many bins as a crop has, it is that of the same sound resampled:
        Fourier's interpolation, at the price of the transform.
        """
        spectrum = fft.rfft(samples)
        played = np.zeros(self.padded // 2 + 1, np.complex64)
        kept = min(spectrum.size, played.size)
        played[:kept] = spectrum[:kept] * np.float32(self.padded / samples.size)
        return played

    def synthetic(self, rng: np.random.Generator) -> NDArray[np.complex64]:
        """Return the spectrum ``[bins]`` of steady tones, noise or clicks, with an RMS of 1."""
        n, kind = self.padded, rng.integers(3)
        if kind == 0:
            hz = np.exp(rng.uniform(np.log(150), np.log(9000), rng.integers(1, 5)))
            phase = 2 * np.pi * (hz[:, None] * np.arange(n) / self.sample_rate + rng.random((1, 1)))
            tones = np.sum(rng.uniform(0.2, 1, (hz.size, 1)) * np.sin(phase), axis=0)
            samples = tones + 10 ** (rng.uniform(-90, -60) / 20) * rng.standard_normal(n)
        elif kind == 1:
            slope = (1 + self.frequencies / 200) ** (-rng.uniform(0, 4) / 6)
            parts = rng.standard_normal((2, slope.size))
            samples = fft.irfft((parts[0] + 1j * parts[1]) * slope, n)
        else:
            samples = 10 ** (rng.uniform(-60, -30) / 20) * rng.standard_normal(n)
            for at in rng.integers(0, n, rng.integers(1, 8)):
                samples[at] += rng.uniform(3, 30) * rng.choice([-1, 1])
        return np.asarray(fft.rfft(samples / (samples.std() + 1e-9)), np.complex64)

    def bandwidths(
        self, rng: np.random.Generator, ends_hz: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return up to where examples teach; one that reaches the Nyquist frequency has no edge."""
        share = np.exp(rng.uniform(np.log(1 - self.config.bandwidth_jitter), 0, ends_hz.size))
        nyquist_hz = self.sample_rate / 2
        return np.where(ends_hz < nyquist_hz, ends_hz * share, nyquist_hz)

    def low_pass(self, rng: np.random.Generator, bandwidth_hz: float) -> LowPass:
        """Return a random filter with its -6 dB point, not its nominal edge, where it was drawn."""
        low_pass = random_low_pass(rng, self._cutoff(rng, bandwidth_hz))
        return replace(low_pass, cutoff_hz=low_pass.cutoff_hz**2 / low_pass.edge_hz())

    def _cutoff(self, rng: np.random.Generator, bandwidth_hz: float) -> float:
        config = self.config
        highest = config.highest_cutoff_hz(bandwidth_hz)
        common = [c for c in config.common_cutoffs_hz if c <= highest]
        if common and rng.random() < config.common_prob:
            return min(float(rng.choice(common) * rng.uniform(0.85, 1.03)), highest)
        return float(np.exp(rng.uniform(np.log(config.min_cutoff_hz), np.log(highest))))

    def degrade(
        self,
        rng: np.random.Generator,
        spectrum: NDArray[np.complex64],
        bandwidth_hz: NDArray[np.float64],
        filters: list[LowPass],
    ) -> Degraded:
        """Degrade crops ``[batch, bins]``, each by its low-pass, all else by chance."""
        config, size = self.config, len(spectrum)
        gain = config.level_rms * 10 ** (
            rng.uniform(config.min_gain_db, config.max_gain_db, size) / 20
        )
        for item in self._chosen(rng, size, config.high_pass_prob):
            spectrum[item] *= self._high_pass(rng)
        spectrum *= self._random_eq(rng, size) * gain[:, None].astype(np.float32)
        response, edges = self._responses(rng, bandwidth_hz, filters)
        jitter = rng.uniform(1 - config.cutoff_jitter, 1 + config.cutoff_jitter, size)
        cutoff = np.clip(edges * jitter, config.min_cutoff_hz, config.max_cutoff_hz)
        for item in np.flatnonzero(rng.random(size) < config.noise_prob):
            spectrum[item] += np.float32(gain[item]) * self._noise(rng)
        length = self.crop_samples
        low = fft.irfft(spectrum * response, self.padded)[:, :length]
        for item in np.flatnonzero(rng.random(size) < config.codec_prob):
            fall_db = rng.uniform(config.min_codec_fall_db, config.max_codec_fall_db)
            low[item] = transform_coded(low[item], self.sample_rate, fall_db)
        clean = fft.irfft(spectrum, self.padded)[:, :length]
        for item in self._chosen(rng, size, config.level_step_prob):
            steps = self._level_steps(rng)
            clean[item] *= steps
            low[item] *= steps
        return Degraded(clean, low, cutoff)

    def _chosen(self, rng: np.random.Generator, size: int, prob: float) -> NDArray[np.intp]:
        """Return the items that something is done to; draws nothing where it is done to none."""
        return np.flatnonzero(rng.random(size) < prob) if prob else np.zeros(0, np.intp)

    def _high_pass(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return the magnitude ``[bins]`` of a random Butterworth high-pass."""
        c, order = self.config, rng.integers(2, 9)
        hz = np.exp(rng.uniform(np.log(c.min_high_pass_hz), np.log(c.max_high_pass_hz)))
        ratio = hz / np.maximum(self.frequencies, 1e-3)
        return np.asarray(1 / np.sqrt(1 + ratio ** (2 * order)), np.float32)

    def _level_steps(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Gains ``[samples]`` with one or two steps of 5 ms."""
        db = np.zeros(self.crop_samples)
        for _ in range(rng.integers(1, 3)):
            db[rng.integers(0, db.size) :] += rng.uniform(-40, 20)
        width = max(1, self.sample_rate // 200)
        padded = np.pad(np.clip(db, -45, 10), (width // 2, width - width // 2 - 1), mode="edge")
        smooth = np.convolve(padded, np.full(width, 1 / width), mode="valid")
        return np.asarray(10 ** (smooth / 20), np.float32)

    def _responses(
        self,
        rng: np.random.Generator,
        bandwidth_hz: NDArray[np.float64],
        filters: list[LowPass],
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return each item's low-pass, ``[batch, bins]``, and where its band ends for the network.

        That is the -6 dB point of the filter, or the usable edge of a compensated one.
        """
        config, size = self.config, len(filters)
        response = np.stack([f.magnitude(self.frequencies) for f in filters])
        edges = np.array([f.edge_hz() for f in filters])
        for item in np.flatnonzero(rng.random(size) < config.compensation_prob):
            # Gentle filters do not come down by any number of dB within the octave looked at.
            least = float(filters[item].magnitude(np.array(1.9 * filters[item].cutoff_hz)))
            limit_db = min(
                rng.uniform(6, config.max_compensation_db), -20 * math.log10(least + 1e-9)
            )
            edge_hz = filters[item].edge_hz(limit_db)
            if edge_hz < 0.9 * bandwidth_hz[item]:
                response[item], edges[item] = compensated(response[item], limit_db), edge_hz
        for item in np.flatnonzero(rng.random(size) < config.droop_prob):
            depth_db, steepness = rng.uniform(0, config.max_droop_db), rng.uniform(1, 4)
            response[item] *= passband_droop(self.frequencies, edges[item], depth_db, steepness)
        return response.astype(np.float32), edges

    def _noise(self, rng: np.random.Generator) -> NDArray[np.complex64]:
        """Return the spectrum of a noise floor, ``[bins]``, its level relative to an RMS of 1."""
        config = self.config
        level_db = rng.uniform(config.min_noise_db, config.max_noise_db)
        noise = rng.standard_normal((2, self.frequencies.size), dtype=np.float32)
        slope_db = rng.uniform(0, config.max_noise_slope_db)
        falling = (1 + self.frequencies / 200) ** (-slope_db / (20 * np.log10(2)))
        falling /= np.sqrt(np.mean(falling**2))
        # Unit white noise has spectral parts of variance length / 2 each.
        level = 10 ** (level_db / 20) * np.sqrt(self.padded / 2)
        colour = self._random_eq(rng, 1)[0] * (falling * level).astype(np.float32)
        return np.asarray((noise[0] + np.complex64(1j) * noise[1]) * colour, np.complex64)

    def _random_eq(self, rng: np.random.Generator, size: int) -> NDArray[np.float32]:
        """Return random equalisers, ``[size, bins]``: a few slow cosines over log frequency."""
        db = rng.normal(0, self.config.eq_db / 2, (size, 3))
        nepers = (db * (np.log(10) / 20)).astype(np.float32)
        # Not a matrix product: that would wake the threads of a BLAS for three terms.
        return np.asarray(np.exp(np.einsum("ik,kb->ib", nepers, self.waves)))
