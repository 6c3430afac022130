"""How fast, how late, how large: what ``overtone benchmark speed`` measures.

Whole commands run as processes of their own, because what a user waits for includes the start of
the interpreter; their CPU time and peak memory are the operating system's account of them. CPU
seconds ("CPU-seconds") hardly depend on what else the machine does, unlike wall seconds.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from overtone.errors import InvalidInputError, OvertoneError
from overtone.report.provenance import machine

# The recording that everything is measured on: as a wide-band call.
INPUT_RATE = 16_000
CUTOFF_HZ = 7_500.0
LIVE_RATE = 48_000
LIVE_BLOCK_MS = 10.0
LIVE_BLOCKS, WARM_BLOCKS = 3_000, 50
JOBS_FILE_S = 60.0


@dataclass(frozen=True)
class CommandCost:
    """What a whole command took: wall and CPU seconds, and its peak memory in bytes."""

    audio_s: float
    channels: int
    threads: int | None
    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True)
class BlockCost:
    """Seconds that blocks of ``block_ms`` took in a live stream; the delay is in addition.

    The ``cpu`` figures are what is left when nothing else wants the core.
    """

    block_ms: float
    median_s: float
    p99_s: float
    worst_s: float
    cpu_median_s: float
    cpu_p99_s: float
    latency_s: float


@dataclass(frozen=True)
class ModelSpeed:
    """All that was measured of one model. ``main`` is the long file by threads."""

    model: str
    parameters: int
    start: CommandCost
    main: tuple[CommandCost, ...]
    block: BlockCost
    budget_s: dict[str, float]
    lengths: tuple[CommandCost, ...] = ()
    jobs_wall_s: dict[int, float] = field(default_factory=dict)


def measure(
    model: str,
    *,
    seconds: float = 300.0,
    lengths_s: Sequence[float] = (),
    jobs: int = 1,
    log: Callable[[str], None] = lambda _: None,
) -> ModelSpeed:
    """Measure one model.

    Args:
        model: a name or path, as ``overtone enhance -m`` takes it.
        seconds: length of the mono file that CPU-seconds are stated for.
        lengths_s: of the stereo files for cost against length; they are made on the fly.
        jobs: when above 1, twice as many files are done by 1 and by ``jobs`` processes.
        log: told what is being measured.

    Raises:
        OvertoneError: a command failed.
    """
    from overtone.inference.model import load_model

    info = load_model(model, device="cpu", threads=1).info
    with tempfile.TemporaryDirectory(prefix="overtone-speed-") as name:
        folder = Path(name)
        log(f"{info.name}: start-up")
        write_recording(folder / "start.wav", 1.0, 1)
        # The best of three: the first one warms the disk cache.
        start = min(
            (run_enhance([folder / "start.wav"], model, 1) for _ in range(3)),
            key=lambda cost: cost.wall_s,
        )
        log(f"{info.name}: {seconds:g} s of audio")
        write_recording(folder / "main.wav", seconds, 1)
        threads = (1, None) if (os.cpu_count() or 1) > 1 else (1,)
        main = tuple(run_enhance([folder / "main.wav"], model, count) for count in threads)
        budget_s = measure_budget(folder / "main.wav", model, start)
        log(f"{info.name}: blocks of {LIVE_BLOCK_MS:g} ms")
        block = measure_blocks(model)
        lengths = []
        for length_s in lengths_s:
            log(f"{info.name}: {length_s:g} s of stereo")
            path = folder / "length.wav"
            write_recording(path, length_s, 2)
            lengths.append(run_enhance([path], model, 1))
        jobs_wall_s = {}
        if jobs > 1:
            files = [folder / f"job{index}.wav" for index in range(2 * jobs)]
            for path in files:
                write_recording(path, JOBS_FILE_S, 1)
            for count in (1, jobs):
                log(f"{info.name}: {len(files)} files, -j {count}")
                jobs_wall_s[count] = run_enhance(files, model, None, jobs=count).wall_s
    return ModelSpeed(
        info.name, info.parameters, start, main, block, budget_s, tuple(lengths), jobs_wall_s
    )


def as_json(speeds: Sequence[ModelSpeed]) -> str:
    """Return all numbers, and the machine."""
    content = {"machine": machine(), "models": [asdict(speed) for speed in speeds]}
    return json.dumps(content, indent=2) + "\n"


# The recordings ---------------------------------------------------------------------------------


def write_recording(path: Path, seconds: float, channels: int) -> None:
    """Write a made-up wide-band call of any length, in bounded memory, as 16 bit WAV."""
    period = _syllables(channels)
    left = round(seconds * INPUT_RATE)
    with soundfile.SoundFile(
        path, "w", samplerate=INPUT_RATE, channels=channels, subtype="PCM_16"
    ) as file:
        while left > 0:
            file.write(period[:left])
            left -= len(period)


def _syllables(channels: int) -> NDArray[np.float32]:
    """Ten seconds of buzz and hiss in bursts, up to :data:`CUTOFF_HZ`, ``[samples, channels]``."""
    rng = np.random.default_rng(0)
    samples = 10 * INPUT_RATE
    time_s = np.arange(samples) / INPUT_RATE
    frequencies = np.fft.rfftfreq(samples, 1 / INPUT_RATE)
    slope = 1 / np.maximum(frequencies, 100.0) * (frequencies < CUTOFF_HZ)
    columns = []
    for channel in range(channels):
        hiss = np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * slope, samples)
        bursts = np.maximum(0.0, np.sin(2 * np.pi * (3.1 + channel) * time_s)) ** 2
        columns.append(hiss * bursts / np.abs(hiss).max() * 0.7)
    return np.stack(columns, axis=1).astype(np.float32)


# The measurements -------------------------------------------------------------------------------

# First in each measured process: its first argument is how many cores it may use.
_CONFINE = """
import os, sys
if sys.argv[1] != "all" and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-int(sys.argv[1]):])
del sys.argv[1]
"""
_MAIN = """
from overtone.cli import main
main()
"""
# Not passed on: thread counts are set here, and without bytecode every start would compile.
LEFT_OUT = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PYTHONDONTWRITEBYTECODE",
)


def run_enhance(
    files: Sequence[Path], model: str, threads: int | None, *, jobs: int = 1
) -> CommandCost:
    """Run ``overtone enhance`` on WAV files and account for it; ``threads`` None is all cores.

    Threads are limited by confining the process to as many cores, where the system can.
    """
    count = "all" if threads is None else str(threads)
    audio_s = sum(soundfile.info(path).duration for path in files)
    with tempfile.TemporaryDirectory(dir=files[0].parent) as out:
        arguments = ["enhance", *map(str, files), "-q", "-f", "-d", "cpu", "-m", model]
        # -j's processes are not in the account of the command itself, but its children's.
        arguments += ["-j", str(jobs), "-o", out + os.sep]
        wall_s, cpu_s, peak_bytes, _ = _run(_MAIN, count, *arguments)
    return CommandCost(
        audio_s, soundfile.info(files[0]).channels, threads, wall_s, cpu_s, peak_bytes
    )


def _run(program: str, cores: str, *arguments: str) -> tuple[float, float, int, str]:
    """Run a program to its end: wall and CPU seconds, peak bytes (0 if not known), output."""
    command = [sys.executable, "-c", _CONFINE + program, cores, *arguments]
    environment = {k: v for k, v in os.environ.items() if k not in LEFT_OUT}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment
        )
        cpu_s, peak_bytes = 0.0, 0
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu_s = usage.ru_utime + usage.ru_stime
            # Kilobytes, but bytes on macOS.
            peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        else:
            process.wait()
        wall_s = time.perf_counter() - begun
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            words = " ".join(err.read().decode(errors="replace").split()[-40:])
            raise OvertoneError(f"a measured command failed ({words or process.returncode})")
        return wall_s, cpu_s, peak_bytes, out.read().decode()


_BLOCKS = """
import json, sys, time
import numpy as np
from overtone.inference import StreamEnhancer
model, rate, cutoff_hz, block, count = json.loads(sys.argv[1])
stream = StreamEnhancer(rate, cutoff_hz=cutoff_hz, model=model, device="cpu", threads=1)
noise = (0.05 * np.random.default_rng(0).standard_normal((count, block))).astype(np.float32)
seconds = []
for samples in noise:
    begun = time.perf_counter(), time.process_time()
    stream.push(samples)
    seconds.append([time.perf_counter() - begun[0], time.process_time() - begun[1]])
