"""The enhancer: arrays and files in, arrays and files out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.audio.files import AudioInfo, AudioReader, AudioWriter
from overtone.dsp.bandwidth import CutoffEstimate, CutoffEstimator
from overtone.dsp.level import LevelMeter
from overtone.dsp.resample import StreamResampler
from overtone.errors import InvalidInputError
from overtone.inference.info import ModelInfo
from overtone.inference.model import load_model
from overtone.inference.stream import EnhanceStream

FloatArray = NDArray[np.float32]

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 384_000
BLOCK_S = 1.0
# How much sound is listened to before the cutoff and the level are decided. Blocks under
# -80 dBFS say nothing about either.
LISTEN_S = 45.0
AUDIBLE_RMS = 1e-4
# The natural end: there ViSQOL is highest, and held-out LSD as low as anywhere (docs/quality.md).
DEFAULT_FIDELITY = 0.0
# A recording that reaches this far has its top: few adults hear more, and most good coded files
# (Vorbis, Opus, MP3 from 160 kbit/s up) end above it, where nothing is to be gained.
FULL_BAND_HZ = 18_000.0


@dataclass(frozen=True)
class Plan:
    """What will be done to a recording, decided before its first output sample.

    ``cutoff`` is where the band ends and how sure that is; ``extend_from_hz`` is None where the
    recording is only resampled or copied, and ``note`` says why. Where it is extended, ``note``
    says if the model was made for other recordings.
    """

    output_rate: int
    cutoff: CutoffEstimate
    extend_from_hz: float | None
    gain: float
    note: str = ""


@dataclass(frozen=True)
class FileReport:
    """What was done to one file. ``seconds`` is wall time; ``changed`` is False for a copy."""

    source: str
    destination: str
    input_rate: int
    output_rate: int
    channels: int
    duration_s: float
    cutoff: CutoffEstimate
    cutoff_given: bool
    model: str
    seconds: float
    clipped_samples: int
    changed: bool
    note: str = ""

    @property
    def realtime_factor(self) -> float:
        """Seconds of audio done in a second."""
        return self.duration_s / max(self.seconds, 1e-9)


def default_output_rate(sample_rate: int) -> int:
    """The recording's own rate from 44.1 kHz up; else 44.1 or 48 kHz, whichever it divides."""
    if sample_rate >= 44_100:
        return sample_rate
    return 44_100 if 44_100 % sample_rate == 0 else 48_000


def extension(info: ModelInfo, cutoff_hz: float, rate_out: int) -> tuple[float | None, str]:
    """Where a recording that ends at ``cutoff_hz`` is extended from, and a remark.

    None where the model has nothing to add; the remark says why.
    """
    if cutoff_hz >= min(FULL_BAND_HZ, rate_out / 2):
        return None, "full band already"
    if cutoff_hz >= info.sample_rate / 2:
        top_hz = info.sample_rate / 2
        return None, f"ends at {cutoff_hz:.0f} Hz, and this model fills up to {top_hz:.0f} Hz only"
    if cutoff_hz < 0.5 * info.min_cutoff_hz:
        return None, f"ends at {cutoff_hz:.0f} Hz, too low for this model"
    return cutoff_hz, info.remark(cutoff_hz)


