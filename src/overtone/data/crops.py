"""Random training examples: crops of several corpora, degraded as real recordings are.

An example is drawn from ``(seed, step)`` alone, so a resumed run sees exactly what an
uninterrupted one would have. Filtering, playing faster or slower and the noise floor are
operations on the spectrum of the crop, which is transformed once each way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import fft

from overtone.data.corpora import Corpus, SampleStore, Split, StoredFile
from overtone.degrade.lowpass import LowPass, droop, lifted, random_low_pass
from overtone.degrade.mdct import transform_coded
from overtone.errors import ConfigError
from overtone.settings import Settings


class DegradeConfig(Settings):
    """Ranges that every example's degradation is drawn from."""

    min_cutoff_hz: float = Field(default=1000.0, gt=0)
    max_cutoff_hz: float = Field(default=14000.0, gt=0)
    # Share of examples whose cutoff is one of the common ones, moved by a few per cent.
    common_cutoffs_hz: tuple[float, ...] = (
        2000.0,
        3400.0,
        4000.0,
        5500.0,
        8000.0,
        11025.0,
        12000.0,
    )
    common_share: float = Field(default=0.5, ge=0, le=1)
    # A cutoff lies below this part of the corpus's bandwidth, to leave something to predict.
    max_cutoff_of_bandwidth: float = Field(default=0.75, gt=0, lt=1)
    level_rms: float = Field(default=0.05, gt=0)
    min_gain_db: float = -14.0
    max_gain_db: float = 10.0
    tilt_db: float = Field(default=4.0, ge=0)
    noise_share: float = Field(default=0.4, ge=0, le=1)
    min_noise_db: float = -75.0
    max_noise_db: float = -35.0
    # Room noise falls with frequency: by up to this many dB an octave from 200 Hz up.
    max_noise_slope_db: float = Field(default=0.0, ge=0)
    # Share of examples whose band falls towards its edge, by at most so many dB, as converters and
    # cheap resamplers leave it. The network has to go on at the level of what was there before.
    droop_share: float = Field(default=0.0, ge=0, le=1)
    max_droop_db: float = Field(default=12.0, ge=0)
    # Share of examples whose slope was lifted as enhancing lifts it, by at most so many dB.
    lift_share: float = Field(default=0.0, ge=0, le=1)
    max_lift_db: float = Field(default=40.0, ge=6)
    # The cutoff that the network is told errs by up to this much either way, as a detector does.
    cutoff_jitter: float = Field(default=0.03, ge=0, lt=1)
    # An example is supervised up to a random point in this last part of its corpus's bandwidth:
    # where every example of a corpus ends at the same place, the network learns a step there.
    bandwidth_jitter: float = Field(default=0.2, ge=0, lt=1)
    # Share of examples that are played faster or slower, by at most this factor either way: voices
    # and instruments that are in no corpus. The bandwidth moves along.
    speed_share: float = Field(default=0.0, ge=0, le=1)
    max_speed: float = Field(default=1.28, ge=1)
    # Share of examples whose low side went through a lossy codec, and how lossy: the fall of its
    # signal-to-noise ratio in dB a Bark. 0.6 to 1.1 is MP3 at 96 to 32 kbit/s.
    codec_share: float = Field(default=0.0, ge=0, le=1)
    min_codec_fall_db: float = Field(default=0.5, ge=0)
    max_codec_fall_db: float = Field(default=1.3, ge=0)

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for low, high in (
            ("min_cutoff_hz", "max_cutoff_hz"),
            ("min_gain_db", "max_gain_db"),
            ("min_noise_db", "max_noise_db"),
            ("min_codec_fall_db", "max_codec_fall_db"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"{low} must be at most {high}, not {getattr(self, low):g} with"
                    f" {getattr(self, high):g}"
                )
        return self

    def top_cutoff_hz(self, bandwidth_hz: float) -> float:
        """The highest cutoff for recordings that end at ``bandwidth_hz``, Hz."""
        return min(self.max_cutoff_hz, self.max_cutoff_of_bandwidth * bandwidth_hz)

    def least_bandwidth_hz(self, bandwidth_hz: float) -> float:
        """The lowest at which an example of a corpus that ends at ``bandwidth_hz`` can end, Hz."""
        slowest = 1 / self.max_speed if self.speed_share else 1.0
        return bandwidth_hz * slowest * (1 - self.bandwidth_jitter)


@dataclass(frozen=True)
class Batch:
    """``clean`` and ``low``: ``[batch, samples]`` float32; the rest ``[batch]`` in Hz.

    ``cutoff_hz`` is the -6 dB point of the low-pass as the network is told it; nothing is to be
    learnt from ``clean`` above ``bandwidth_hz``.
    """

    clean: NDArray[np.float32]
    low: NDArray[np.float32]
    cutoff_hz: NDArray[np.float32]
    bandwidth_hz: NDArray[np.float32]


class CropSampler:
    """Draws batches from a :class:`SampleStore`.

    Raises ConfigError for a corpus without recordings in ``split``.
    """

    def __init__(
        self,
        store: SampleStore,
        corpora: list[Corpus],
        degrade: DegradeConfig,
        *,
        sample_rate: int,
        crop_samples: int,
        seed: int,
        split: Split = "train",
    ) -> None:
        self.store, self.corpora, self.degrade = store, corpora, degrade
        self.sample_rate, self.crop_samples, self.seed = sample_rate, crop_samples, seed
        # Even, and quick to transform.
        self.padded = 2 * fft.next_fast_len(-(-crop_samples // 2), real=True)
        self.frequencies = np.asarray(np.fft.rfftfreq(self.padded, 1 / sample_rate), np.float64)
        octave = np.log2(1 + self.frequencies / 200) / np.log2(1 + 24000 / 200)
        self.waves = np.stack([np.cos(np.pi * k * octave) for k in (1, 2, 3)]).astype(np.float32)
        self.files = [store.select(number, split) for number in range(len(corpora))]
        for corpus, files in zip(corpora, self.files, strict=True):
            if not files:
                raise ConfigError(
                    f"corpus {corpus.name!r}: none of its {split} recordings can be used; see what"
                    " was left out, or remove the corpus"
                )
        weights = np.array([c.weight for c in corpora])
        self.shares = weights / weights.sum()
        # Longer files are drawn more often, so that every second of a corpus counts the same.
        self.file_shares = [
            np.array([f.length for f in files]) / sum(f.length for f in files)
            for files in self.files
        ]

    def batch(self, step: int, size: int) -> Batch:
        """The ``size`` examples of training step ``step``."""
        rng = np.random.default_rng([self.seed, step])
        numbers = rng.choice(len(self.corpora), size=size, p=self.shares)
        wanted = zip(numbers, self._speeds(rng, size), strict=True)
        crops, speeds = zip(*(self._crop(rng, *item) for item in wanted), strict=True)
        ends_hz = np.array([self.corpora[n].bandwidth_hz for n in numbers])
        ends_hz = np.minimum(ends_hz, self.sample_rate / 2) * np.array(speeds)
        bandwidth_hz = self._bandwidths(rng, ends_hz)
        filters = [self._low_pass(rng, b) for b in bandwidth_hz]
        return self._degrade(rng, np.stack(crops), bandwidth_hz, filters)

    def _speeds(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        octaves = rng.uniform(-1, 1, size) * np.log(self.degrade.max_speed)
        return np.where(rng.random(size) < self.degrade.speed_share, np.exp(octaves), 1.0)

    def _crop(
        self, rng: np.random.Generator, number: int, speed: float
    ) -> tuple[NDArray[np.complex64], float]:
        """The spectrum ``[bins]`` of a crop played at about ``speed``, and the exact speed.

        A crop that is longer by the speed, cut down to as many bins as one has that is not, is
        the same sound resampled: Fourier's interpolation, at the price of the transform.
        """
        files = self.files[number]
        file: StoredFile = files[rng.choice(len(files), p=self.file_shares[number])]
        length = self.padded if speed == 1 else fft.next_fast_len(round(speed * self.padded), True)
        start = int(rng.integers(0, max(1, file.length - length + 1)))
        spectrum = fft.rfft(self.store.crop(file, start, length))
        played = np.zeros(self.padded // 2 + 1, np.complex64)
        kept = min(spectrum.size, played.size)
        played[:kept] = spectrum[:kept] * np.float32(self.padded / length)
        return played, length / self.padded

    def _bandwidths(
        self, rng: np.random.Generator, ends_hz: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Up to where examples teach; what reaches the Nyquist frequency has no edge to blur."""
        share = np.exp(rng.uniform(np.log(1 - self.degrade.bandwidth_jitter), 0, ends_hz.size))
        nyquist_hz = self.sample_rate / 2
        return np.where(ends_hz < nyquist_hz, ends_hz * share, nyquist_hz)

    def _low_pass(self, rng: np.random.Generator, bandwidth_hz: float) -> LowPass:
        """A random filter whose -6 dB point, not its nominal edge, lies where it was drawn."""
        low_pass = random_low_pass(rng, self._cutoff(rng, bandwidth_hz))
        return replace(low_pass, cutoff_hz=low_pass.cutoff_hz**2 / low_pass.edge_hz())

    def _cutoff(self, rng: np.random.Generator, bandwidth_hz: float) -> float:
        config = self.degrade
        top = config.top_cutoff_hz(bandwidth_hz)
        common = [c for c in config.common_cutoffs_hz if c <= top]
        if common and rng.random() < config.common_share:
            return min(float(rng.choice(common) * rng.uniform(0.85, 1.03)), top)
        return float(np.exp(rng.uniform(np.log(config.min_cutoff_hz), np.log(top))))

    def _degrade(
        self,
        rng: np.random.Generator,
        spectrum: NDArray[np.complex64],
        bandwidth_hz: NDArray[np.float64],
        filters: list[LowPass],
    ) -> Batch:
        config, size = self.degrade, len(spectrum)
        gain = config.level_rms * 10 ** (
            rng.uniform(config.min_gain_db, config.max_gain_db, size) / 20
        )
        spectrum *= self._tilt(rng, size) * gain[:, None].astype(np.float32)
        response, edges = self._responses(rng, bandwidth_hz, filters)
        jitter = rng.uniform(1 - config.cutoff_jitter, 1 + config.cutoff_jitter, size)
        cutoff = np.clip(edges * jitter, config.min_cutoff_hz, config.max_cutoff_hz)
        for item in np.flatnonzero(rng.random(size) < config.noise_share):
            spectrum[item] += np.float32(gain[item]) * self._noise(rng)
        length = self.crop_samples
        low = fft.irfft(spectrum * response, self.padded)[:, :length]
        for item in np.flatnonzero(rng.random(size) < config.codec_share):
            fall_db = rng.uniform(config.min_codec_fall_db, config.max_codec_fall_db)
            low[item] = transform_coded(low[item], self.sample_rate, fall_db)
        return Batch(
            clean=fft.irfft(spectrum, self.padded)[:, :length],
            low=low,
            cutoff_hz=cutoff.astype(np.float32),
            bandwidth_hz=bandwidth_hz.astype(np.float32),
        )

    def _responses(
        self,
        rng: np.random.Generator,
        bandwidth_hz: NDArray[np.float64],
        filters: list[LowPass],
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """How each item loses its top, ``[batch, bins]``, and where its band ends for the network.

        That is the -6 dB point of the filter, or where a lifted slope's use ends.
        """
        config, size = self.degrade, len(filters)
        response = np.stack([f.magnitude(self.frequencies) for f in filters])
        edges = np.array([f.edge_hz() for f in filters])
        for item in np.flatnonzero(rng.random(size) < config.lift_share):
            # Gentle filters do not come down by any number of dB within the octave looked at.
            least = float(filters[item].magnitude(np.array(1.9 * filters[item].cutoff_hz)))
            reach_db = min(rng.uniform(6, config.max_lift_db), -20 * math.log10(least + 1e-9))
            edge_hz = filters[item].edge_hz(reach_db)
            if edge_hz < 0.9 * bandwidth_hz[item]:
                response[item], edges[item] = lifted(response[item], reach_db), edge_hz
        for item in np.flatnonzero(rng.random(size) < config.droop_share):
            depth_db, steepness = rng.uniform(0, config.max_droop_db), rng.uniform(1, 4)
            response[item] *= droop(self.frequencies, edges[item], depth_db, steepness)
        return response.astype(np.float32), edges

    def _noise(self, rng: np.random.Generator) -> NDArray[np.complex64]:
        """The spectrum of a noise floor, ``[bins]``, its level relative to an RMS of 1."""
        config = self.degrade
        level_db = rng.uniform(config.min_noise_db, config.max_noise_db)
        noise = rng.standard_normal((2, self.frequencies.size), dtype=np.float32)
        slope_db = rng.uniform(0, config.max_noise_slope_db)
        falling = (1 + self.frequencies / 200) ** (-slope_db / (20 * np.log10(2)))
        falling /= np.sqrt(np.mean(falling**2))
        # Unit white noise has spectral parts of variance length / 2 each.
        level = 10 ** (level_db / 20) * np.sqrt(self.padded / 2)
        colour = self._tilt(rng, 1)[0] * (falling * level).astype(np.float32)
        return np.asarray((noise[0] + np.complex64(1j) * noise[1]) * colour, np.complex64)

    def _tilt(self, rng: np.random.Generator, size: int) -> NDArray[np.float32]:
        """Smooth random equalisers, ``[size, bins]``: a few slow cosines over log frequency."""
        db = rng.normal(0, self.degrade.tilt_db / 2, (size, 3))
        nepers = (db * (np.log(10) / 20)).astype(np.float32)
        # Not a matrix product: that would wake the threads of a BLAS for three terms.
        return np.asarray(np.exp(np.einsum("ik,kb->ib", nepers, self.waves)))
