"""Where a recording's bandwidth changes: by stretch of time, and by channel.

:mod:`overtone.dsp.bandwidth` weighs the long-term spectrum of a whole recording. A telephone guest
beside a full-band host has no such spectrum. So here the recording is looked at in short segments:
what of every band was the strongest in each. A second in which the bands end at a cliff, and
nothing above it comes near what lies below, shows a *limited* band; what is above the cliff there
is the leakage, the dither, the codec's residue. Where another segment holds much more than that
above the cliff, it was recorded, and the band is *open* there. A segment that shows neither, a
pause or a dull vowel, says nothing and goes with its neighbours, the wider if they differ.

Gentle filters leave no cliff. Where there is none, every few seconds are judged as if they were a
recording of their own: those that come out far wider than the whole are open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.dsp.bandwidth import CutoffEstimate, CutoffEstimator
from overtone.dsp.bandwidth_model import DYNAMIC_RANGE_DB
from overtone.dsp.cliffs import BANDS_PER_OCTAVE, EDGE_OF_CLIFF, find_cliffs
from overtone.dsp.lines import without
from overtone.dsp.stft import hann

Floats = NDArray[np.float32]

FRAME_S = 1024 / 48000
SEGMENT_FRAMES = 6
WINDOW_SEGMENTS = 8
"""A cliff has to stand so long: a second."""
LOWEST_HZ, GROUP_BANDS = 800.0, 4

CLIFF_DB = 24.0
SAME_EDGE = 1.35
"""Cliffs whose frequencies differ by less than this ratio are one."""
AS_OVERALL = 1.15
CODEC_EDGE_HZ, FULL_BAND_HZ = 14_000.0, 18_000.0
ABOVE_EDGE = 1.12
OPEN_DB = 12.0
"""So much more than there is above a cliff was recorded."""
MARGIN_SEGMENTS = 3
"""Words and tones fade: so long before and after them, 0.4 s, a wider band is taken to last."""
LEAST_SEGMENTS = 2
"""A wider band that is shorter is a click."""
LONG_SEGMENTS, WIDE_HZ, SURE_CLIFF_DB = 20, 8500.0, 36.0
"""A narrower band that is shorter, 2.5 s, is one only if it is no wider and its cliff as high: a
codec may empty the top of a dull second."""
LOUD_RANGE_DB = 35.0
"""Segments so far below the loudest show no cliff: codecs empty what is soft."""
SILENT_DB = -150.0

GENTLE_EDGE, GENTLE_DB = 1.5, 28.0
"""If the usable edge is so far above the cutoff, cliffs that are not sure are the slope of a gentle
filter; if there is no cutoff, those under so many dB."""
EXCERPT_SEGMENTS = 32
"""So long are the excerpts that are judged alone: 4 s."""
WIDE_CONFIDENCE, FAR_WIDER = 0.8, 2.0
ENOUGH_FULL = 12
"""After so many excerpts with their full band, and none without, no more are judged."""
USUAL_RESIDUE = 0.9

FAR_ABOVE, FAR_DOWN_DB, USUAL_QUANTILE = 2.0, (-45.0, -35.0), 0.25
UNUSUAL_DB, IMPOSSIBLE_DB = 20.0, 55.0
"""Whatever the estimates say: so far above a usable edge, only so far below the band, and so much
more than is usual (the former is the lower one, if it is so much more), is too strong for leakage
or residue. It was recorded,"""
HOLD_SEGMENTS = 16
"""and so is what is softer, so long before and after: 2 s."""

MOST_SAID = 4
"""Stretches that are named one by one."""

# A line in a segment.
STEADY_RATIO, PROMINENCE, BESIDE = 2.0, 10.0, 5


@dataclass(frozen=True)
class Stretch:
    """A part of a recording that has one bandwidth.

    From ``start_s`` to ``end_s``, in ``channels``, the first of which is 0. ``cutoff`` is as
    :func:`overtone.dsp.bandwidth.estimate_cutoff` has it.
    """

    start_s: float
    end_s: float
    channels: tuple[int, ...]
    cutoff: CutoffEstimate

    @property
    def cutoff_hz(self) -> float | None:
        """Where the band ends: the Nyquist frequency if it is full, None if that is unsure."""
        return self.cutoff.cutoff_hz

    @property
    def confidence(self) -> float:
        """The probability of the answer given, 0..1."""
        return self.cutoff.confidence

    def to_dict(self) -> dict[str, Any]:
        """Return what programs read of it."""
        return {
            "start_s": self.start_s,
            "end_s": self.end_s,
            "channels": list(self.channels),
            "verdict": self.cutoff.verdict,
            "cutoff_hz": self.cutoff_hz,
            "confidence": self.confidence,
        }


def describe(stretches: Sequence[Stretch]) -> str:
    """Say in words how the bandwidth changes.

    Example:
        >>> phone = CutoffEstimate("band-limited", 3780.0, 0.99)
        >>> host = CutoffEstimate("full band", 24000.0, 0.99)
        >>> describe([Stretch(0, 31, (0,), phone), Stretch(31, 95, (0,), host)])
        '3.78 kHz, then full band from 0:31'
    """
    by_channels: dict[tuple[int, ...], list[Stretch]] = {}
    for stretch in stretches:
        by_channels.setdefault(stretch.channels, []).append(stretch)
    sides = max((max(channels) for channels in by_channels), default=0) == 1
    said = []
    for channels, parts in by_channels.items():
        names = [("left", "right")[c] if sides else f"channel {c + 1}" for c in channels]
        who = f"{' and '.join(names)}: " if len(by_channels) > 1 else ""
        words = [_band(parts[0].cutoff)]
        words += [f"{_band(part.cutoff)} from {clock(part.start_s)}" for part in parts[1:]]
        more = f", {len(words) - 1} changes in all" if len(words) > MOST_SAID else ""
        said.append(who + ", then ".join(words[:MOST_SAID]) + more)
    return "; ".join(said)


def _band(cutoff: CutoffEstimate) -> str:
    if cutoff.cutoff_hz is None:
        return "unsure"
    if cutoff.verdict == "full band":
        return "full band"
    return f"{round(cutoff.cutoff_hz, -1) / 1000:g} kHz"


def clock(seconds: float) -> str:
    """Return a time as people write it: ``0:31``, ``1:02:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class StretchFinder:
    """Finds the stretches of audio that arrives in blocks; they do not change the result.

    Takes about 2 ms per second of 48 kHz audio and 2 kB of memory per channel, and keeps four
    seconds of sound.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._grid = grid(sample_rate)
        self._pending: Floats | None = None
        self._taken, self._channels = 0, 1
        self._recent: Floats | None = None  # the last segments, [segments, channels, bands]
        self._levels: list[NDArray[np.float16]] = []  # [channels, groups] a segment
        self._cliffs: list[Floats] = []  # [2, channels] a segment: Hz and dB of the highest cliff
        self._excerpt: list[Floats] = []  # segments of the next
        self._excerpts: list[CutoffEstimate] = []

    def push(self, block: Floats) -> None:
        """Analyse the next block ``[channels, n]``."""
        self._channels = len(block)
        self._taken += block.shape[1]
        if self._pending is not None:
            block = np.concatenate([self._pending, block], axis=1)
        size = self._grid.segment_samples
        count = block.shape[1] // size
        for start in range(count):
            self._judge(block[:, start * size : (start + 1) * size])
        self._analyse(self._grid.levels_db(block[:, : count * size]))
        self._pending = block[:, count * size :].copy()

    def _judge(self, segment: Floats) -> None:
        """Judge each excerpt as a recording of its own."""
        full = sum(excerpt.verdict == "full band" for excerpt in self._excerpts)
        if full >= ENOUGH_FULL and all(e.verdict != "band-limited" for e in self._excerpts):
            return
        self._excerpt.append(segment.copy())
        if len(self._excerpt) == EXCERPT_SEGMENTS:
            alone = CutoffEstimator(self.sample_rate)
            for part in self._excerpt:
                alone.push(part)
            self._excerpts.append(alone.estimate())
            self._excerpt = []

    def _analyse(self, levels: Floats) -> None:
        """Take the next segments, ``[segments, channels, bands]``."""
        self._levels += list(self._grid.grouped(levels).astype(np.float16))
        self._cliffs += list(np.zeros((len(levels), 2, self._channels), np.float32))
        recent = levels if self._recent is None else np.concatenate([self._recent, levels])
        self._recent = recent[1 - WINDOW_SEGMENTS :].copy()
        if len(recent) < WINDOW_SEGMENTS:
            return
        windows = np.lib.stride_tricks.sliding_window_view(recent, WINDOW_SEGMENTS, axis=0)
        held = windows.max(axis=-1)  # [windows, channels, bands]
        cliffs = self._grid.cliffs(held.reshape(-1, held.shape[-1])).reshape(2, -1, self._channels)
        for number in np.flatnonzero(cliffs[0].any(axis=1)):
            end = len(self._cliffs) - len(held) + number + 1
            for segment in self._cliffs[end - WINDOW_SEGMENTS : end]:
                np.copyto(segment, cliffs[:, number], where=cliffs[0, number] > segment[0])

    def stretches(self, overall: CutoffEstimate) -> tuple[Stretch, ...]:
        """Return what was found, in order of time; ``overall`` where nothing changes."""
        duration_s = self._taken / self.sample_rate
        everywhere = (Stretch(0.0, duration_s, tuple(range(self._channels)), overall),)
        if not self._levels:
            return everywhere
        levels = np.asarray(self._levels, np.float32)  # [segments, channels, groups]
        edge_hz, drop_db = np.asarray(self._cliffs).transpose(1, 0, 2)  # [segments, channels]
        if _is_slope(edge_hz, drop_db, overall):
            edge_hz = np.where(edge_hz < CODEC_EDGE_HZ, 0, edge_hz)
        reach = reaches(levels, edge_hz, drop_db, self._grid)
        if reach is None:
            reach = self._reaches_alone(levels, overall)
        reach = self._without_recorded(levels, reach, overall)
        if reach is None:
            return everywhere
        found = []
        segment_s = self._grid.segment_samples / self.sample_rate
        for names, track in _by_channel(reach):
            for start, end in _runs(track):
                limited = (edge_hz[start:end] > 0) & np.isfinite(track[start])
                drop = float(np.median(drop_db[start:end][limited])) if limited.any() else CLIFF_DB
                found.append(
                    Stretch(
                        float(start * segment_s),
                        duration_s if end == len(track) else float(end * segment_s),
                        names,
                        self._estimate(float(track[start]), drop, overall),
                    )
                )
        return tuple(sorted(found, key=lambda stretch: (stretch.start_s, stretch.channels)))

    def _reaches_alone(self, levels: Floats, overall: CutoffEstimate) -> Floats | None:
        """As :func:`reaches`, by the excerpts that come out wider than the whole."""
        cutoff_hz, edge_hz = overall.cutoff_hz, overall.usable_edge_hz
        if overall.verdict != "band-limited" or cutoff_hz is None or edge_hz is None:
            return None
        alone = [(excerpt, excerpt.cutoff_hz or 0.0) for excerpt in self._excerpts]
        wide = np.array([_is_wide(*one, FAR_WIDER * cutoff_hz) for one in alone], bool)
        if not wide.any():
            return None
        narrow = np.array([0 < found_hz <= FAR_WIDER * cutoff_hz for _, found_hz in alone])
        # Of the others, too, what is far stronger than what narrow ones leave above the edge.
        above = self._grid.groups_hz > ABOVE_EDGE * edge_hz
        most = levels[:, :, above].max(axis=1)
        excerpt = np.minimum(np.arange(len(levels)) // EXCERPT_SEGMENTS, len(wide) - 1)
        is_open = wide[excerpt]
        if narrow.any():
            residue = np.quantile(most[narrow[excerpt]], USUAL_RESIDUE, axis=0)
            is_open |= (most > residue + OPEN_DB).any(axis=1)
        else:
            is_open[:] = True
        track = _smooth(np.where(is_open, np.inf, cutoff_hz), np.zeros(len(is_open)))
        return np.repeat(track[:, None], self._channels, axis=1).astype(np.float32)

    def _without_recorded(
        self, levels: Floats, reach: Floats | None, overall: CutoffEstimate
    ) -> Floats | None:
        """Open what is limited, by ``reach`` or all of it, where far too much lies above.

        Images of a badly resampled band may be so strong.
        """
        whole_hz = overall.cutoff_hz if overall.verdict == "band-limited" else None
        if overall.mirror_hz is not None or (reach is None and whole_hz is None):
            return reach
        was = reach
        if reach is None:
            reach = np.full(levels.shape[:2], whole_hz, np.float32)
        opened = reach.copy()
        for limit_hz in np.unique(reach[reach < CODEC_EDGE_HZ]):
            usable_hz = max(limit_hz, overall.usable_edge_hz or 0) if whole_hz else limit_hz
            above = self._grid.groups_hz >= FAR_ABOVE * usable_hz
            for channel in np.flatnonzero((reach == limit_hz).any(axis=0)) if above.any() else ():
                here = reach[:, channel] == limit_hz
                loud, relative = _relative(levels[:, channel], above, limit_hz, self._grid)
                heard = here & loud
                usual = np.quantile(relative[heard], USUAL_QUANTILE) if heard.any() else 0.0
                least_db = max(usual + UNUSUAL_DB, np.clip(usual + IMPOSSIBLE_DB, *FAR_DOWN_DB))
                recorded = heard & (relative > least_db)
                if recorded.any():
                    track = np.where(heard, limit_hz, np.where(here, 0, reach[:, channel]))
                    track[here & _widened(recorded, HOLD_SEGMENTS)] = np.inf
                    opened[:, channel] = _smooth(track, np.zeros(len(track)))
        return was if (opened == reach).all() else opened

    def _estimate(self, reach_hz: float, drop_db: float, overall: CutoffEstimate) -> CutoffEstimate:
        if not np.isfinite(reach_hz):
            return replace(full_band(self.sample_rate, drop_db), lines_hz=overall.lines_hz)
        # The long-term spectrum knows it better, where it is of this band.
        known_hz = overall.cutoff_hz or 0.0
        if overall.verdict == "band-limited" and 1 / AS_OVERALL < known_hz / reach_hz < AS_OVERALL:
            return overall
        return replace(by_cliff(reach_hz, drop_db), lines_hz=overall.lines_hz)


def full_band(sample_rate: int, drop_db: float) -> CutoffEstimate:
    """The estimate of what is wider than a band that ends at a cliff so high."""
    return CutoffEstimate("full band", sample_rate / 2, 1 - 10 ** (-drop_db / 20))


def by_cliff(edge_hz: float, drop_db: float) -> CutoffEstimate:
    """The estimate of what ends at a cliff so high."""
    return CutoffEstimate("band-limited", EDGE_OF_CLIFF * edge_hz, 1 - 10 ** (-drop_db / 20))


def _is_wide(excerpt: CutoffEstimate, found_hz: float, least_hz: float) -> bool:
    sure = excerpt.confidence > WIDE_CONFIDENCE
    return excerpt.verdict == "full band" or (sure and found_hz > least_hz)


def _is_slope(edge_hz: Floats, drop_db: Floats, overall: CutoffEstimate) -> bool:
    """Tell whether cliffs are but the slope of a gentle filter."""
    drops = drop_db[(edge_hz > 0) & (edge_hz < CODEC_EDGE_HZ)]
    if overall.verdict == "full band" or not drops.size:
        return False
    cutoff_hz, usable_hz = overall.cutoff_hz, overall.usable_edge_hz
    gentle = bool(cutoff_hz and usable_hz and usable_hz > GENTLE_EDGE * cutoff_hz)
    most_db = SURE_CLIFF_DB if gentle else GENTLE_DB
    return bool((gentle or cutoff_hz is None) and np.median(drops) < most_db)


def reaches(levels: Floats, edge_hz: Floats, drop_db: Floats, grid: Grid) -> Floats | None:
    """How far up each segment's band reaches, Hz, ``[segments, channels]``; None if all the same.

    Infinity is an open band. ``levels [segments, channels, groups]`` in dB; ``edge_hz [segments,
    channels]`` are cliffs, 0 where there is none, ``drop_db`` their heights.
    """
    loudest = levels.max(axis=2)
    edge_hz = np.where(loudest > loudest.max() - LOUD_RANGE_DB, edge_hz, 0)
    reach = np.zeros_like(edge_hz)
    unknown = (edge_hz == 0) & (loudest > SILENT_DB)
    edges = clusters(edge_hz[(edge_hz > 0) & (edge_hz < FULL_BAND_HZ)])
    if not edges:
        return None
    for number, (lowest_hz, highest_hz) in enumerate(edges):
        limited = (edge_hz >= lowest_hz) & (edge_hz <= highest_hz)
        reach[limited] = typical_hz = np.median(edge_hz[limited])
        # What is above such a cliff, at its most, in any channel.
        above = grid.groups_hz > ABOVE_EDGE * highest_hz
        residue = levels[limited][:, above].max(axis=0, initial=SILENT_DB)
        wider = unknown & (levels[:, :, above] > residue + OPEN_DB).any(axis=2)
        if number:  # wider than the bands below, and not than this one
            reach[unknown & ~wider] = typical_hz
        unknown = wider
    reach[unknown | (edge_hz >= FULL_BAND_HZ)] = np.inf
    # Codecs move their edge up here as they please; it is one band.
    high = reach >= CODEC_EDGE_HZ
    reach[high] = reach[high].max(initial=0)
    reach = np.stack([_smooth(*track) for track in zip(reach.T, drop_db.T, strict=True)], axis=1)
    silent = ~reach.any(axis=0)
    reach[:, silent] = reach.max(axis=1, keepdims=True)
    return None if len(np.unique(reach)) == 1 else reach


def _relative(
    levels: Floats, above: NDArray[np.bool_], limit_hz: float, grid: Grid
) -> tuple[NDArray[np.bool_], Floats]:
    """Which ``[segments, groups]`` are loud below a limit, and what they hold above, dB."""
    band = levels[:, grid.groups_hz < limit_hz].max(axis=1, initial=SILENT_DB)
    return band > band.max() - LOUD_RANGE_DB, (levels[:, above] - band[:, None]).max(axis=1)


def clusters(edges_hz: NDArray[np.floating]) -> list[tuple[float, float]]:
    """Group cliffs that are one and the same: the lowest and the highest of each group."""
    found: list[list[float]] = []
    for edge in np.unique(edges_hz).tolist():
        if found and edge < SAME_EDGE * found[-1][0]:
            found[-1][1] = edge
        else:
            found.append([edge, edge])
    return [(low, high) for low, high in found]


def _smooth(track: NDArray[np.floating], drop_db: NDArray[np.floating]) -> NDArray[np.floating]:
    """Fill in the segments of one channel that say nothing, 0, and drop what is too short.

    They go with the wider of the bands before and after. Nor does a band that is wider reach less
    far in time than it should: it takes MARGIN_SEGMENTS more on either side.
    """
    track = track.copy()
    said = np.flatnonzero(track)
    if not said.size:
        return track
    for before, after in pairwise(said):
        track[before + 1 : after] = max(track[before], track[after])
    track[: said[0]], track[said[-1] + 1 :] = track[said[0]], track[said[-1]]
    for start, end in _runs(track):
        around = [track[i] for i in (start - 1, end) if 0 <= i < len(track)]
        if around and max(around) < track[start] and end - start < LEAST_SEGMENTS:
            track[start:end] = max(around)
    for start, end in _runs(track):
        around = [track[i] for i in (start - 1, end) if 0 <= i < len(track)]
        doubtful = end - start < LONG_SEGMENTS and (
            track[start] > WIDE_HZ or np.median(drop_db[start:end]) < SURE_CLIFF_DB
        )
        if around and min(around) > track[start] and doubtful:
            track[start:end] = min(around)
    return _widened(track, MARGIN_SEGMENTS)


def _widened(track: NDArray[Any], count: int) -> NDArray[Any]:
    """The highest of each value and so many before and after."""
    padded = np.pad(track, count, mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * count + 1).max(axis=1))


def _runs(track: NDArray[np.floating]) -> list[tuple[int, int]]:
    """Where equal values start and end."""
    changes = np.flatnonzero(track[1:] != track[:-1]) + 1
    return list(pairwise([0, *changes.tolist(), len(track)]))


def _by_channel(
    reach: NDArray[np.floating],
) -> list[tuple[tuple[int, ...], NDArray[np.floating]]]:
    """Part channels whose bands differ for a second or more; else all go together."""
    channels = tuple(range(reach.shape[1]))
    highest = reach.max(axis=1, keepdims=True)
    if ((reach != highest).sum(axis=0) < WINDOW_SEGMENTS).all():
        return [(channels, highest[:, 0])]
    alike: dict[bytes, list[int]] = {}
    for channel in channels:
        alike.setdefault(reach[:, channel].tobytes(), []).append(channel)
    return [(tuple(group), reach[:, group[0]]) for group in alike.values()]


@dataclass(frozen=True)
class Grid:
    """The frames and bands of one rate."""

    frame_samples: int
    segment_samples: int
    window: Floats
    first_bins: NDArray[np.int64]  # of the bands, and the one after the last
    bands_hz: NDArray[np.floating]  # their upper ends
    group_starts: NDArray[np.int64]  # bands are kept in groups of a few
    groups_hz: NDArray[np.floating]  # their lower ends

    def levels_db(self, segments: Floats) -> Floats:
        """The strongest of each band in dB, ``[segments, channels, bands]``; lines aside."""
        framed = segments.reshape(len(segments), -1, SEGMENT_FRAMES, self.frame_samples)
        spectra = np.fft.rfft(framed.swapaxes(0, 1) * self.window)
        powers = spectra.real**2 + spectra.imag**2  # [segments, channels, frames, bins]
        peaks = line_peaks(powers)
        for place in map(tuple, np.argwhere(peaks.any(axis=-1))):
            powers[place] = without(powers[place], covered_bins(peaks[place]))
        sums = np.add.reduceat(powers, self.first_bins, axis=-1)[..., :-1]
        # The strongest but one: a click is in one frame only.
        strongest = np.sort(sums / np.diff(self.first_bins), axis=2)[:, :, -2]
        return np.asarray(10 * np.log10(strongest + 1e-16), np.float32)

    def frame_levels_db(self, frame: Floats) -> Floats:
        """Each band in one frame ``[channels, frame_samples]``, in dB, ``[channels, bands]``."""
        spectra = np.fft.rfft(frame * self.window)
        sums = np.add.reduceat(spectra.real**2 + spectra.imag**2, self.first_bins, axis=-1)
        means = sums[..., :-1] / np.diff(self.first_bins)
        return np.asarray(10 * np.log10(means + 1e-16), np.float32)

    def grouped(self, levels_db: Floats) -> Floats:
        """The strongest of each group of bands, ``[..., bands]``."""
        return np.asarray(np.maximum.reduceat(levels_db, self.group_starts, axis=-1))

    def cliffs(self, held_db: Floats) -> Floats:
        """Hz and dB of the cliff in ``[channels, bands]``, ``[2, channels]``; 0 without one."""
        # What lies too far down is no edge of anything to be heard.
        loudest_db = held_db.max(axis=1, keepdims=True)
        held_db = np.maximum(held_db, loudest_db - DYNAMIC_RANGE_DB)
        last, _, down = find_cliffs(held_db, least_db=CLIFF_DB)
        found = down >= CLIFF_DB
        return np.stack([np.where(found, self.bands_hz[last], 0), np.where(found, down, 0)])


def line_peaks(powers: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Bins of segments ``[..., frames, bins]`` with a steady line: as strong in every frame."""
    weakest, strongest = powers.min(axis=-2), powers.max(axis=-2)
    around = [(0, 0)] * (weakest.ndim - 1) + [(BESIDE, BESIDE)]
    padded, bins = np.pad(weakest, around, mode="edge"), weakest.shape[-1]
    beside = np.minimum(padded[..., :bins], padded[..., 2 * BESIDE :])
    return np.asarray((strongest < STEADY_RATIO * weakest) & (weakest > PROMINENCE * beside))


