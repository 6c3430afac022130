"""What ``overtone benchmark speed`` says: a table, and the page docs/speed.md with its plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from overtone.errors import MissingExtraError
from overtone.evaluation.speed import CommandCost, ModelSpeed, budget_rows
from overtone.files import atomic_write, refuse_existing, write_text
from overtone.report import Column, Table
from overtone.report.provenance import machine, provenance
from overtone.report.tables import Cell

PLOT_SUFFIX = ".svg"
_MB = 1e6


def summary(speeds: Sequence[ModelSpeed], with_machine: bool = True) -> Table:
    """One row a model and thread count: cost, real-time factor, start, live blocks, memory."""
    rows: list[dict[str, Cell]] = []
    for speed in speeds:
        for cost in speed.main:
            one = cost.threads == 1
            rows.append(
                {
                    "model": speed.model,
                    "threads": _threads(cost),
                    "core": cost.core_s / cost.audio_s,
                    "wall": cost.wall_s / cost.audio_s,
                    "memory": cost.peak_bytes / _MB,
                    "start": speed.start.wall_s if one else None,
                    "start_core": speed.start.core_s if one else None,
                    "median": 1000 * speed.block.median_s if one else None,
                    "p99": 1000 * speed.block.p99_s if one else None,
                    "core_p99": 1000 * speed.block.core_p99_s if one else None,
                    "worst": 1000 * speed.block.worst_s if one else None,
                    "delay": 1000 * speed.block.latency_s if one else None,
                }
            )
    columns = [
        Column("model", "model"),
        Column("threads", "threads"),
        Column("core", "core-s per s", 4),
        Column("wall", "wall s per s", 4),
        Column("memory", "peak MB", 0),
        Column("start", "1 s file, wall s", 2),
        Column("start_core", "1 s file, core-s", 2),
        Column("median", "10 ms block, median ms", 2),
        Column("p99", "99 % ms", 2),
        Column("core_p99", "99 % core-ms", 2),
        Column("worst", "worst ms", 2),
        Column("delay", "delay ms", 0),
    ]
    settings = [
        f"whole command, {speeds[0].main[0].audio_s:g} s of 16 kHz mono to 48 kHz, 16 bit WAV"
        if speeds
        else "no models",
        "blocks: live at 48 kHz, one thread; delay: what the model holds back, not computing",
    ]
    if with_machine:
        settings.append(", ".join(f"{name} {value}" for name, value in machine().items()))
    return Table(columns, rows, settings=settings)


def lengths_table(costs: Sequence[CommandCost]) -> Table:
    """Cost against length."""
    rows: list[dict[str, Cell]] = [
        {
            "length": duration(cost.audio_s),
            "wall": cost.wall_s,
            "core": cost.core_s,
            "each": cost.core_s / cost.audio_s,
            "memory": cost.peak_bytes / _MB,
        }
        for cost in costs
    ]
    columns = [
        Column("length", "length"),
        Column("wall", "wall s", 2),
        Column("core", "core-s", 2),
        Column("each", "core-s per s", 4),
        Column("memory", "peak MB", 0),
    ]
    return Table(columns, rows)


def write_page(
    speeds: Sequence[ModelSpeed], path: Path, command: str, *, overwrite: bool = False
) -> list[Path]:
    """Write the Markdown page, and its plot beside it if there are lengths and matplotlib.

    Returns the files written.
    """
    refuse_existing(path, overwrite)
    written = [path]
    plot = path.with_suffix(PLOT_SUFFIX)
    drawn = False
    if any(len(speed.lengths) > 1 for speed in speeds):
        try:
            draw_lengths(speeds, plot, overwrite=overwrite)
            drawn = True
            written.append(plot)
        except MissingExtraError:
            pass  # the table says the same
    write_text(page(speeds, command, plot.name if drawn else None), path, overwrite=overwrite)
    return written


def page(speeds: Sequence[ModelSpeed], command: str, plot: str | None = None) -> str:
    """The Markdown page, which names the ``command`` that made it."""
    parts = [
        "# Speed\n",
        f"Made by `{command}`. Core-seconds are CPU time;"
        " they hardly depend on what else the machine does, wall seconds do.\n",
        "## The machine\n",
        "".join(f"- {name}: {value}\n" for name, value in provenance().items()),
        "## Cost of a second of audio, and of a live block\n",
        summary(speeds, with_machine=False).render("markdown"),
    ]
    for speed in speeds:
        columns = [
            Column("stage", "stage"),
            Column("core_s", "core-s", 2),
            Column("part", "%", 0),
        ]
        length = duration(speed.main[0].audio_s)
        parts += [
            f"## Where the time goes: `{speed.model}`, {length}, one thread\n",
            Table(columns, budget_rows(speed)).render("markdown"),
        ]
    for speed in speeds:
        if speed.lengths:
            parts += [
                f"## Cost with length: `{speed.model}`, stereo, one thread\n",
                lengths_table(speed.lengths).render("markdown"),
            ]
    if plot:
        parts.append(f"![time and memory against length]({plot})\n")
    for speed in speeds:
        if len(speed.jobs_wall_s) > 1:
            parts += [f"## Many files: `{speed.model}`\n", jobs_sentence(speed) + "\n"]
    return "\n".join(parts)


def jobs_sentence(speed: ModelSpeed) -> str:
    """How much sooner several processes are done than one."""
    (_, alone), (jobs, together) = sorted(speed.jobs_wall_s.items())
    return (
        f"{2 * jobs} files of 1 minute: {alone:.1f} s with `-j 1`, {together:.1f} s with"
        f" `-j {jobs}`, that is {alone / together:.2f} times the throughput."
    )


def draw_lengths(speeds: Sequence[ModelSpeed], path: Path, *, overwrite: bool = False) -> None:
    """Draw time and peak memory against length.

    Raises MissingExtraError without matplotlib.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing the plot", "plot") from error
    # The same bytes for the same numbers.
    with matplotlib.rc_context({"svg.hashsalt": "overtone"}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        time_axes, memory_axes = figure.subplots(1, 2)
        for speed in speeds:
            lengths = [cost.audio_s for cost in speed.lengths]
            time_axes.plot(lengths, [cost.core_s for cost in speed.lengths], "o-")
            memory = [cost.peak_bytes / _MB for cost in speed.lengths]
            memory_axes.plot(lengths, memory, "o-", label=speed.model)
        time_axes.set(xscale="log", yscale="log", ylabel="core-seconds")
        memory_axes.set(xscale="log", ylim=(0, None), ylabel="peak memory (MB)")
        ticks = sorted({cost.audio_s for speed in speeds for cost in speed.lengths})
        for axes in (time_axes, memory_axes):
            axes.set_xlabel("length of the stereo file")
            axes.set_xticks(ticks, [duration(tick) for tick in ticks])
            axes.minorticks_off()
            axes.grid(alpha=0.3)
        if len(speeds) > 1:
            memory_axes.legend()
        with atomic_write(path, overwrite=overwrite) as temporary:
            figure.savefig(temporary, format=path.suffix[1:].lower(), metadata={"Date": None})


def duration(seconds: float) -> str:
    """``90`` as ``90 s``, ``600`` as ``10 min``, ``3600`` as ``1 h``."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _threads(cost: CommandCost) -> str:
    return "all" if cost.threads is None else str(cost.threads)
