"""Random training examples: crops of several corpora, degraded as real recordings are.

An example is drawn from the seed, the step and its place in the batch alone: a resumed run sees
exactly what an uninterrupted one would have, and several processes what one would.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from overtone.data.corpora import Corpus, SampleStore, Split, StoredFile
from overtone.degrade.augment import Augmentation, DegradeConfig
from overtone.errors import ConfigError


@dataclass(frozen=True)
class Batch:
    """``clean`` and ``low``: ``[batch, samples]`` float32; the rest ``[batch]`` in Hz.

    ``cutoff_hz`` is the -6 dB point of the low-pass as the network is given it; nothing is to be
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
        self.store, self.corpora = store, corpora
        self.sample_rate, self.seed = sample_rate, seed
        self.augmentation = Augmentation(degrade, sample_rate, crop_samples)
        self.synthetic_prob = degrade.synthetic_prob
        self.files = [store.select(number, split) for number in range(len(corpora))]
        for corpus, files in zip(corpora, self.files, strict=True):
            if not files:
                raise ConfigError(
                    f"corpus {corpus.name!r}: none of its {split} recordings can be used; see what"
                    " was left out, or remove the corpus"
                )
        weights = np.array([c.weight for c in corpora])
        self.corpus_probs = weights / weights.sum()
        # Longer files are drawn more often, so that every second of a corpus counts the same.
        self.file_probs = [
            np.array([f.length for f in files]) / sum(f.length for f in files)
            for files in self.files
        ]

    def batch(self, step: int, places: range) -> Batch:
        """Return the examples at ``places`` in the batch of training step ``step``."""
        examples = [self._example(np.random.default_rng([self.seed, step, n])) for n in places]
        sides = zip(*(vars(example).values() for example in examples), strict=True)
        return Batch(*(np.concatenate(side) for side in sides))

    def _example(self, rng: np.random.Generator) -> Batch:
        """Return a batch of one."""
        augmentation = self.augmentation
        number = rng.choice(len(self.corpora), p=self.corpus_probs)
        crop, speed = self._crop(rng, number, augmentation.speeds(rng, 1)[0])
        end_hz = min(self.corpora[number].bandwidth_hz, self.sample_rate / 2) * speed
        bandwidth_hz = augmentation.bandwidths(rng, np.array([end_hz]))
        filters = [augmentation.low_pass(rng, bandwidth_hz[0])]
        degraded = augmentation.degrade(rng, crop[None], bandwidth_hz, filters)
        return Batch(
            degraded.clean,
            degraded.low,
            degraded.cutoff_hz.astype(np.float32),
            bandwidth_hz.astype(np.float32),
        )

    def _crop(
        self, rng: np.random.Generator, number: int, speed: float
    ) -> tuple[NDArray[np.complex64], float]:
        """Return the spectrum ``[bins]`` of a crop played at about ``speed``, and the speed."""
        files, padded = self.files[number], self.augmentation.padded
        file: StoredFile = files[rng.choice(len(files), p=self.file_probs[number])]
        length = padded if speed == 1 else fft.next_fast_len(round(speed * padded), True)
        start = int(rng.integers(0, max(1, file.length - length + 1)))
        crop = self.store.crop(file, start, length)
        if self.synthetic_prob and rng.random() < self.synthetic_prob:
            return self.augmentation.synthetic(rng), length / padded
        return self.augmentation.spectrum(crop), length / padded
