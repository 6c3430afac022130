"""What audio files claim and what they hold: false "lossless", falsely wide-band data, clipping.

A file's rate says how far its band may reach, and its format how it was kept. Both may be untrue:
a FLAC file can hold an MP3, and a corpus at 48 kHz recordings from the telephone.
:func:`inspect_file` reads a few seconds spread over a file and says where its band really ends and
what most likely ended it; :func:`inspect_files` does that for thousands.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from overtone import executor
from overtone.audio.formats import FLOAT_SUBTYPES, INTEGER_BITS, AudioInfo
from overtone.audio.reader import AudioReader, is_stream, name_of
from overtone.audio.sources import describe_os_error, find_sources
from overtone.dsp.bandwidth import CutoffEstimate, CutoffEstimator
from overtone.dsp.level import LevelMeter
from overtone.dsp.stretches import Stretch, StretchFinder
from overtone.dsp.traces import RATES_HZ, TraceMeter, Wall
from overtone.errors import OvertoneError
from overtone.stores import fetched, is_remote

FloatArray = NDArray[np.float32]
Rails = tuple[NDArray[np.floating], NDArray[np.int64]]

# A longer file is looked at in so many places, for so many seconds each.
EXCERPTS, EXCERPT_S = 8, 4.0
AUDIBLE_RMS = 1e-4
# What has nothing else is looked at down to -120 dBFS, as if it were louder.
QUIET_RMS, QUIET_GAIN = 1e-6, np.float32(1000)

# Clipping: so many samples in a row within a step of 16 bits of the peak.
CLIPPED_RUN, STEP = 3, 2.0**-16
LEAST_PEAK = 0.01

# Of a wall, as parts of the Nyquist frequency that a steep resampler leaves it under.
RESAMPLER_EDGE = (0.93, 0.968)
RESAMPLER_WIDTH = 0.006  # of the rate, at least
RESAMPLER_DROP_DB = 28.0
CODEC_EDGES_NEAR_HZ = (24_000, 32_000)
"""Rates whose Nyquist frequencies lie near edges of codecs; there, holes tell them apart."""
CODEC_HOLES = 0.004
CODEC_FROM_HZ, SHARP_HZ = 15_000.0, 150.0
OPUS_EDGES, OPUS_TOLERANCE_HZ = {12_000.0: 400.0, 20_000.0: 175.0}, 100.0
UNLIKELY_HZ, FARTHEST_HZ = 150.0, 700.0
"""A codec whose walls are of the other kind counts as so much farther away; beyond the second
none is named."""
SURE_TRACE = 0.9
NOT_FULL, OF_ITS_RATE = 0.96, 0.9
LOSSLESS_CODECS = ("FLAC", "ALAC", "WAVPACK", "APE", "TTA")
OWN_CODEC, A_CODEC = "its own codec", "codec"

# Where encoders low-pass, by channels and bit rate in kbit/s: LAME 3.100 and FFmpeg's AAC.
MP3_EDGES = {
    1: {32: 8_275, 48: 11_250, 64: 16_050, 96: 20_250},
    2: {64: 11_100, 96: 15_150, 128: 16_500, 160: 17_400, 192: 18_650, 256: 19_400, 320: 20_200},
}
AAC_EDGES = {
    1: {32: 12_000, 48: 15_750, 64: 17_250, 96: 19_500},
    2: {64: 12_400, 96: 15_850, 128: 17_250, 192: 19_350},
}


@dataclass(frozen=True)
class Inspection:
    """What a file claims and what it holds.

    ``info`` is what its header says, ``duration_s`` its length in seconds. ``cutoff`` is where the
    real band ends, and ``stretches`` are the parts of one bandwidth each, where it changes.
    ``codec_edge_hz`` is the wall on which a codec ended it, ``lines_hz`` are steady tones.
    ``clipped_samples`` are those in rows at the peak, of the ``analysed_s`` seconds that were read.
    ``cause`` is what most likely ended the band: "MP3 128k", "upsampled from 16 kHz", "low-pass";
    empty if nothing did.
    """

    path: Path
    info: AudioInfo
    duration_s: float | None
    analysed_s: float
    cutoff: CutoffEstimate
    stretches: tuple[Stretch, ...]
    codec_edge_hz: float | None
    lines_hz: tuple[float, ...]
    level_dbfs: float | None
    peak_dbfs: float | None
    clipped_samples: int
    cause: str

    @property
    def bits(self) -> str:
        """The sample format that the file claims: "16", "24", "float", or a codec's name."""
        subtype = self.info.subtype
        if subtype in FLOAT_SUBTYPES:
            return "float"
        return str(INTEGER_BITS.get(subtype, subtype.lower().replace("mpeg_layer_iii", "mp3")))

    def to_dict(self) -> dict[str, Any]:
        """Return everything in types that JSON has."""
        return {
            "file": str(self.path),
            "format": self.info.format,
            "subtype": self.info.subtype,
            "sample_rate": self.info.sample_rate,
            "channels": self.info.channels,
            "duration_s": self.duration_s,
            "analysed_s": self.analysed_s,
            "verdict": self.cutoff.verdict,
            "bandwidth_hz": self.cutoff.cutoff_hz,
            "confidence": self.cutoff.confidence,
            "stretches": [stretch.to_dict() for stretch in self.stretches],
            "codec_edge_hz": self.codec_edge_hz,
            "lines_hz": list(self.lines_hz),
            "level_dbfs": self.level_dbfs,
            "peak_dbfs": self.peak_dbfs,
            "clipped_samples": self.clipped_samples,
            "cause": self.cause,
        }


