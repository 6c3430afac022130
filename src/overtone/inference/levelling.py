"""A recording brought to a loudness: measured whole before its first sample is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overtone.audio.reader import AudioReader
from overtone.audio.writer import AudioWriter
from overtone.dsp.loudness import LoudnessMeter
from overtone.files import temporary_folder

FloatArray = NDArray[np.float32]

MOST_PEAK = 10 ** (-1 / 20)  # -1 dBTP: decoders of lossy formats overshoot


class Leveller:
    """Brings blocks to ``target_lufs``, or as near as a true peak of -1 dBTP allows.

    The sound waits in a temporary file of 32-bit floats. Afterwards ``lufs`` is what was reached,
    and ``warning`` why it is not the target.
    """

    def __init__(self, target_lufs: float, sample_rate: int, channels: int) -> None:
        self._target, self._rate, self._channels = target_lufs, sample_rate, channels
        self.lufs, self.warning = -math.inf, ""

    def levelled(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Take all blocks, and yield what they become."""
        meter = LoudnessMeter(self._rate, self._channels)
        with temporary_folder() as folder:
            path = Path(folder, "draft.wav")
            with AudioWriter(path, self._rate, self._channels, subtype="FLOAT") as draft:
                for block in blocks:
                    meter.push(block)
                    draft.write(block)
            meter.finish()
            gain = np.float32(self._gain(meter))
            with AudioReader(path) as reader:
                for block in reader.blocks():
                    yield gain * block

    def _gain(self, meter: LoudnessMeter) -> float:
        if math.isinf(meter.lufs):
            self.warning = "too short or too quiet for a loudness"
            return 1.0
        wanted = 10 ** ((self._target - meter.lufs) / 20)
        gain = min(wanted, MOST_PEAK / meter.true_peak)
        self.lufs = meter.lufs + 20 * math.log10(gain)
        if self.lufs < self._target - 0.05:
            self.warning = f"not {self._target:g} LUFS: its peaks would pass -1 dBTP"
        return gain