print(json.dumps([stream.latency_s, seconds]))
"""


def measure_blocks(model: str, blocks: int = LIVE_BLOCKS) -> BlockCost:
    """Time each block of a live stream at 48 kHz on one thread, in a process of its own."""
    samples = round(LIVE_BLOCK_MS / 1000 * LIVE_RATE)
    settings = [model, LIVE_RATE, CUTOFF_HZ, samples, blocks + WARM_BLOCKS]
    _, _, _, text = _run(_BLOCKS, "1", json.dumps(settings))
    latency_s, seconds = json.loads(text)
    wall_s, cpu_s = np.array(seconds[WARM_BLOCKS:]).T
    return BlockCost(
        LIVE_BLOCK_MS,
        median_s=float(np.median(wall_s)),
        p99_s=float(np.quantile(wall_s, 0.99)),
        worst_s=float(wall_s.max()),
        cpu_median_s=float(np.median(cpu_s)),
        cpu_p99_s=float(np.quantile(cpu_s, 0.99)),
        latency_s=latency_s,
    )


_BUDGET = """
import cProfile, json, pstats, sys, time
from overtone.inference import Enhancer
source, destination, model = sys.argv[1:]
enhancer = Enhancer(model, device="cpu", threads=1)
profile = cProfile.Profile(time.process_time)
profile.runcall(enhancer.enhance_file, source, destination)
cumulative = {}
for (path, _, function), (_, _, _, total, _) in pstats.Stats(profile).stats.items():
    name = path.replace("\\\\", "/").rpartition("/")[2].removesuffix(".py") + "." + function
    cumulative[name] = cumulative.get(name, 0) + total