@dataclass(frozen=True)
class Inspected:
    """How inspecting one file went: an inspection, or one line that says why there is none."""

    path: Path
    inspection: Inspection | None = None
    error: str | None = None
    defect: str | None = None


def inspect_file(source: str | os.PathLike[str] | BinaryIO) -> Inspection:
    """Inspect a file; a long one is sampled, so that no more is read than needed.

    Up to 32 s are read whole, and damage is noticed; of a longer one 8 times 4 s.

    Raises:
        AudioFileError: the file cannot be read, or is damaged where it was read.

    Example:
        >>> found = inspect_file("speech_en_8k.flac")
        >>> found.info.sample_rate, found.cutoff.verdict, found.clipped_samples
        (8000, 'band-limited', 0)
    """
    with AudioReader(source) as reader:
        info = reader.info
        rate = info.sample_rate
        meters = _Meters(rate)
        read = 0
        for start_s, block in reader.excerpts(EXCERPTS, EXCERPT_S):
            read += block.shape[1]
            if meters.analysed < EXCERPTS * EXCERPT_S * rate:
                meters.push(block, start_s)
        whole = info.frames is None or read >= info.frames
        return meters.inspection(reader.path, info, read / rate if whole else info.duration_s)


class _Meters:
    """All that is measured of a file, from pieces of it."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._estimator, self._quiet = CutoffEstimator(sample_rate), CutoffEstimator(sample_rate)
        self._heard = False
        self._traces = TraceMeter(sample_rate)
        self._level = LevelMeter(sample_rate)
        self._finder = StretchFinder(sample_rate)
        self._starts: list[tuple[float, float]] = []  # of pieces, among them and in the file, s
        self._rails: Rails = (np.zeros(0), np.zeros(0, np.int64))
        self.analysed = 0

    def push(self, block: FloatArray, start_s: float) -> None:
        """Measure a piece ``[channels, n]``."""
        self._starts.append((self.analysed / self._rate, start_s))
        self.analysed += block.shape[1]
        self._finder.push(block)
        self._rails = _joined_rails(self._rails, rails(block))
        rms = np.sqrt(np.mean(block**2))
        if rms > AUDIBLE_RMS:
            self._heard = True
            self._level.push(block)
            self._estimator.push(block)
            self._traces.push(block)
        elif not self._heard and rms > QUIET_RMS:
            self._quiet.push(QUIET_GAIN * block)

    def inspection(self, path: Path, info: AudioInfo, duration_s: float | None) -> Inspection:
        """Sum up."""
        level, peak = self._level.active_rms(), float(self._rails[0].max(initial=0))
        cutoff = (self._estimator if self._heard else self._quiet).estimate()
        rate, wall = self._traces.upsampled_from(), self._traces.wall()
        if wall is not None and wall.edge_hz > NOT_FULL * self._rate / 2:
            wall = None
        cutoff = _completed(cutoff, rate, wall)
        cause = find_cause(cutoff, rate, wall, info)
        of_codec = wall is not None and cause.startswith(("MP3", "AAC", "Opus", OWN_CODEC, A_CODEC))
        return Inspection(
            path=path,
            info=info,
            duration_s=duration_s,
            analysed_s=self.analysed / self._rate,
            cutoff=cutoff,
            stretches=tuple(self._in_file(one) for one in self._finder.stretches(cutoff)),
            codec_edge_hz=wall.edge_hz if of_codec and wall else None,
            lines_hz=cutoff.lines_hz,
            level_dbfs=_decibels(level),
            peak_dbfs=_decibels(peak),
            clipped_samples=int(self._rails[1].sum()),
            cause=cause,
        )

    def _in_file(self, stretch: Stretch) -> Stretch:
        """Return a stretch with the times of the file, of which some was left out."""
        return replace(
            stretch,
            start_s=self._time(stretch.start_s),
            end_s=self._time(stretch.end_s - 1e-6) + 1e-6,
        )

    def _time(self, analysed_s: float) -> float:
        among_s, start_s = next(one for one in reversed(self._starts) if one[0] <= analysed_s)
        return start_s + analysed_s - among_s


def _decibels(amplitude: float) -> float | None:
    return 20 * float(np.log10(amplitude)) if amplitude > 0 else None


def _completed(cutoff: CutoffEstimate, old_rate: int | None, wall: Wall | None) -> CutoffEstimate:
    """Let the traces speak where the estimate is unsure."""
    end_hz = old_rate / 2 if old_rate else wall.edge_hz if wall else None
    if cutoff.verdict != "unsure" or end_hz is None:
        return cutoff
    return replace(cutoff, verdict="band-limited", cutoff_hz=end_hz, confidence=SURE_TRACE)


def find_cause(
    cutoff: CutoffEstimate, old_rate: int | None, wall: Wall | None, info: AudioInfo
) -> str:
    """Say what most likely ended the band; nothing where it is full, or nobody knows."""
    if old_rate is not None:
        return _upsampled(old_rate)
    if wall is None:
        # What made the rate took the last tenth of its band, which is no fault.
        short = (cutoff.cutoff_hz or 0) < OF_ITS_RATE * info.sample_rate / 2
        return "low-pass" if cutoff.verdict == "band-limited" and short else ""
    resampled = _resampled_from(wall, info.sample_rate)
    if resampled is not None:
        return _upsampled(resampled)
    codec = _codec(wall, info)
    if codec is None:
        return "" if cutoff.verdict == "full band" else "steep low-pass"
    lossless = {*INTEGER_BITS, *FLOAT_SUBTYPES, *LOSSLESS_CODECS}
    return codec if info.subtype in lossless else OWN_CODEC


def _upsampled(rate: int) -> str:
    return f"upsampled from {rate / 1000:g} kHz"


def _resampled_from(wall: Wall, sample_rate: int) -> int | None:
    """Return the rate under whose Nyquist frequency the wall lies as a steep resampler's does."""
    for rate in (rate for rate in RATES_HZ if rate < sample_rate):
        steep = wall.drop_db >= RESAMPLER_DROP_DB and wall.width_hz >= RESAMPLER_WIDTH * rate
        near = RESAMPLER_EDGE[0] < wall.edge_hz / (rate / 2) < RESAMPLER_EDGE[1]
        if steep and near and (rate not in CODEC_EDGES_NEAR_HZ or wall.holes < CODEC_HOLES):
            return rate
    return None


