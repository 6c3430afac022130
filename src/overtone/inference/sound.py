"""The sound of a file on its way: read once to analyse it, once more to enhance it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone.audio.reader import AudioReader
from overtone.inference.selection import Kept

FloatArray = NDArray[np.float32]

ANALYSIS_PART = 0.2  # of the work on a file, about: 0.1 at 8 kHz, 0.22 at 48 kHz


class Sound:
    """An open file in blocks of ``at_once`` samples; ``frames`` is how many were enhanced.

    ``progress`` is told which part of all the work is done, 0 to 1.
    """

    def __init__(
        self, reader: AudioReader, at_once: int, progress: Callable[[float], None] | None
    ) -> None:
        self.reader, self._at_once, self._progress = reader, at_once, progress
        self.frames = 0

    def blocks(self) -> Iterator[FloatArray]:
        """Yield the sound from its start."""
        return self.reader.blocks(self._at_once)

    def analysed(self) -> Iterator[FloatArray]:
        """Yield it for the analysis of the whole."""
        return self._told(self.blocks(), 0, ANALYSIS_PART)

    def enhanced(self, kept: Kept | None = None) -> Iterator[FloatArray]:
        """Yield it for the last time; ``kept`` gets it in double precision."""
        blocks = self.reader.precise_blocks(self._at_once) if kept else self.blocks()
        for block in self._told(blocks, ANALYSIS_PART, 1.0):
            self.frames += block.shape[1]
            if kept:
                kept.push(block)
            yield block.astype(np.float32, copy=False)

    def _told(
        self, blocks: Iterable[NDArray[Any]], start: float, end: float
    ) -> Iterator[NDArray[Any]]:
        frames, done = self.reader.info.frames, 0
        for block in blocks:
            yield block
            done += block.shape[1]
            if self._progress and frames:
                self._progress(start + (end - start) * min(1.0, done / frames))
