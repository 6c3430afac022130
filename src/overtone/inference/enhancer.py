"""The enhancer: arrays and files in, arrays and files out."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.audio.formats import AudioInfo, same_format
from overtone.audio.reader import AudioReader, name_of
from overtone.audio.video import VIDEO_FORMATS, VideoWriter
from overtone.audio.writer import AudioWriter, copy_audio
from overtone.dsp.bandwidth import CutoffEstimate
from overtone.dsp.resample import StreamResampler
from overtone.files import temporary_folder
from overtone.inference import hub
from overtone.inference.blend import BlendedModel
from overtone.inference.checks import (
    Times,
    as_recording,
    check_channels,
    check_loudness,
    check_strength,
    checked_fidelity,
    checked_times,
    whole_rate,
)
from overtone.inference.family import Model
from overtone.inference.levelling import Leveller
from overtone.inference.model import MUSIC_MODEL, load_model, model_path, read_info
from overtone.inference.pipeline import EnhanceStream
from overtone.inference.planning import (
    Plan,
    as_blocks,
    block_frames,
    decide,
    plan_recording,
    split,
)
from overtone.inference.reports import Enhanced, EnhanceReport
from overtone.inference.selection import (
    Kept,
    plan_parts,
    selected_stream,
    summary,
)
from overtone.inference.sound import Sound
from overtone.inference.switching import Stream, SwitchingStream

FloatArray = NDArray[np.float32]

logger = logging.getLogger(__name__)

# 40 dB over full scale is no recording, but integers that someone stored as floats.
OVERSCALED = 100.0


class Enhancer:
    """Restores what recordings lost above their cutoff, and keeps what they have below it.

    Args:
        model: a name that :func:`overtone.list_models` gives, or the path of a model. ``auto``
            is ``music`` for what is clearly music, and ``speech`` for all else.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: of the network; None takes all cores.
        fidelity: 0 is the best perceptual quality; 1 is the least distortion of the waveform, a
            high band that shrinks where its phase cannot be told. None is the default, 0, and
            the only answer of a waveform model.
        strength_db: how much louder than predicted the new high band is; below 0 it is tamed.

    A copy, or what another process gets by pickle, loads the model anew.

    Raises:
        ModelError: there is no such model, or it cannot be used.
        InvalidInputError: ``device``, ``threads``, ``fidelity`` or ``strength_db`` is not a
            possible value.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "auto",
        *,
        device: str = "auto",
        threads: int | None = None,
        fidelity: float | None = None,
        strength_db: float = 0.0,
    ) -> None:
        self._made_by = partial(
            type(self),
            model,
            device=device,
            threads=threads,
            fidelity=fidelity,
            strength_db=strength_db,
        )
        self._load = partial(load_model, device=device, threads=threads)
        self.strength_db = strength_db
        self.model = self._ready(model, fidelity)
        self.fidelity = checked_fidelity(self.model.info, fidelity)
        self._music = read_info(model_path(MUSIC_MODEL)) if model == "auto" else None

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        **options: Any,
    ) -> Self:
        """Return an enhancer with a model of a folder, or of the Hugging Face Hub.

        Args:
            name: a folder that :meth:`save_pretrained` wrote, or ``owner/name`` on the hub, which
                needs the extra ``hub``; shipped names and model files do as well.
            revision: a branch, tag or commit on the hub.
            cache_dir: and ``local_files_only``: as ``huggingface_hub`` has them. With
                ``HF_HUB_OFFLINE=1`` in the environment only the cache is looked at.
            options: those of :class:`Enhancer`.

        Raises:
            ModelError: there is no such model, or its file is not whole.
        """
        if not hub.is_hub_name(os.fspath(name)):
            return cls(name, **options)
        path = hub.from_hub(
            os.fspath(name),
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        return cls(path, **options)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the model into ``folder`` as :meth:`from_pretrained` reads it (extra ``hub``).

        ``model.onnx``, ``config.json``, ``model.safetensors`` and a card, ``README.md``.
        """
        hub.save_pretrained(self.model.path, self.model.info, folder)

    def push_to_hub(self, name: str, **options: Any) -> str:
        """Upload the model as ``owner/name``; return its address.

        ``options`` are those of ``huggingface_hub.HfApi.upload_folder``, which finds the token
        where ``hf auth login`` left it.
        """
        with temporary_folder() as folder:
            self.save_pretrained(folder)
            return hub.push_to_hub(folder, name, **options)

    def _ready(self, name: str | os.PathLike[str], fidelity: float | None) -> Model:
        """Load a model, with its companion as far as the fidelity asks for one."""
        model = self._load(name)
        wanted = checked_fidelity(model.info, fidelity)
        check_strength(model.info, self.strength_db)
        companion = model.info.companion
        if wanted and companion:
            return BlendedModel(model, self._load(companion), wanted)
        return model

    @cached_property
    def _music_model(self) -> Model:
        return self._ready(MUSIC_MODEL, self.fidelity)

    def model_for(self, plan: Plan) -> Model:
        """Return the model that a plan names."""
        music = self._music is not None and plan.model == self._music.name
        return self._music_model if music else self.model

    def __reduce__(self) -> tuple[Any, ...]:
        return self._made_by, ()

    def enhance(
        self,
        samples: ArrayLike,
        sample_rate: float,
        *,
        output_rate: float | None = None,
        cutoff_hz: float | str | None = None,
    ) -> Enhanced:
        """Enhance an array.

        Args:
            samples: ``[samples]`` or ``[channels, samples]``; float with full scale 1, or any
                integer type with its own full scale.
            sample_rate: in Hz, a whole number from 1 kHz to 384 kHz.
            output_rate: in Hz; None keeps the rate from 44.1 kHz up, and gives 48 kHz (44.1 kHz
                for its divisors) to lower ones.
            cutoff_hz: where the recording's real band ends; None finds it, and ``"guess"`` also
                acts on the best guess where it cannot be told.

        Returns:
            The pair of float32 samples, of the same shape but for the length, which is the input's
            times ``output_rate / sample_rate`` rounded half up, and the output rate. Its
            ``report`` says what was found and done: a recording that has its full band already,
            is silent, or whose cutoff cannot be told, comes back unchanged (resampled if need be).

        Raises:
            InvalidInputError: the shape, a value, a rate or the cutoff cannot be used.
        """
        begun = time.perf_counter()
        rate, channels = whole_rate(sample_rate), as_recording(samples)
        plan = self.plan(channels, rate, output_rate=output_rate, cutoff_hz=cutoff_hz)
        stream = self.stream(rate, len(channels), plan)
        out = np.concatenate(list(_run(split(channels, rate), stream)), 1)
        report = self._report(
            plan,
            rate,
            channels.shape,
            begun,
            cutoff_given=cutoff_hz is not None and not isinstance(cutoff_hz, str),
            action="returned",
        )
        return Enhanced(out[0] if np.ndim(samples) == 1 else out, plan.output_rate, report)

    def enhance_file(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        destination: str | os.PathLike[str] | BinaryIO,
        *,
        output_rate: float | None = None,
        cutoff_hz: float | str | None = None,
        subtype: str | None = None,
        overwrite: bool = False,
        tags: bool = True,
        file_format: str = "wav",
        copy_to: str | os.PathLike[str] | None = None,
        skip_unchanged: bool = False,
        select: Times = (),
        target_lufs: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> EnhanceReport:
        """Enhance a file of any length in bounded memory; arguments as in :meth:`enhance`.

        The file is analysed first (its first 45 s of sound), then read again and written
        block by block. ``subtype`` is the sample format, such as ``PCM_16``; None keeps the
        source's where the destination can hold it. Tags, cover art, cue points and the like are
        carried over unless ``tags`` is off. ``progress`` is called with 0..1. Both may be binary
        file objects; ``file_format``, such as ``flac``, is then what is written.

        Where there is nothing to do, and neither another rate nor another format is asked for, the
        file is copied bit for bit, or nothing written if ``skip_unchanged``. ``copy_to`` is where
        the copy goes if ``destination``, whose format then does not matter, was nobody's wish.

        ``select`` lists ``(start, end)`` in seconds, ``math.inf`` for the file's end: only these
        parts are enhanced, each by what is found in it. Outside, a lossless output of the same rate
        has the source's samples, bit for bit; of another rate, the source resampled.

        ``target_lufs`` brings the output to a loudness (ITU-R BS.1770), by one gain for all of it,
        as far as its true peak stays at or below -1 dBTP.

        The extension of a film (.mp4, .mov, .mkv, .webm) keeps the pictures of the source as they
        are and replaces its sound.

        Raises:
            AudioFileError: ``source`` cannot be read or ``destination`` not written; nothing is
                left behind then.
            InvalidInputError: a rate or the cutoff cannot be used.
        """
        begun = time.perf_counter()
        times = checked_times(select)
        check_loudness(target_lufs, times)
        with AudioReader(source) as reader:
            info = reader.info
            rate = whole_rate(info.sample_rate, f"{reader.path}: sample rate")
            channels = info.channels
            check_channels(channels, name=str(reader.path))
            wanted_rate = None if output_rate is None else whole_rate(output_rate)
            at_once = block_frames(channels, rate, wanted_rate)
            planned = partial(
                self.plan, sample_rate=rate, output_rate=output_rate, cutoff_hz=cutoff_hz
            )
            sound = Sound(reader, at_once, progress)
            parts = plan_parts(times, rate, sound.blocks, planned, str(reader.path))
            plan = summary(parts, rate) if parts else planned(sound.analysed())
            logger.info("%s: %s; %s", reader.path, info, plan)
            leveller = target_lufs is not None and Leveller(target_lufs, plan.output_rate, channels)
            written_to, action, clipped, lossy = "", "written", 0, ""
            left: tuple[str, ...] = ()
            untouched = plan.extend_from_hz is None and plan.output_rate == rate
            untouched = untouched and tags and not leveller
            copy = _copy_path(info, source, destination, copy_to, subtype) if untouched else None
            if copy is not None:
                for _ in sound.enhanced():  # so that a damaged file is no less an error
                    pass
                action = "skipped" if skip_unchanged else "copied"
                if not skip_unchanged:
                    copy_audio(reader.path, copy, overwrite=overwrite)
                    written_to = str(copy)
            else:
                with self._writer(
                    reader,
                    destination,
                    plan,
                    subtype=subtype,
                    overwrite=overwrite,
                    tags=tags,
                    file_format=file_format,
                ) as writer:
                    kept = Kept(parts, channels) if parts and plan.output_rate == rate else None
                    stream = (
                        selected_stream(parts, rate, channels, self.stream)
                        if parts
                        else self.stream(rate, channels, plan)
                    )
                    whole = _run(sound.enhanced(kept), stream)
                    for out in leveller.levelled(whole) if leveller else whole:
                        writer.write(kept.restored(out) if kept else out)
                clipped, left = writer.clipped_samples, writer.left_behind
                if parts and (isinstance(writer, VideoWriter) or not writer.is_lossless):
                    lossy = "a lossy format changes the rest a little, too"
                written_to = str(_name(destination))
        warnings = (
            plan.warning,
            _overscaled(reader.peak),
            reader.doubt,
            lossy,
            leveller.warning if leveller else "",
        )
        plan = replace(plan, warning="; ".join(filter(None, warnings)))
        return self._report(
            plan,
            rate,
            (channels, sound.frames),
            begun,
            cutoff_given=cutoff_hz is not None and not isinstance(cutoff_hz, str),
            source=str(reader.path),
            destination=written_to,
            clipped_samples=clipped,
            left_behind=left,
            action=action,
            selected=tuple(times),
            lufs=leveller.lufs if leveller and math.isfinite(leveller.lufs) else None,
        )

    def _report(
        self,
        plan: Plan,
        sample_rate: int,
        shape: tuple[int, ...],
        begun: float,
        *,
        source: str = "",
        destination: str = "",
        clipped_samples: int = 0,
        **others: Any,
    ) -> EnhanceReport:
        channels, frames = shape
        return EnhanceReport(
            source=source,
            destination=destination,
            input_rate=sample_rate,
            output_rate=plan.output_rate,
            channels=channels,
            duration_s=frames / sample_rate,
            cutoff=plan.cutoff,
            model=plan.model,
            speech=plan.speech,
            seconds=time.perf_counter() - begun,
            clipped_samples=clipped_samples,
            changed=plan.extend_from_hz is not None,
            warning=plan.warning,
            stretches=plan.stretches,
            **others,
        )

    def _writer(
        self,
        reader: AudioReader,
        destination: str | os.PathLike[str] | BinaryIO,
        plan: Plan,
        *,
        subtype: str | None,
        overwrite: bool,
        tags: bool,
        file_format: str,
    ) -> AudioWriter | VideoWriter:
        channels = reader.info.channels
        if isinstance(destination, (str, os.PathLike)):
            path = Path(destination)
            if path.suffix.lower() in VIDEO_FORMATS:
                return VideoWriter(
                    path, reader.path, plan.output_rate, channels, overwrite=overwrite, tags=tags
                )
        return AudioWriter(
            destination,
            plan.output_rate,
            channels,
            subtype=subtype,
            like=_at_least_16_bits(reader.info),
            overwrite=overwrite,
            carried=reader.carried() if tags else None,
            file_format=file_format,
        )

    def plan(
        self,
        samples: ArrayLike | Iterable[FloatArray],
        sample_rate: float,
        *,
        output_rate: float | None = None,
        cutoff_hz: float | str | None = None,
    ) -> Plan:
        """Analyse the start of a recording and decide what to do with it.

        ``samples`` is an array as in :meth:`enhance`, or blocks ``[channels, n]`` one after
        another, of which no more are taken than needed.

        Raises:
            InvalidInputError: as :meth:`enhance`.
        """
        rate = whole_rate(sample_rate)
        given = None if output_rate is None else whole_rate(output_rate, "output rate")
        blocks = as_blocks(samples, rate)
        return plan_recording(
            self.model.info,
            blocks,
            rate,
            output_rate=given,
            cutoff_hz=cutoff_hz,
            music=self._music,
        )

    def stream(self, sample_rate: int, channels: int, plan: Plan) -> Stream:
        """Start the stream that does what ``plan`` says, block by block."""
        if len(plan.stretches) < 2:
            return self._extend(sample_rate, channels, plan, plan.extend_from_hz, plan.cutoff)
        switching = SwitchingStream(sample_rate, plan.output_rate, channels)
        last_s = max(stretch.end_s for stretch in plan.stretches)
        for stretch in plan.stretches:
            begin = partial(self.band, sample_rate, plan, len(stretch.channels), stretch.cutoff)
            start, end = (round(at * sample_rate) for at in (stretch.start_s, stretch.end_s))
            switching.add(
                begin, stretch.channels, start, math.inf if stretch.end_s == last_s else end
            )
        return switching

    def band(self, sample_rate: int, plan: Plan, channels: int, cutoff: CutoffEstimate) -> Stream:
        """Start a stream of one bandwidth, that of one stretch of the plan's recording."""
        from_hz, _ = decide(self.model_for(plan).info, cutoff, 1.0, sample_rate, plan.output_rate)
        return self._extend(sample_rate, channels, plan, from_hz, cutoff)

    def _extend(
        self,
        sample_rate: int,
        channels: int,
        plan: Plan,
        extend_from_hz: float | None,
        cutoff: CutoffEstimate,
    ) -> Stream:
        if extend_from_hz is None:
            return StreamResampler(sample_rate, plan.output_rate, channels)
        return EnhanceStream(
            self.model_for(plan),
            sample_rate,
            plan.output_rate,
            channels,
            extend_from_hz,
            plan.gain,
            transition=cutoff.transition,
            fidelity=self.fidelity,
            strength_db=self.strength_db,
            lines_hz=cutoff.lines_hz,
        )


def enhance(
    samples: ArrayLike,
    sample_rate: float,
    *,
    output_rate: float | None = None,
    cutoff_hz: float | str | None = None,
    model: str | os.PathLike[str] = "auto",
    device: str = "auto",
    fidelity: float | None = None,
    strength_db: float = 0.0,
) -> Enhanced:
    """Enhance an array with one call; see :class:`Enhancer` and :meth:`Enhancer.enhance`.

    Make an :class:`Enhancer` to do many: it loads the model once.

    Example:
        >>> samples, sample_rate = enhance(np.zeros((2, 8000)), 8000)
        >>> samples.shape, sample_rate
        ((2, 48000), 48000)
    """
    enhancer = Enhancer(model, device=device, fidelity=fidelity, strength_db=strength_db)
    return enhancer.enhance(samples, sample_rate, output_rate=output_rate, cutoff_hz=cutoff_hz)


def _run(blocks: Iterable[FloatArray], stream: Stream) -> Iterator[FloatArray]:
    for block in blocks:
        yield stream.push(block)
    yield stream.flush()


def _overscaled(peak: float) -> str:
    """Say so where floats cannot have full scale at 1."""
    if peak < OVERSCALED:
        return ""
    return f"its floats reach {peak:.0f} times full scale: integers, to be divided first?"


def _copy_path(
    info: AudioInfo,
    source: str | os.PathLike[str] | BinaryIO,
    destination: str | os.PathLike[str] | BinaryIO,
    copy_to: str | os.PathLike[str] | None,
    subtype: str | None,
) -> Path | None:
    """Return where a file with nothing to do is copied, None if it has to be written anew."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    if copy_to is not None:
        return Path(copy_to) if subtype in (None, info.subtype) else None
    if not isinstance(destination, (str, os.PathLike)):
        return None
    path = Path(destination)
    suffix = path.suffix.lower()
    same_film = suffix in VIDEO_FORMATS and info.path.suffix.lower() == suffix
    return path if same_film or same_format(info, path, subtype) else None


def _name(file: str | os.PathLike[str] | BinaryIO) -> Path:
    return Path(file) if isinstance(file, (str, os.PathLike)) else name_of(file)


def _at_least_16_bits(info: AudioInfo) -> AudioInfo:
    """The source's format to keep, except that 8 bits would drown the high band in their noise."""
    return replace(info, subtype="PCM_16") if info.subtype in ("PCM_U8", "PCM_S8") else info