class Enhancer:
    """Fills in what recordings lost above their cutoff, and keeps what they have below it.

    Args:
        model: ``auto``, a name that :func:`overtone.list_models` gives, or the path of a model.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: of the network; None takes all cores.
        fidelity: 0 is the most natural sound; 1 is the least error of the waveform, a top that
            shrinks where its phase cannot be told. None is the default, 0, and the only answer of
            a waveform model.

    Raises:
        ModelError: there is no such model, or it cannot be used.
        InvalidInputError: ``device``, ``threads`` or ``fidelity`` is not a possible value.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "auto",
        *,
        device: str = "auto",
        threads: int | None = None,
        fidelity: float | None = None,
    ) -> None:
        self.model = load_model(model, device=device, threads=threads)
        self.fidelity = checked_fidelity(self.model.info, fidelity)

    def enhance(
        self,
        samples: ArrayLike,
        sample_rate: int,
        *,
        output_rate: int | None = None,
        cutoff_hz: float | None = None,
    ) -> tuple[FloatArray, int]:
        """Enhance an array.

        Args:
            samples: ``[samples]`` or ``[channels, samples]``; float with full scale 1, or any
                integer type with its own full scale.
            sample_rate: in Hz, 1 kHz to 384 kHz.
            output_rate: in Hz; None keeps the rate from 44.1 kHz up, and gives 48 kHz (44.1 kHz
                for its divisors) to lower ones.
            cutoff_hz: where the recording's real band ends; None finds it.

        Returns:
            float32 samples of the same shape but for the length, which is the input's times
            ``output_rate / sample_rate`` rounded half up, and the output rate. A recording that
            has its full band already, is silent, or whose cutoff cannot be told, comes back
            unchanged (resampled if need be); :meth:`plan` says which.

        Raises:
            InvalidInputError: the shape, a value, a rate or the cutoff cannot be used.
        """
        channels = as_channels(samples)
        check_rates(sample_rate, output_rate)
        plan = self.plan(
            _slices(channels, sample_rate),
            sample_rate,
            output_rate=output_rate,
            cutoff_hz=cutoff_hz,
        )
        blocks = list(self._run(_slices(channels, sample_rate), sample_rate, len(channels), plan))
        out = np.concatenate([np.zeros((len(channels), 0), np.float32), *blocks], axis=1)
        return (out[0] if np.ndim(samples) == 1 else out), plan.output_rate

    def enhance_file(
        self,
        source: str | os.PathLike[str],
        destination: str | os.PathLike[str],
        *,
        output_rate: int | None = None,
        cutoff_hz: float | None = None,
        subtype: str | None = None,
        overwrite: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> FileReport:
        """Enhance a file of any length in bounded memory; arguments as in :meth:`enhance`.

        The file is listened to first (its first 45 s of sound), then read again and written
        block by block. ``subtype`` is the sample format, such as ``PCM_16``; None keeps the
        source's where the destination can hold it. ``progress`` is called with 0..1.

        Raises:
            AudioFileError: ``source`` cannot be read or ``destination`` not written; nothing is
                left behind then.
            InvalidInputError: a rate or the cutoff cannot be used.
        """
        begun = time.perf_counter()
        with AudioReader(source) as reader:
            info = reader.info
            rate, channels = info.sample_rate, info.channels
            check_rates(rate, output_rate, name=str(source))
            block_frames = max(1, round(BLOCK_S * rate))
            plan = self.plan(
                reader.blocks(block_frames), rate, output_rate=output_rate, cutoff_hz=cutoff_hz
            )
            frames = 0

            def counted() -> Iterator[FloatArray]:
                nonlocal frames
                for block in reader.blocks(block_frames):
                    frames += block.shape[1]
                    yield block
                    if progress and info.frames:
                        progress(min(1.0, frames / info.frames))

            with AudioWriter(
                Path(destination),
                plan.output_rate,
                channels,
                subtype=subtype,
                like=_room_for_the_top(info),
                overwrite=overwrite,
            ) as writer:
                for out in self._run(counted(), rate, channels, plan):
                    writer.write(out)
        return FileReport(
            source=str(source),
            destination=str(destination),
            input_rate=rate,
            output_rate=plan.output_rate,
            channels=channels,
            duration_s=frames / rate,
            cutoff=plan.cutoff,
            cutoff_given=cutoff_hz is not None,
            model=self.model.info.name,
            seconds=time.perf_counter() - begun,
            clipped_samples=writer.clipped_samples,
            changed=plan.extend_from_hz is not None,
            note=plan.note,
        )

    def plan(
        self,
        blocks: Iterable[FloatArray],
        sample_rate: int,
        *,
        output_rate: int | None = None,
        cutoff_hz: float | None = None,
    ) -> Plan:
        """Listen to the start of a recording and decide what to do with it.

        ``blocks`` are ``[channels, n]``; no more of them are taken than needed.
        """
        nyquist_hz = sample_rate / 2
        if cutoff_hz is not None and not 0 < cutoff_hz <= nyquist_hz:
            raise InvalidInputError(
                f"cutoff {cutoff_hz:g} Hz: must be above 0 and at most half the sample rate,"
                f" {nyquist_hz:g} Hz"
            )
        rate_out = output_rate or default_output_rate(sample_rate)
        estimator, meter = CutoffEstimator(sample_rate), LevelMeter(sample_rate)
        heard = 0
        for block in blocks:
            if block.size and np.sqrt(np.mean(block**2)) > AUDIBLE_RMS:
                meter.push(block)
                if cutoff_hz is None:
                    estimator.push(block)
                heard += block.shape[1]
            if heard >= LISTEN_S * sample_rate:
                break
        level = meter.active_rms()
        if cutoff_hz is not None:
            estimate = CutoffEstimate("band-limited", cutoff_hz, 1.0)
        else:
            estimate = estimator.estimate()
        extend_from_hz, note = self._decide(estimate, level, nyquist_hz, rate_out)
        gain = self.model.info.level_rms / level if level > 0 else 1.0
        return Plan(rate_out, estimate, extend_from_hz, gain, note)

    def _decide(
        self, estimate: CutoffEstimate, level: float, nyquist_hz: float, rate_out: int
    ) -> tuple[float | None, str]:
        """Where to extend from, or None and the reason not to."""
        if level == 0:
            return None, "silent"
        low_rate = nyquist_hz < min(FULL_BAND_HZ, rate_out / 2)
        if estimate.cutoff_hz is None and not low_rate:
            return None, "unsure where the band ends; give --cutoff to extend it"
        # A low-rate file ends at its Nyquist frequency at the latest, whatever is in it.
        from_hz = nyquist_hz if estimate.cutoff_hz is None else estimate.cutoff_hz
        return extension(self.model.info, min(from_hz, nyquist_hz), rate_out)

    def stream(
        self, sample_rate: int, channels: int, plan: Plan
    ) -> EnhanceStream | StreamResampler:
        """Start the stream that does what ``plan`` says, block by block."""
        if plan.extend_from_hz is None:
            return StreamResampler(sample_rate, plan.output_rate, channels)
        return EnhanceStream(
            self.model,
            sample_rate,
            plan.output_rate,
            channels,
            plan.extend_from_hz,
            plan.gain,
            slope=plan.cutoff.slope,
            fidelity=self.fidelity,
        )

    def _run(
        self, blocks: Iterable[FloatArray], sample_rate: int, channels: int, plan: Plan
    ) -> Iterator[FloatArray]:
        stream = self.stream(sample_rate, channels, plan)
        for block in blocks:
            yield stream.push(block)
        yield stream.flush()


def enhance(
    samples: ArrayLike,
    sample_rate: int,
    *,
    output_rate: int | None = None,
    cutoff_hz: float | None = None,
    model: str | os.PathLike[str] = "auto",
    device: str = "auto",
    fidelity: float | None = None,
) -> tuple[FloatArray, int]:
    """Enhance an array with one call; see :class:`Enhancer` and :meth:`Enhancer.enhance`.

    Make an :class:`Enhancer` to do many: it loads the model once.
    """
    enhancer = Enhancer(model, device=device, fidelity=fidelity)
    return enhancer.enhance(samples, sample_rate, output_rate=output_rate, cutoff_hz=cutoff_hz)


def checked_fidelity(info: ModelInfo, fidelity: float | None) -> float:
    """The fidelity that a model is asked for, 0 to 1; None is the default.

    Raises InvalidInputError for one out of range, or for a model that knows one answer only.
    """
    if fidelity is None:
        return DEFAULT_FIDELITY if info.has_fidelity else 0.0
    if not 0 <= fidelity <= 1:
        raise InvalidInputError(f"fidelity must be within 0 to 1, not {fidelity:g}")
    if not info.has_fidelity:
        raise InvalidInputError(
            f"model {info.name!r} gives one answer and knows no fidelity: leave it out, or use"
            " another model"
        )
    return fidelity


def check_rates(sample_rate: int, output_rate: int | None, name: str = "") -> None:
    """Refuse rates outside 1 kHz to 384 kHz."""
    for what, rate in (("sample rate", sample_rate), ("output rate", output_rate)):
        if rate is not None and (rate != int(rate) or not MIN_RATE_HZ <= rate <= MAX_RATE_HZ):
            prefix = f"{name}: " if name else ""
            raise InvalidInputError(
                f"{prefix}{what} {rate} Hz; it must be a whole number from {MIN_RATE_HZ} to"
                f" {MAX_RATE_HZ}"
            )


def _room_for_the_top(info: AudioInfo) -> AudioInfo:
    """The source's format to keep, except that 8 bits would drown what is added in their noise."""
    return replace(info, subtype="PCM_16") if info.subtype in ("PCM_U8", "PCM_S8") else info


