"""``overtone live``: from the microphone to the loudspeaker."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from overtone.cli.options import (
    Device,
    DeviceOption,
    FidelityOption,
    LevelOption,
    ModelOption,
    StrengthOption,
    cutoff_option,
    parse_rate,
)

if TYPE_CHECKING:
    from overtone.inference.microphone import Meter

METER_WIDTH = 30
METER_RANGE_DB = 60.0
METER_STEP_S = 0.1


def live(
    cutoff: Annotated[
        float | None,
        cutoff_option("Where the microphone's real band ends, such as 4k for a headset in a call."),
    ] = None,
    rate: Annotated[
        int,
        typer.Option(
            "-r", "--rate", metavar="HZ", parser=parse_rate, help="Sample rate of both devices."
        ),
    ] = "48000",  # type: ignore[assignment]  # typer parses defaults too
    channels: Annotated[int, typer.Option("--channels", min=1, max=64, metavar="N")] = 1,
    level: LevelOption = None,
    block_ms: Annotated[
        float,
        typer.Option(
            "--block-ms", min=1, max=1000, metavar="MS", help="Sound taken from the device at once."
        ),
    ] = 10,
    input_device: Annotated[
        str | None,
        typer.Option(
            "--input-device", metavar="DEVICE", help="Its number or name. Default: the system's."
        ),
    ] = None,
    output_device: Annotated[
        str | None,
        typer.Option(
            "--output-device", metavar="DEVICE", help="Its number or name. Default: the system's."
        ),
    ] = None,
    list_devices: Annotated[
        bool, typer.Option("--list-devices", help="Print the audio devices and stop.")
    ] = False,
    model: ModelOption = "auto",
    fidelity: FidelityOption = None,
    strength_db: StrengthOption = 0.0,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Enhance from the microphone to the loudspeaker, until Ctrl-C.

    Shows the input's level, the load (100% is too slow) and the blocks that came too late.
    Use headphones: a loudspeaker near the microphone howls.
    Needs the extra 'live': pip install 'overtone[live]'.

    \b
    overtone live --cutoff 4k
    """
    from overtone.inference.microphone import describe_devices, import_sounddevice, run_duplex

    import_sounddevice()  # before a model is loaded for nothing
    if list_devices:
        typer.echo(describe_devices())
        return
    from overtone.inference.streaming import StreamEnhancer

    enhancer = StreamEnhancer(
        rate,
        channels,
        output_rate=rate,
        cutoff_hz=cutoff,
        level_dbfs=level,
        model=model,
        device=device.value,
        fidelity=fidelity,
        strength_db=strength_db,
    )
    meter = _MeterLine()
    typer.echo(f"live, {1000 * enhancer.latency_s:.0f} ms later; Ctrl-C stops", err=True)
    try:
        run_duplex(
            enhancer,
            block_ms=block_ms,
            input_device=_device(input_device),
            output_device=_device(output_device),
            on_block=meter.show,
        )
    except KeyboardInterrupt:
        pass
    finally:
        meter.end()


def _device(name: str | None) -> int | str | None:
    return int(name) if name is not None and name.isdigit() else name


class _MeterLine:
    """One line of a terminal, redrawn ten times a second."""

    def __init__(self) -> None:
        self._shown_s = -1.0

    def show(self, meter: Meter) -> None:
        if meter.seconds - self._shown_s < METER_STEP_S or not sys.stderr.isatty():
            return
        self._shown_s = meter.seconds
        print(f"\r{describe(meter)}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown_s >= 0:
            print(file=sys.stderr)


def describe(meter: Meter) -> str:
    """Return the level as a bar and a number, the load, and the dropouts."""
    full = round(METER_WIDTH * (1 + max(meter.level_dbfs, -METER_RANGE_DB) / METER_RANGE_DB))
    bar = "#" * min(full, METER_WIDTH) + "-" * (METER_WIDTH - full)
    late = f"{meter.dropouts} late"
    return f"[{bar}] {max(meter.level_dbfs, -99):4.0f} dB  load {meter.load:4.0%}  {late}"
