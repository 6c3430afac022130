"""What is done to a recording, decided from its start: where its band ends, and its level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.audio.formats import MAX_BLOCK_VALUES
from overtone.dsp.bandwidth import CutoffEstimate, CutoffEstimator
from overtone.dsp.content import LONGEST_S, speech_probability
from overtone.dsp.level import LevelMeter
from overtone.dsp.stretches import Stretch, StretchFinder
from overtone.inference.checks import GUESS, as_recording, check_cutoff

if TYPE_CHECKING:
    from overtone.inference.family import ModelInfo

FloatArray = NDArray[np.float32]

BLOCK_S = 1.0
HIGHEST_MODEL_RATE = 48_000
VALUES_IN_MODEL = 4
# How much sound is analysed before the cutoff and the level are decided. Blocks under -80 dBFS say
# nothing about either.
ANALYSIS_S = 45.0
AUDIBLE_RMS = 1e-4
# A recording that has nothing else is looked at down to here, -120 dBFS, as if it were louder: 24
# bits hold speech whose peak is at -75 dBFS.
QUIET_RMS, QUIET_GAIN = 1e-6, 1000.0
# A recording that reaches this far has its high band: few adults hear more, and most good coded
# files (Vorbis, Opus, MP3 from 160 kbit/s up) end above it, where nothing is to be gained.
FULL_BAND_HZ = 18_000.0
SILENT = "silent"
# Less likely speech than so is music: when unsure, it is taken for speech.
MUSIC_BELOW = 0.3


@dataclass(frozen=True)
class Plan:
    """What will be done to a recording, decided before its first output sample.

    ``cutoff`` is where the band ends and how sure that is; ``extend_from_hz`` is None where the
    recording is only resampled or copied, and ``warning`` says why. Where it is extended,
    ``warning`` says if the model was made for other recordings.

    ``stretches`` are the parts of one bandwidth each, by time and channel, in order of time: one
    where nothing changes, none where the cutoff is given. Of several, ``cutoff`` and
    ``extend_from_hz`` are of the one that has the most to gain.

    ``model`` is the name of the one that does it, and ``speech`` how likely the recording is speech
    rather than music, 0 to 1, if that decided which.
    """

    output_rate: int
    cutoff: CutoffEstimate
    extend_from_hz: float | None
    gain: float
    warning: str = ""
    stretches: tuple[Stretch, ...] = ()
    model: str = ""
    speech: float | None = None


def plan_recording(
    info: ModelInfo,
    blocks: Iterable[FloatArray],
    sample_rate: int,
    *,
    output_rate: int | None = None,
    cutoff_hz: float | str | None = None,
    music: ModelInfo | None = None,
) -> Plan:
    """Analyse a recording and decide what the model ``info`` will do to it, or ``music`` to music.

    ``blocks`` are ``[channels, n]``. The start says where the band ends and how loud it is; all of
    them, where that changes. With a frequency for ``cutoff_hz`` no more of them are taken than
    needed; ``"guess"`` takes the best guess where the band's end is not sure.

    Raises:
        InvalidInputError: ``cutoff_hz`` is not above 0 and at most half the rate.
    """
    check_cutoff(cutoff_hz, sample_rate)
    rate_out = output_rate or default_output_rate(sample_rate)
    known = cutoff_hz is not None and not isinstance(cutoff_hz, str)
    start, quiet_start = _Start(sample_rate), _Start(sample_rate, gain=QUIET_GAIN)
    finder = StretchFinder(sample_rate)
    for block in blocks:
        if start.analysed < ANALYSIS_S * sample_rate:
            if is_audible(block):
                start.push(block, estimate=not known)
            elif not start.analysed and is_audible(block, QUIET_RMS):
                quiet_start.push(block, estimate=not known)
        elif known:
            break
        if not known:
            finder.push(block)
    if not start.analysed and quiet_start.estimator.estimate().verdict == "band-limited":
        start = quiet_start
    level = start.level()
    speech = None
    if music is not None:
        speech = speech_probability(start.heard(), sample_rate)
        info = music if speech < MUSIC_BELOW else info
    gain = info.level_rms / level if level > 0 else 1.0
    if cutoff_hz is not None and not isinstance(cutoff_hz, str):
        estimate = CutoffEstimate("band-limited", cutoff_hz, 1.0)
        extend_from_hz, warning = decide(info, estimate, level, sample_rate, rate_out)
        return Plan(
            rate_out, estimate, extend_from_hz, gain, warning, model=info.name, speech=speech
        )
    overall = start.estimator.estimate()
    if cutoff_hz == GUESS and overall.guess_hz is not None:
        overall = replace(overall, verdict="band-limited", cutoff_hz=overall.guess_hz)
    stretches = finder.stretches(overall)
    # The one that has the most to gain: the longest of those that are extended at all.
    decisions = [decide(info, s.cutoff, level, sample_rate, rate_out) for s in stretches]
    gains = [
        (from_hz is not None, (s.end_s - s.start_s) * len(s.channels))
        for s, (from_hz, _) in zip(stretches, decisions, strict=True)
    ]
    most = gains.index(max(gains))
    return Plan(
        rate_out,
        stretches[most].cutoff,
        decisions[most][0],
        gain,
        decisions[most][1],
        stretches,
        info.name,
        speech,
    )


class _Start:
    """What the start of a recording says: where its band ends, its level, and what it is."""

    def __init__(self, sample_rate: int, gain: float = 1.0) -> None:
        self.estimator, self._meter = CutoffEstimator(sample_rate), LevelMeter(sample_rate)
        self._gain = np.float32(gain)
        self.analysed = 0
        self._kept = round(LONGEST_S * sample_rate)
        self._heard: list[FloatArray] = []

    def push(self, block: FloatArray, *, estimate: bool) -> None:
        """Take what is audible."""
        self._meter.push(block)
        if estimate:
            self.estimator.push(self._gain * block if self._gain != 1 else block)
        if self.analysed < self._kept:
            self._heard.append(block.mean(axis=0))
        self.analysed += block.shape[1]

    def heard(self) -> FloatArray:
        """Return the channels' mean ``[samples]``, as far as it tells speech from music."""
        return np.concatenate([np.zeros(0, np.float32), *self._heard])

    def level(self) -> float:
        """RMS of what sounds, 0 for silence."""
        return self._meter.active_rms()


