"""The level of what sounds in a recording, pauses aside."""

import numpy as np
from numpy.typing import NDArray

FRAME_S = 0.02


class LevelMeter:
    """RMS of the loud half of the 20 ms frames; its answer does not depend on block sizes."""

    def __init__(self, sample_rate: int) -> None:
        self._frame = max(1, round(FRAME_S * sample_rate))
        self._pending: NDArray[np.float32] | None = None
        self._powers: list[NDArray[np.float64]] = []

    def push(self, block: NDArray[np.float32]) -> None:
        """Analyse ``[channels, samples]``; channels count as one recording."""
        if self._pending is not None:
            block = np.concatenate([self._pending, block], axis=1)
        count = block.shape[1] // self._frame
        self._powers.append(self._frame_powers(block, count, self._frame))
        self._pending = block[:, count * self._frame :].copy()

    def active_rms(self) -> float:
        """Return the RMS over what was analysed so far; 0 for silence or nothing."""
        powers = np.sort(np.concatenate([np.zeros(0), *self._powers]))
        if powers.size == 0 and self._pending is not None and self._pending.size:
            powers = self._frame_powers(self._pending, 1, self._pending.shape[1])
        return float(np.sqrt(powers[powers.size // 2 :].mean())) if powers.size else 0.0

    def _frame_powers(
        self, block: NDArray[np.float32], count: int, frame: int
    ) -> NDArray[np.float64]:
        frames = block[:, : count * frame].reshape(len(block), count, frame)
        powers = np.einsum("cnf,cnf->n", frames, frames, dtype=np.float64)
        return np.asarray(powers / (len(block) * frame))


def active_rms(samples: NDArray[np.float32], sample_rate: int) -> float:
    """Return :meth:`LevelMeter.active_rms` of ``[samples]`` or ``[channels, samples]``."""
    meter = LevelMeter(sample_rate)
    meter.push(np.atleast_2d(samples))
    return meter.active_rms()
