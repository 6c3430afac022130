"""What ``overtone benchmark speed`` says: a table, and a page with its plot."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from overtone.errors import MissingExtraError
from overtone.evaluation.speed import CommandCost, ModelSpeed, budget_rows
from overtone.files import refuse_existing, write_text
from overtone.report import Column, Figure, Notes, Report, Section, Table
from overtone.report.drawing import picture, require_matplotlib
from overtone.report.provenance import machine, provenance

PLOT_SUFFIX = ".svg"
_MB = 1e6


def summary(speeds: Sequence[ModelSpeed], with_machine: bool = True) -> Table:
    """Return a row a model and thread count: cost, start, live blocks, memory."""

    def on_one(value: Callable[[ModelSpeed], float]) -> Callable[[Any], float | None]:
        return lambda row: value(row[0]) if row[1].threads == 1 else None

    columns = [
        Column("model", "model", of=lambda row: row[0].model),
        Column("threads", "threads", of=lambda row: str(row[1].threads or "all")),
        Column("cpu", "CPU-s per s", 4, of=lambda row: row[1].cpu_s / row[1].audio_s),
        Column("wall", "wall s per s", 4, of=lambda row: row[1].wall_s / row[1].audio_s),
        Column("memory", "peak MB", 0, of=lambda row: row[1].peak_bytes / _MB),
        Column("start", "1 s file, wall s", of=on_one(lambda one: one.start.wall_s)),
        Column("start_cpu", "1 s file, CPU-s", of=on_one(lambda one: one.start.cpu_s)),
        Column(
            "median", "10 ms block, median ms", of=on_one(lambda one: 1000 * one.block.median_s)
        ),
        Column("p99", "99 % ms", of=on_one(lambda one: 1000 * one.block.p99_s)),
        Column("cpu_p99", "99 % CPU-ms", of=on_one(lambda one: 1000 * one.block.cpu_p99_s)),
        Column("worst", "worst ms", of=on_one(lambda one: 1000 * one.block.worst_s)),
        Column("delay", "latency ms", 0, of=on_one(lambda one: 1000 * one.block.latency_s)),
    ]
    settings = [
        f"whole command, {speeds[0].main[0].audio_s:g} s of 16 kHz mono to 48 kHz, 16 bit WAV"
        if speeds
        else "no models",
        "blocks: live at 48 kHz, one thread; latency: what the model holds back, not computing",
    ]
    if with_machine:
        settings.append(", ".join(f"{name} {value}" for name, value in machine().items()))
    rows = [(speed, cost) for speed in speeds for cost in speed.main]
    return Table.of(rows, columns, settings)


def lengths_table(costs: Sequence[CommandCost]) -> Table:
    """Return cost against length."""
    columns = [
        Column("length", "length", of=lambda cost: duration(cost.audio_s)),
        Column("wall", "wall s", of=lambda cost: cost.wall_s),
        Column("cpu", "CPU-s", of=lambda cost: cost.cpu_s),
        Column("each", "CPU-s per s", 4, of=lambda cost: cost.cpu_s / cost.audio_s),
        Column("memory", "peak MB", 0, of=lambda cost: cost.peak_bytes / _MB),
    ]
    return Table.of(costs, columns)


def write_page(
    speeds: Sequence[ModelSpeed], path: Path, command: str, *, overwrite: bool = False
) -> list[Path]:
    """Write the Markdown page, and its plot beside it if there are lengths and matplotlib.

    Returns the files written.
    """
    refuse_existing(path, overwrite)
    plot = None
    if any(len(speed.lengths) > 1 for speed in speeds):
        with contextlib.suppress(MissingExtraError):  # the table says the same
            draw_lengths(speeds, path.with_suffix(PLOT_SUFFIX), overwrite=overwrite)
            plot = path.with_suffix(PLOT_SUFFIX)
    write_text(page(speeds, command, plot).markdown(), path, overwrite=overwrite)
    return [path] if plot is None else [path, plot]


def page(speeds: Sequence[ModelSpeed], command: str, plot: Path | None = None) -> Report:
    """Return the page, which names the ``command`` that made it."""
    about = (
        f"Made by `{command}`. CPU-seconds hardly depend on what else the machine does, wall"
        " seconds do.\n"
    )
    facts = Notes([f"{name}: {value}" for name, value in provenance().items()])
    costs = summary(speeds, with_machine=False)
    sections = [
        Section("", [about]),
        Section("The machine", [facts]),
        Section("Cost of a second of audio, and of a live block", [costs]),
    ]
    stages = [Column("stage", "stage"), Column("cpu_s", "CPU-s", 2), Column("part", "%", 0)]
    for speed in speeds:
        length = duration(speed.main[0].audio_s)
        title = f"Where the time goes: `{speed.model}`, {length}, one thread"
        sections.append(Section(title, [Table(stages, budget_rows(speed))]))
    for speed in speeds:
        if speed.lengths:
            title = f"Cost with length: `{speed.model}`, stereo, one thread"
            sections.append(Section(title, [lengths_table(speed.lengths)]))
    if plot is not None:
        sections.append(Section("", [Figure("time and memory against length", plot)]))
    for speed in speeds:
        if len(speed.jobs_wall_s) > 1:
            sections.append(Section(f"Many files: `{speed.model}`", [jobs_sentence(speed) + "\n"]))
    return Report("Speed", sections)


def jobs_sentence(speed: ModelSpeed) -> str:
    """Return how much sooner several processes are done than one."""
    (_, alone), (jobs, together) = sorted(speed.jobs_wall_s.items())
    return (
        f"{2 * jobs} files of 1 minute: {alone:.1f} s with `-j 1`, {together:.1f} s with"
        f" `-j {jobs}`, that is {alone / together:.2f} times the throughput."
    )


def draw_lengths(speeds: Sequence[ModelSpeed], path: Path, *, overwrite: bool = False) -> None:
    """Draw time and peak memory against length.

    Raises MissingExtraError without matplotlib.
    """
    require_matplotlib("drawing the plot")
    with picture([path], (9, 3.6), {}, overwrite=overwrite) as figure:
        time_axes, memory_axes = figure.subplots(1, 2)
        for speed in speeds:
            lengths = [cost.audio_s for cost in speed.lengths]
            time_axes.plot(lengths, [cost.cpu_s for cost in speed.lengths], "o-")
            memory = [cost.peak_bytes / _MB for cost in speed.lengths]
            memory_axes.plot(lengths, memory, "o-", label=speed.model)
        time_axes.set(xscale="log", yscale="log", ylabel="CPU-seconds")
        memory_axes.set(xscale="log", ylim=(0, None), ylabel="peak memory (MB)")
        ticks = sorted({cost.audio_s for speed in speeds for cost in speed.lengths})
        for axes in (time_axes, memory_axes):
            axes.set_xlabel("length of the stereo file")
            axes.set_xticks(ticks, [duration(tick) for tick in ticks])
            axes.minorticks_off()
            axes.grid(alpha=0.3)
        if len(speeds) > 1:
            memory_axes.legend()


def duration(seconds: float) -> str:
    """Return ``90`` as ``90 s``, ``600`` as ``10 min``, ``3600`` as ``1 h``."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