def decide(
    info: ModelInfo, estimate: CutoffEstimate, level: float, sample_rate: int, rate_out: int
) -> tuple[float | None, str]:
    """Where to extend from, or None and the reason not to."""
    if level == 0:
        return None, SILENT
    nyquist_hz = sample_rate / 2
    if estimate.cutoff_hz is None and not has_low_rate(sample_rate, rate_out):
        seen = f" (it {estimate.seen})" if estimate.seen else ""
        guess = f', a frequency or "{GUESS}",' if estimate.guess_hz else ""
        return None, f"unsure where the band ends{seen}; give cutoff_hz{guess} to extend it"
    # A low-rate file ends at its Nyquist frequency at the latest, whatever is in it.
    from_hz = nyquist_hz if estimate.cutoff_hz is None else estimate.cutoff_hz
    return extension(info, min(from_hz, nyquist_hz), rate_out)


def extension(info: ModelInfo, cutoff_hz: float, rate_out: int) -> tuple[float | None, str]:
    """Where a recording that ends at ``cutoff_hz`` is extended from, and a warning.

    None where the model has nothing to add; the warning says why.
    """
    if cutoff_hz >= min(FULL_BAND_HZ, rate_out / 2):
        return None, "full band already"
    if cutoff_hz >= info.sample_rate / 2:
        top_hz = info.sample_rate / 2
        return None, f"ends at {cutoff_hz:.0f} Hz, and this model fills up to {top_hz:.0f} Hz only"
    if cutoff_hz < 0.5 * info.min_cutoff_hz:
        return None, f"ends at {cutoff_hz:.0f} Hz, too low for this model"
    return cutoff_hz, info.warning(cutoff_hz)


def block_frames(channels: int, sample_rate: int, output_rate: int | None) -> int:
    """How much of a recording is done at once: a second, less where that takes too much memory.

    A sample in a network takes as much as several on the way to it.
    """
    values = max(sample_rate, output_rate or 0) + VALUES_IN_MODEL * HIGHEST_MODEL_RATE
    bounded = MAX_BLOCK_VALUES * sample_rate // (values * channels)
    return max(1, min(round(BLOCK_S * sample_rate), bounded))


def default_output_rate(sample_rate: int) -> int:
    """The recording's own rate from 44.1 kHz up; else 44.1 or 48 kHz, whichever it divides."""
    if sample_rate >= 44_100:
        return sample_rate
    return 44_100 if 44_100 % sample_rate == 0 else 48_000


def has_low_rate(sample_rate: int, rate_out: int) -> bool:
    """Tell whether a recording of this rate lacks its high band, whatever is in it."""
    return sample_rate / 2 < min(FULL_BAND_HZ, rate_out / 2)


def is_audible(block: FloatArray, least_rms: float = AUDIBLE_RMS) -> bool:
    """Tell whether ``[channels, n]`` says anything about cutoff and level."""
    return bool(block.size and np.sqrt(np.mean(block**2)) > least_rms)


def as_blocks(samples: ArrayLike | Iterable[FloatArray], sample_rate: int) -> Iterable[FloatArray]:
    """Return blocks ``[channels, n]``, which may come one after another, or from one array."""
    if isinstance(samples, Iterator):
        return samples
    if isinstance(samples, list | tuple) and samples and np.ndim(samples[0]) == 2:
        return cast("Sequence[FloatArray]", samples)
    return split(as_recording(cast("ArrayLike", samples)), sample_rate)


def split(channels: FloatArray, sample_rate: int) -> Iterator[FloatArray]:
    """Cut ``[channels, samples]`` into blocks of a second, the last one shorter."""
    step = max(1, round(BLOCK_S * sample_rate))
    for start in range(0, channels.shape[1], step):
        yield channels[:, start : start + step]
