"""``overtone stream``: from standard input to standard output, while it lasts."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from overtone.cli.options import (
    Device,
    DeviceOption,
    FidelityOption,
    LevelOption,
    ModelOption,
    StrengthOption,
    UsageError,
    cutoff_option,
    parse_rate,
    rate_option,
)
from overtone.errors import InvalidInputError

if TYPE_CHECKING:
    from overtone.audio.pcm import PcmFormat
    from overtone.inference.streaming import StreamEnhancer

STDIN = "standard input"
LONGEST_ANALYSIS_S = 45.0  # as the library has it, which is too heavy to import for it
INTERRUPTED = 128 + signal.SIGINT


class Format(StrEnum):
    """How samples come and go."""

    S16LE = "s16le"
    F32LE = "f32le"
    WAV = "wav"


def stream(
    sample_format: Annotated[
        Format,
        typer.Option("--format", help="Of input and output: raw samples, or WAV."),
    ] = Format.WAV,
    input_rate: Annotated[
        int | None,
        typer.Option(
            "--input-rate",
            metavar="HZ",
            parser=parse_rate,
            help="Sample rate of raw input.",
            show_default=False,
        ),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(
            "--channels",
            min=1,
            max=64,
            metavar="N",
            help="Channels of raw input.",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        int | None,
        rate_option(
            "Sample rate of the output. Default: the input's from 44.1 kHz up, else 48 kHz "
            "(44.1 kHz for 22.05 and 11.025 kHz)."
        ),
    ] = None,
    cutoff: Annotated[
        float | None,
        cutoff_option("Where the real band ends. Default: half the rate of a low-rate stream."),
    ] = None,
    level: LevelOption = None,
    analysis: Annotated[
        float,
        typer.Option(
            "--analysis",
            min=0,
            max=LONGEST_ANALYSIS_S,
            metavar="SECONDS",
            help="Hold back this much sound and find cutoff and level in it, as for a file.",
        ),
    ] = 0,
    block_ms: Annotated[
        float,
        typer.Option(
            "--block-ms",
            min=0.1,
            max=10_000,
            metavar="MS",
            help="Sound read at once: less is sooner, more is cheaper.",
        ),
    ] = 20,
    model: ModelOption = "auto",
    fidelity: FidelityOption = None,
    strength_db: StrengthOption = 0.0,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Enhance a stream from standard input to standard output.

    The output comes a fixed delay after the input (37 ms for speech, 41 at 44.1 kHz, plus what a
    resampler needs at rates that divide neither 48 nor 44.1 kHz), in the input's format (8 bits
    become 16). At the end of input, and at Ctrl-C, the rest is written.

    \b
    arecord -f S16_LE -r 16000 -c 1 | overtone stream | aplay
    ffmpeg -i call.amr -f s16le - |
      overtone stream --format s16le --input-rate 8k --channels 1 > call.raw
    """
    from overtone.inference.streaming import StreamEnhancer

    pcm, limit = _input_format(sample_format, input_rate, channels)
    enhancer = StreamEnhancer(
        pcm.sample_rate,
        pcm.channels,
        output_rate=rate,
        cutoff_hz=cutoff,
        level_dbfs=level,
        analysis_s=analysis,
        model=model,
        device=device.value,
        fidelity=fidelity,
        strength_db=strength_db,
    )
    interrupted = _copy(enhancer, pcm, limit, block_ms, wav=sample_format is Format.WAV)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _input_format(
    sample_format: Format, rate: int | None, channels: int | None
) -> tuple[PcmFormat, int | None]:
    """Return the format of standard input, and how many bytes of samples it promises."""
    from overtone.audio.pcm import PcmFormat, read_wav_header

    if sys.stdout.isatty():
        raise InvalidInputError("audio is not written to a terminal: pipe it, or redirect it")
    if sample_format is Format.WAV:
        if rate is not None or channels is not None:
            raise UsageError("a WAV stream says its rate and channels; leave them out")
        if sys.stdin.isatty():
            raise InvalidInputError("no audio is piped to standard input")
        return read_wav_header(sys.stdin.buffer, STDIN)
    if rate is None or channels is None:
        raise UsageError(f"raw {sample_format.value} needs --input-rate and --channels")
    encoding = {Format.S16LE: "s16", Format.F32LE: "f32"}[sample_format]
    return PcmFormat(encoding, rate, channels), None


def _copy(
    enhancer: StreamEnhancer, pcm: PcmFormat, limit: int | None, block_ms: float, *, wav: bool
) -> bool:
    """Pass all of standard input through; return whether it was ended by Ctrl-C."""
    from overtone.audio.pcm import PcmFormat

    out = PcmFormat(pcm.writable_encoding, enhancer.output_rate, pcm.channels)
    write = sys.stdout.buffer.write
    block_bytes = max(1, round(block_ms / 1000 * pcm.sample_rate)) * pcm.frame_bytes
    if wav:
        write(out.wav_header())
    with _Interrupt() as interrupt:
        for data in _blocks(sys.stdin.buffer, block_bytes, limit, interrupt):
            whole = len(data) // pcm.frame_bytes * pcm.frame_bytes
            if whole < len(data):
                typer.echo(
                    f"overtone: {STDIN} ended within a sample; its last {len(data) - whole} bytes"
                    " are left out",
                    err=True,
                )
            write(out.encode(enhancer.push(pcm.decode(data[:whole]))))
            sys.stdout.buffer.flush()
    write(out.encode(enhancer.flush()))
    sys.stdout.buffer.flush()
    return interrupt.happened


def _blocks(
    source: BinaryIO, block_bytes: int, limit: int | None, interrupt: _Interrupt
) -> Iterator[bytes]:
    """Full blocks, then the rest, until the end, ``limit`` bytes or Ctrl-C."""
    left = limit
    while not interrupt.happened:
        size = block_bytes if left is None else min(block_bytes, left)
        data = interrupt.read(source, size) if size else b""
        if not data:
            return
        left = None if left is None else left - len(data)
        yield data


class _Interrupt:
    """Ctrl-C as a wish: it ends the wait for input at once, but never the work on a block."""

    def __init__(self) -> None:
        self.happened = False
        self._waiting = False

    def __enter__(self) -> _Interrupt:
        self._previous: Any = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def _note(self, *_: object) -> None:
        self.happened = True
        if self._waiting:
            raise KeyboardInterrupt

    def read(self, source: BinaryIO, size: int) -> bytes:
        """Wait for ``size`` bytes; fewer at the end of input, none after Ctrl-C."""
        try:
            self._waiting = True
            return b"" if self.happened else source.read(size)
        except KeyboardInterrupt:
            return b""
        finally:
            self._waiting = False
