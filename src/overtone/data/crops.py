"""Random training examples: crops of several corpora, degraded as real recordings are.

An example is drawn from ``(seed, step)`` alone, so a resumed run sees exactly what an
uninterrupted one would have. All filtering is a product on the spectrum of the crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import fft

from overtone.data.corpora import Corpus, SampleStore, Split, StoredFile
from overtone.degrade.filters import LowPass, random_low_pass
from overtone.errors import ConfigError


class DegradeConfig(BaseModel):
    """Ranges that every example's degradation is drawn from."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
    # The cutoff that the network is told errs by up to this much either way, as a detector does.
    cutoff_jitter: float = Field(default=0.03, ge=0, lt=1)

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for low, high in (
            ("min_cutoff_hz", "max_cutoff_hz"),
            ("min_gain_db", "max_gain_db"),
            ("min_noise_db", "max_noise_db"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"{low} must be at most {high}, not {getattr(self, low):g} with"
                    f" {getattr(self, high):g}"
                )
        return self

    def top_cutoff_hz(self, bandwidth_hz: float) -> float:
        """The highest nominal cutoff for recordings that end at ``bandwidth_hz``, Hz."""
        return min(self.max_cutoff_hz, self.max_cutoff_of_bandwidth * bandwidth_hz)


@dataclass(frozen=True)
class Batch:
    """``clean`` and ``low``: ``[batch, samples]`` float32; the rest ``[batch]`` in Hz."""

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
        clean = np.stack([self._crop(rng, number) for number in numbers])
        bandwidth = np.array([self.corpora[n].bandwidth_hz for n in numbers])
        bandwidth = np.minimum(bandwidth, self.sample_rate / 2)
        filters = [random_low_pass(rng, self._cutoff(rng, b)) for b in bandwidth]
        return self._degrade(rng, clean, bandwidth, filters)

    def _crop(self, rng: np.random.Generator, number: int) -> NDArray[np.float32]:
        files = self.files[number]
        file: StoredFile = files[rng.choice(len(files), p=self.file_shares[number])]
        start = int(rng.integers(0, max(1, file.length - self.crop_samples + 1)))
        return self.store.crop(file, start, self.crop_samples)

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
        clean: NDArray[np.float32],
        bandwidth_hz: NDArray[np.float64],
        filters: list[LowPass],
    ) -> Batch:
        config, size = self.degrade, len(clean)
        gain = config.level_rms * 10 ** (
            rng.uniform(config.min_gain_db, config.max_gain_db, size) / 20
        )
        length = clean.shape[-1]
        padded = fft.next_fast_len(length, real=True)
        spectrum = fft.rfft(clean, padded)
        frequencies = np.asarray(np.fft.rfftfreq(padded, 1 / self.sample_rate), np.float64)
        spectrum *= (self._tilt(rng, size, frequencies) * gain[:, None]).astype(np.float32)
        for item in np.flatnonzero(rng.random(size) < config.noise_share):
            level_db = rng.uniform(config.min_noise_db, config.max_noise_db)
            # Unit white noise has spectral parts of variance length / 2 each.
            level = gain[item] * 10 ** (level_db / 20) * np.sqrt(padded / 2)
            noise = rng.standard_normal((2, frequencies.size), dtype=np.float32)
            colour = self._tilt(rng, 1, frequencies)[0] * level
            spectrum[item] += (noise[0] + 1j * noise[1]) * colour.astype(np.float32)
        response = np.stack([f.magnitude(frequencies) for f in filters]).astype(np.float32)
        edges = np.array([f.edge_hz() for f in filters])
        jitter = rng.uniform(1 - config.cutoff_jitter, 1 + config.cutoff_jitter, size)
        cutoff = np.clip(edges * jitter, config.min_cutoff_hz, config.max_cutoff_hz)
        return Batch(
            clean=fft.irfft(spectrum, padded)[:, :length],
            low=fft.irfft(spectrum * response, padded)[:, :length],
            cutoff_hz=cutoff.astype(np.float32),
            bandwidth_hz=bandwidth_hz.astype(np.float32),
        )

    def _tilt(
        self, rng: np.random.Generator, size: int, frequencies: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Smooth random equalisers, ``[size, bins]``: a few slow cosines over log frequency."""
        octave = np.log2(1 + frequencies / 200) / np.log2(1 + 24000 / 200)
        waves = np.stack([np.cos(np.pi * k * octave) for k in (1, 2, 3)])
        db = rng.normal(0, self.degrade.tilt_db / 2, (size, 3)) @ waves
        return np.asarray(10 ** (db / 20))
