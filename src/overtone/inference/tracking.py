"""Streams whose bandwidth changes while they last.

A file's stretches are known before its first output sample; a live stream's are found as it goes.
A frame that holds far more above the cutoff than there was so far ends the extension, before that
frame; a second that ends at a cliff begins one. The streams get the sound a little later than the
tracker, so that nothing recorded is lost meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.bandwidth import CutoffEstimate
from overtone.dsp.stretches import (
    ABOVE_EDGE,
    LOUD_RANGE_DB,
    OPEN_DB,
    SURE_CLIFF_DB,
    WIDE_HZ,
    WINDOW_SEGMENTS,
    Stretch,
    by_cliff,
    full_band,
    grid,
)
from overtone.inference.switching import FADE_S, Stream, SwitchingStream

FloatArray = NDArray[np.float32]


def tracking_delay(sample_rate: int) -> int:
    """How many samples later than the tracker the streams get the sound: a frame and a fade."""
    return grid(sample_rate).frame_samples + math.ceil(FADE_S * sample_rate)


@dataclass
class _Side:
    """Channels that go together, the band that they are in and since which sample."""

    channels: list[int]
    cutoff: CutoffEstimate
    since: int
    # The most there was: in each group of bands, of all.
    residue_db: FloatArray | float = -np.inf
    loudest_db: float = field(default=-np.inf)


class TrackingStream:
    """Starts with the stretches of its first ``known`` samples and then goes on by itself.

    ``begin`` makes the stream of so many channels for a band; see :class:`Stream`.
    """

    def __init__(
        self,
        begin: Callable[[int, CutoffEstimate], Stream],
        sample_rate: int,
        output_rate: int,
        channels: int,
        stretches: tuple[Stretch, ...],
        known: int,
    ) -> None:
        self._begin, self._rate, self._known = begin, sample_rate, known
        self._grid, self._delay = grid(sample_rate), tracking_delay(sample_rate)
        self._switching = SwitchingStream(sample_rate, output_rate, channels)
        self._waiting = np.zeros((channels, 0), np.float32)  # for the streams
        self._unseen = np.zeros((channels, 0), np.float32)  # by the tracker
        self._at = 0  # where the tracker is
        self._segments: list[FloatArray] = []
        self._sides: list[_Side] = []
        last_s = max(stretch.end_s for stretch in stretches)
        for stretch in stretches:
            start, end = (round(at * sample_rate) for at in (stretch.start_s, stretch.end_s))
            side = _Side(list(stretch.channels), stretch.cutoff, start)
            if stretch.end_s == last_s:
                self._sides.append(side)
            self._add(side, math.inf if stretch.end_s == last_s else end)

    def push(self, block: FloatArray) -> FloatArray:
        """What of the output is known after ``block [channels, n]``."""
        self._waiting = np.concatenate([self._waiting, block], axis=1)
        self._unseen = np.concatenate([self._unseen, block], axis=1)
        segment, frame = self._grid.segment_samples, self._grid.frame_samples
        while self._at % segment + frame <= self._unseen.shape[1]:
            start = self._at % segment
            self._see_frame(self._unseen[:, start : start + frame])
            self._at += frame
            if self._at % segment == 0:
                self._see_segment(self._unseen[:, :segment])
                self._unseen = self._unseen[:, segment:]
        ready = max(0, self._waiting.shape[1] - self._delay)
        out = self._switching.push(self._waiting[:, :ready])
        self._waiting = self._waiting[:, ready:]
        return out

    def flush(self) -> FloatArray:
        """The rest; the stream is over."""
        out = self._switching.push(self._waiting)
        return np.concatenate([out, self._switching.flush()], axis=1)

    def _see_frame(self, frame: FloatArray) -> None:
        """End an extension where there is more above the cutoff than it leaves there."""
        levels = self._grid.grouped(self._grid.frame_levels_db(frame))
        for side in self._sides:
            level = levels[side.channels].max(axis=0)
            loudest = float(level.max())
            if side.since <= self._at < self._known:
                side.residue_db = np.maximum(side.residue_db, level)
                side.loudest_db = max(side.loudest_db, loudest)
            elif self._at >= self._known and side.cutoff.verdict == "band-limited":
                above = self._grid.groups_hz > ABOVE_EDGE * (side.cutoff.usable_edge_hz or 0.0)
                # What leaks and what codecs leave grows with the sound.
                louder = max(0.0, loudest - side.loudest_db)
                if (level - side.residue_db - louder > OPEN_DB)[above].any():
                    start = self._at - math.ceil(FADE_S / 2 * self._rate)
                    self._switch(side, full_band(self._rate, 1.0), start)

    def _see_segment(self, segment: FloatArray) -> None:
        """Begin an extension after a second that ends at a cliff."""
        self._segments.append(self._grid.levels_db(segment)[0])
        self._segments = self._segments[-WINDOW_SEGMENTS:]
        lasts = WINDOW_SEGMENTS * self._grid.segment_samples
        for side in self._sides:
            window = np.max([level[side.channels] for level in self._segments], axis=(0, 1))
            loudest = float(window.max())
            side.loudest_db = max(side.loudest_db, loudest)
            if (
                side.cutoff.verdict == "band-limited"
                or self._at < max(self._known, side.since) + lasts
                or loudest < side.loudest_db - LOUD_RANGE_DB
            ):
                continue
            edge_hz, drop_db = self._grid.cliffs(window[None])[:, 0]
            if 0 < edge_hz < WIDE_HZ and drop_db >= SURE_CLIFF_DB:
                side.residue_db = self._grid.grouped(window[None])[0]
                self._switch(side, by_cliff(float(edge_hz), float(drop_db)), self._at)

    def _switch(self, side: _Side, cutoff: CutoffEstimate, start: int) -> None:
        self._switching.end(tuple(side.channels), start)
        side.cutoff, side.since = cutoff, start
        self._add(side, math.inf)

    def _add(self, side: _Side, end: float) -> None:
        count, cutoff = len(side.channels), side.cutoff
        self._switching.add(
            lambda: self._begin(count, cutoff), tuple(side.channels), side.since, end
        )