def covered_bins(peaks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bins ``[bins]`` that the lines at ``peaks`` cover."""
    return np.asarray(np.convolve(peaks, np.ones(2 * BESIDE + 1), "same") > 0.5)


@lru_cache(maxsize=8)
def grid(sample_rate: int) -> Grid:
    """Lay out frames and bands for one rate."""
    multiples = max(1, round(sample_rate * FRAME_S / 64))
    frame_samples = 64 * multiples
    window = hann(frame_samples)
    bin_hz, nyquist_hz = sample_rate / frame_samples, sample_rate / 2
    count = max(1, int(BANDS_PER_OCTAVE * np.log2(nyquist_hz / LOWEST_HZ)))
    ends_hz = nyquist_hz * 2 ** (-np.arange(count, -1, -1) / BANDS_PER_OCTAVE)
    first_bins = np.unique(np.round(ends_hz / bin_hz).astype(np.int64))
    group_starts = np.arange(0, len(first_bins) - 1, GROUP_BANDS)
    return Grid(
        frame_samples=frame_samples,
        segment_samples=SEGMENT_FRAMES * frame_samples,
        window=(window / (window.sum() / 2)).astype(np.float32),
        first_bins=first_bins,
        bands_hz=(first_bins[1:] - 0.5) * bin_hz,
        group_starts=group_starts,
        groups_hz=first_bins[group_starts] * bin_hz,
    )


def find_stretches(samples: ArrayLike, sample_rate: int) -> tuple[Stretch, ...]:
    """Find where the bandwidth of ``[samples]`` or ``[channels, samples]`` changes, full scale 1.

    Raises InvalidInputError for a rate or shape that cannot be used.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> [s.cutoff.verdict for s in find_stretches(0.1 * rng.standard_normal(16000), 8000)]
        ['full band']
    """
    block = np.atleast_2d(np.asarray(samples, np.float32))
    estimator, finder = CutoffEstimator(sample_rate), StretchFinder(sample_rate)
    for start in range(0, max(1, block.shape[-1]), sample_rate):
        estimator.push(block[..., start : start + sample_rate])
        finder.push(block[..., start : start + sample_rate])
    return finder.stretches(estimator.estimate())