def _codec(wall: Wall, info: AudioInfo) -> str | None:
    """Name the codec and bit rate that end on such a wall, if one does."""
    for edge_hz, least_width_hz in OPUS_EDGES.items():
        if abs(wall.edge_hz - edge_hz) <= OPUS_TOLERANCE_HZ and wall.width_hz >= least_width_hz:
            return "Opus"
    sharp = wall.width_hz <= SHARP_HZ
    if not sharp and wall.holes < CODEC_HOLES and wall.edge_hz < CODEC_FROM_HZ:
        return None
    tables = {"MP3": MP3_EDGES, "AAC": AAC_EDGES}
    is_aac = sharp and wall.holes < CODEC_HOLES
    distance_hz, name = min(
        (
            abs(edge_hz - wall.edge_hz) + UNLIKELY_HZ * ((codec == "AAC") != is_aac),
            f"{codec} {bit_rate}k",
        )
        for codec, table in tables.items()
        for bit_rate, edge_hz in table[min(info.channels, 2)].items()
    )
    if distance_hz < FARTHEST_HZ:
        return name
    return A_CODEC if sharp or wall.holes >= CODEC_HOLES else None


# Clipping ----------------------------------------------------------------------------------------


def rails(block: FloatArray) -> Rails:
    """Return how far ``[channels, n]`` reaches up and down, and how many samples lie there in rows.

    Both are ``[2 * channels]``.
    """
    both = np.concatenate([block, -block])
    top = both.max(axis=1, initial=0)
    at = (both >= top[:, None] - STEP) & (top[:, None] >= LEAST_PEAK)
    row = at[:, CLIPPED_RUN - 1 :].copy()
    for before in range(CLIPPED_RUN - 1):
        row &= at[:, before : at.shape[1] - CLIPPED_RUN + 1 + before]
    starts = np.count_nonzero(row[:, 1:] & ~row[:, :-1], axis=1) + row[:, :1].any(axis=1)
    return top, np.count_nonzero(row, axis=1) + (CLIPPED_RUN - 1) * starts


