"""From the microphone to the loudspeaker (extra ``live``: sounddevice, which binds PortAudio)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone.errors import InvalidInputError, MissingExtraError, OvertoneError
from overtone.inference.streaming import StreamEnhancer

# The meters fall this slowly, so that an eye can follow.
METER_FALL_S = 0.5


@dataclass(frozen=True)
class Meter:
    """What a block was like.

    ``level_dbfs`` is the input's RMS, ``load`` the part of a block's time that its enhancing took
    (1 is too slow), both falling slowly. ``dropouts`` counts the blocks that came too late so far.
    """

    seconds: float
    level_dbfs: float
    load: float
    dropouts: int


def import_sounddevice() -> Any:
    """Return the module sounddevice.

    Raises:
        MissingExtraError: it is not installed.
        OvertoneError: the PortAudio library that it binds is not.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtraError("overtone live", "live") from error
    except OSError as error:  # what sounddevice raises without PortAudio
        raise OvertoneError(
            "the PortAudio library is missing; install it (Debian and Ubuntu: apt install"
            " libportaudio2)"
        ) from error
    return sounddevice


def describe_devices() -> str:
    """Return one line for each audio device: its number, name and channels."""
    sounddevice = import_sounddevice()
    return str(sounddevice.query_devices()) or "no audio devices"


def run_duplex(
    enhancer: StreamEnhancer,
    *,
    block_ms: float = 10.0,
    input_device: int | str | None = None,
    output_device: int | str | None = None,
    on_block: Callable[[Meter], None] = lambda _: None,
) -> None:
    """Enhance from the input device to the output device until interrupted.

    Both run at the enhancer's input rate, which must be its output rate too. The output comes
    ``enhancer.latency_s`` later than what is said, and what the devices hold back in addition.

    Raises:
        InvalidInputError: the enhancer changes the rate, its model does not run live, or the
            devices cannot run so.
        MissingExtraError, OvertoneError: sounddevice or PortAudio is missing, or a device went.
    """
    rate = enhancer.sample_rate
    if enhancer.output_rate != rate:
        raise InvalidInputError(
            f"live, both devices run at one rate, not {rate} and {enhancer.output_rate} Hz"
        )
    if not enhancer.info.runs_live:
        raise InvalidInputError(
            f"model {enhancer.info.name!r} computes its output in pieces of half a second or so,"
            " which no loudspeaker waits for: use another (-m speech), or overtone stream"
        )
    sounddevice = import_sounddevice()
    frames = max(1, round(block_ms / 1000 * rate))
    try:
        stream = sounddevice.Stream(
            samplerate=rate,
            blocksize=frames,
            channels=enhancer.channels,
            dtype="float32",
            latency="low",
            device=(input_device, output_device),
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise InvalidInputError(
            f"the audio devices cannot be opened at {rate} Hz with {enhancer.channels} channels"
            f" ({_plain(error)}); see overtone live --list-devices"
        ) from error
    try:
        with stream:
            _pump(stream, enhancer, frames, on_block)
    except sounddevice.PortAudioError as error:
        raise OvertoneError(
            f"an audio device went away ({_plain(error)}); connect it and start again"
        ) from error


def _pump(
    stream: Any, enhancer: StreamEnhancer, frames: int, on_block: Callable[[Meter], None]
) -> None:
    # The stream's latency as silence first: from then on every block gives one of its own size.
    stream.write(np.zeros((enhancer.latency_samples, enhancer.channels), np.float32))
    block_s = frames / enhancer.sample_rate
    fall = math.exp(-block_s / METER_FALL_S)
    power = load = seconds = 0.0
    dropouts = 0
    while True:
        samples, overflowed = stream.read(frames)
        begun = time.perf_counter()
        block = _finite(samples)
        out = enhancer.push(block)
        took = time.perf_counter() - begun
        underflowed = stream.write(np.ascontiguousarray(out.T))
        seconds += block_s
        dropouts += bool(overflowed or underflowed)
        power = max(float(np.mean(block**2)), fall * power)
        load = max(took / block_s, fall * load)
        on_block(Meter(seconds, 10 * math.log10(power + 1e-12), load, dropouts))


def _finite(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``[samples, channels]`` of a device as ``[channels, samples]`` without NaN."""
    # A driver's NaN would end the call; a click does not.
    return np.nan_to_num(np.asarray(samples, np.float32).T, nan=0.0, posinf=0.0, neginf=0.0)


def _plain(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
