"""Examples to hear and see: a recording, its input, the spline, and what a system makes of it.

The input is made by the protocol of Kuleshov et al.: cropped to a multiple of the scale, brought
down by ``scipy.signal.decimate``, and back to the full rate by the cubic B-spline
(:mod:`overtone.degrade.spline`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overtone.audio.formats import INPUT_EXTENSIONS
from overtone.audio.reader import read_audio
from overtone.audio.sources import find_sources
from overtone.audio.writer import AudioWriter
from overtone.data.splits import listed_names
from overtone.degrade.spline import decimate, interpolate
from overtone.dsp.resample import resample
from overtone.errors import InvalidInputError
from overtone.evaluation.systems import System
from overtone.files import refuse_existing
from overtone.report import plot_spectrograms

FloatArray = NDArray[np.float32]

# In the order in which they are drawn.
SIGNALS = ("gt", "low_res", "base", "super")
PICTURES = (".png", ".pdf")
LIST_SUFFIX = ".txt"


@dataclass(frozen=True)
class Recording:
    """A recording, and the path that what is made of it begins with."""

    source: Path
    stem: Path

    def wav(self, signal: str) -> Path:
        """Return where one of :data:`SIGNALS` goes."""
        return self.stem.with_name(f"{self.stem.name}_{signal}.wav")

    @property
    def pictures(self) -> list[Path]:
        """Where the spectrograms go."""
        return [self.stem.with_name(f"{self.stem.name}{suffix}") for suffix in PICTURES]

    @property
    def outputs(self) -> list[Path]:
        """Every file that will be written."""
        return [*map(self.wav, SIGNALS), *self.pictures]


def find_recordings(
    arguments: Sequence[str], out: Path, *, in_dir: Path = Path(), overwrite: bool = False
) -> tuple[list[Recording], list[str]]:
    """Find what files, folders, patterns and lists mean, and name what is missing.

    A list is a ``.txt`` file of names, one a line, below ``in_dir``. Subfolders are kept below
    ``out``. A recording named twice is taken once.

    Raises:
        InvalidInputError: a list cannot be read, two recordings would write the same files, or
            one of these files exists and ``overwrite`` is not given, or is a recording itself.
    """
    found: dict[Path, Recording] = {}
    problems: list[str] = []
    for source, root in _sources(arguments, out, in_dir, problems):
        inside = source.is_relative_to(root) and ".." not in source.relative_to(root).parts
        below = source.relative_to(root) if inside else Path(source.name)
        found.setdefault(source.resolve(), Recording(source, out / below.with_suffix("")))
    recordings = list(found.values())
    _check_outputs(recordings, overwrite)
    return recordings, list(dict.fromkeys(problems))


def _sources(
    arguments: Sequence[str], out: Path, in_dir: Path, problems: list[str]
) -> Iterable[tuple[Path, Path]]:
    """Return recordings that exist, each with the folder that its subfolders are counted from."""
    for argument in arguments:
        path = Path(argument)
        if path.suffix.lower() == LIST_SUFFIX and not path.is_dir():
            for name in listed_names(path):
                if (in_dir / name).is_file():
                    yield in_dir / name, in_dir
                else:
                    problems.append(
                        f"{in_dir / name}: no such file, named in {path}; give its folder with"
                        " --in-dir"
                    )
        elif path.is_file() and path.suffix.lower() not in INPUT_EXTENSIONS:
            problems.append(f"{path}: neither audio nor a list (a .txt file, a name a line)")
        else:
            sources, failures = find_sources([argument], exclude=out)
            problems += [f"{path}: {reason}" for path, reason in failures]
            yield from ((source.path, source.root) for source in sources)


def _check_outputs(recordings: Sequence[Recording], overwrite: bool) -> None:
    by_stem: dict[Path, Recording] = {}
    for recording in recordings:
        other = by_stem.setdefault(recording.stem, recording)
        if other is not recording:
            raise InvalidInputError(
                f"{other.source} and {recording.source} would both be written as"
                f" {recording.wav('gt')}; do them one by one, into two folders"
            )
    inputs = {recording.source.resolve() for recording in recordings}
    for recording in recordings:
        for path in recording.outputs:
            if path.resolve() in inputs:
                raise InvalidInputError(f"{path}: is a recording to read; choose another --output")
            refuse_existing(path, overwrite)


def write_example(
    recording: Recording,
    system: System,
    *,
    scale: int,
    rate: int | None = None,
    overwrite: bool = False,
) -> str:
    """Write all files of one recording; returns a line that says what they are.

    ``rate`` is the full rate in Hz, None the recording's own. WAVs have 24 bits; the line counts
    clipped samples.

    Raises:
        OvertoneError: the recording cannot be read, is too short or has a lower rate, the system
            is made for another, or a file cannot be written.
    """
    samples, own_rate = read_audio(recording.source)
    full_rate = rate or own_rate
    if full_rate > own_rate:
        raise InvalidInputError(
            f"{recording.source}: at {own_rate} Hz it holds nothing above {own_rate / 2:g} Hz to"
            f" compare with; give --rate {own_rate} or leave it out"
        )
    system.require(full_rate, scale)
    high = resample(samples, own_rate, full_rate)
    signals = make_signals(high, full_rate, system, scale)
    # A WAV header has room for a whole rate only.
    low_rate = round(full_rate / scale)
    rates = {"gt": full_rate, "low_res": low_rate, "base": full_rate, "super": full_rate}
    recording.stem.parent.mkdir(parents=True, exist_ok=True)
    clipped = sum(
        _write_wav(recording.wav(name), signal, rates[name], overwrite)
        for name, signal in signals.items()
    )
    titles = ("recording", f"input ({full_rate / scale / 1000:g} kHz)", "spline", system.name)
    plot_spectrograms(
        [(title, signals[name], rates[name]) for title, name in zip(titles, SIGNALS, strict=True)],
        recording.pictures,
        cutoff_hz=full_rate / scale / 2,
        overwrite=overwrite,
    )
    details = [
        system.note(full_rate) or system.name,
        *([f"{clipped} samples clipped"] if clipped else []),
    ]
    rounded = f" (_low_res says {low_rate} Hz: WAV rates are whole)" if full_rate % scale else ""
    seconds = signals["gt"].shape[1] / full_rate
    return (
        f"{recording.source} -> {recording.stem}_*: {seconds:.2f} s, {full_rate} Hz from"
        f" {full_rate / scale:g} Hz{rounded}, {', '.join(details)}"
    )


def make_signals(high: FloatArray, rate: int, system: System, scale: int) -> dict[str, FloatArray]:
    """Make the four :data:`SIGNALS` of ``high [channels, samples]``.

    Raises:
        InvalidInputError: ``scale`` is below 2, or there are too few samples to low-pass.
    """
    high = high[:, : high.shape[1] - high.shape[1] % max(scale, 1)]
    low = decimate(high, scale)
    base = interpolate(low, scale)
    super_ = system.upsample(low, rate / scale, rate, base)
    return {"gt": high, "low_res": low, "base": base, "super": super_}


def _write_wav(path: Path, samples: FloatArray, rate: int, overwrite: bool) -> int:
    # Not float: those WAVs hold the time of writing, and no two would have the same bytes.
    with AudioWriter(path, rate, len(samples), subtype="PCM_24", overwrite=overwrite) as writer:
        writer.write(samples)
    return writer.clipped_samples