def as_channels(samples: ArrayLike) -> FloatArray:
    """``[channels, samples]`` float32 with full scale 1."""
    array = np.asarray(samples)
    if array.ndim not in (1, 2):
        raise InvalidInputError(
            f"samples have shape {array.shape}; give [samples] or [channels, samples]"
        )
    if array.ndim == 2 and not 1 <= array.shape[0] <= 64:
        raise InvalidInputError(
            f"samples have shape {array.shape}, that is {array.shape[0]} channels; give"
            " [channels, samples], channels first"
        )
    if np.issubdtype(array.dtype, np.signedinteger):
        array = array.astype(np.float64) / -float(np.iinfo(array.dtype).min)
    elif array.dtype == np.uint8:
        array = (array.astype(np.float64) - 128) / 128
    elif not np.issubdtype(array.dtype, np.floating):
        raise InvalidInputError(f"samples are of type {array.dtype}; give floats or integers")
    if not np.isfinite(array).all():
        raise InvalidInputError("samples hold NaN or infinite values; repair them first")
    return np.atleast_2d(array).astype(np.float32)


def _slices(channels: FloatArray, sample_rate: int) -> Iterator[FloatArray]:
    step = max(1, round(BLOCK_S * sample_rate))
    for start in range(0, channels.shape[1], step):
        yield channels[:, start : start + step]