print(json.dumps(cumulative))
"""


def measure_budget(source: Path, model: str, start: CommandCost) -> dict[str, float]:
    """Return where the CPU seconds of enhancing ``source`` go, by stage, the start included."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        out = str(Path(folder, "out.wav"))
        _, _, _, text = _run(_BUDGET, "1", str(source), out, model)
    spent: dict[str, float] = json.loads(text)

    def of(name: str) -> float:
        return spent.get(name, 0.0)

    network, excitations = of("network.run") + of("waveform.run"), of("excitation.push")
    frames = of("spectral._advance") + of("waveform._advance") - network - excitations
    stages = {
        "network": network,
        "excitations": excitations,
        "frames, FFT, overlap-add": frames,
        "resampling": of("resample._convert"),
        "cutoff and level": of("bandwidth.push") + of("bandwidth.estimate") + of("level.push"),
        "writing": of("writer.write") + of("writer.__exit__"),
    }
    rest = of("enhancer.enhance_file") - sum(stages.values())
    return {**stages, "reading and the rest": max(0.0, rest), "start of the command": start.cpu_s}


def parse_lengths(text: str) -> list[float]:
    """Read ``1,10,60`` or ``1s,10min,6h`` into seconds.

    Raises InvalidInputError for anything else, or lengths out of 0.1 s to 24 h.
    """
    units = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
    lengths = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        number = item.rstrip("sminh")
        try:
            seconds = float(number) * units[item[len(number) :] or "s"]
        except (ValueError, KeyError):
            raise InvalidInputError(f"length {item!r}: give seconds, or as 10min, 1h") from None
        if not 0.1 <= seconds <= 86_400:
            raise InvalidInputError(f"length {item!r}: must be within 0.1 s to 24 h")
        lengths.append(seconds)
    return lengths


def budget_rows(speed: ModelSpeed) -> list[dict[str, Any]]:
    """Return the budget's stages with their part of the whole, largest first."""
    whole = sum(speed.budget_s.values()) or 1.0
    rows = [
        {"stage": stage, "cpu_s": seconds, "part": 100 * seconds / whole}
        for stage, seconds in speed.budget_s.items()
    ]
    return sorted(rows, key=lambda row: -float(str(row["cpu_s"])))