def _joined_rails(one: Rails, other: Rails) -> Rails:
    """Return what both pieces reach; samples count only where that is as far as in the whole."""
    if not one[0].size:
        return other
    top = np.maximum(one[0], other[0])
    counts = (np.where(part[0] >= top - STEP, part[1], 0) for part in (one, other))
    return top, np.asarray(sum(counts))


# Many files --------------------------------------------------------------------------------------


def inspect_files(
    sources: str | os.PathLike[str] | BinaryIO | Iterable[str | os.PathLike[str]],
    *,
    jobs: int | None = None,
    cluster: str | None = None,
    shard: tuple[int, int] | None = None,
    isolated: bool = False,
    progress: Callable[[float, int], None] | None = None,
    on_result: Callable[[Inspected], None] | None = None,
) -> list[Inspected]:
    """Inspect files and folders full of them; a bad file never stops the rest.

    Args:
        sources: files, folders (searched recursively) and glob patterns, one or many; or one open
            binary file.
        jobs: files done at the same time, each by a process; None for one, or one on each core of
            a cluster.
        cluster: have them done by the machines of a Ray cluster: its address, ``auto`` or
            ``local``.
        shard: ``(i, n)``, to do the i-th of n parts, counted from 1.
        isolated: decode in a process of its own even for one job, so that a crash in a decoder
            ends a file and not this process.
        progress: is called with how many files are done, and of how many.
        on_result: is called with each result as soon as it is known.

    Returns:
        One :class:`Inspected` a file, those that cannot be read included, in the order of their
        names' finding.

    Example:
        >>> [result] = inspect_files("gone.wav")
        >>> result.error
        'gone.wav: no such file or folder'
    """
    names: list[str] = []
    streams: list[BinaryIO] = []
    if is_stream(sources):
        streams = [sources]
    else:
        given = [sources] if isinstance(sources, (str, os.PathLike)) else sources
        names = [os.fspath(name) for name in cast("Iterable[str | os.PathLike[str]]", given)]
    found, failures = find_sources(names, results=True)
    results = [Inspected(path, error=f"{path}: {reason}") for path, reason in failures]
    if on_result:
        for failure in results:
            on_result(failure)
    files: list[Path | BinaryIO] = [*streams, *(source.path for source in found)]
    if shard is not None:
        files = executor.take_shard(files, shard)
    by_name: dict[Path, Inspected] = {}
    decoding = executor.map(
        _ready,
        _inspect_one,
        files,
        jobs=jobs,
        cluster=None if streams else cluster,
        isolated=isolated and not streams,
        lost=_lost,
    )
    with closing(decoding) as done:
        for _, result in done:
            by_name[result.path] = result
            if on_result:
                on_result(result)
            if progress:
                progress(len(by_name), len(files))
    return [*results, *(by_name[_name(file)] for file in files)]


def _name(file: Path | BinaryIO) -> Path:
    return name_of(file) if is_stream(file) else cast("Path", file)


def _ready() -> None:
    """Load nothing: there is no model."""


def _lost(file: Path | BinaryIO, reason: str) -> Inspected:
    return Inspected(_name(file), error=f"{_name(file)}: {reason}")


def _inspect_one(_: None, file: Path | BinaryIO, report: Callable[[float], None]) -> Inspected:
    del report
    path = _name(file)
    try:
        if not is_remote(file):
            return Inspected(path, inspect_file(file))
        with fetched(path) as copy:
            return Inspected(path, replace(inspect_file(copy), path=path))
    except OSError as error:
        return Inspected(path, error=f"{path}: {describe_os_error(error)}")
    except OvertoneError as error:
        return Inspected(path, error=str(error))
    except MemoryError:
        return Inspected(path, error=f"{path}: not enough memory")
    except Exception as error:  # a defect of ours must not cost the user the other files
        reason = f"internal error, please report it: {type(error).__name__}: {error}"
        return Inspected(path, error=f"{path}: {reason}", defect=traceback.format_exc())
