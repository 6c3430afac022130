"""Recordings in, an archive of patches out: in parallel, resumable, in bounded memory.

First every recording of the list becomes a pair of whole signals, in a folder of parts beside the
archive, one file each; these files do not depend on each other, so any number of processes makes
the same ones and what an interruption leaves is used again. Then one process cuts the patches out
of the parts, in the order of the list, and removes the folder.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overtone import executor
from overtone.audio.reader import AudioReader, probe
from overtone.data.archive import ArchiveInfo, Piece, SourceFile, write_archive
from overtone.data.patches import PatchSettings, cut, make_pair, patch_starts
from overtone.data.splits import Listing
from overtone.dsp.resample import StreamResampler
from overtone.errors import AudioFileError, InvalidInputError, OvertoneError
from overtone.files import atomic_write, refuse_existing, sha256_of, write_text

Log = Callable[[str], None]
Progress = Callable[[int, int], None]
Samples = NDArray[np.float32]

# SampleRNN's arrays say nowhere that they hold 16 kHz.
ARRAY_RATE = 16000
PARTS_VERSION = 1
# Recordings below this length can be neither filtered nor of use.
SHORTEST_SAMPLES = 64
# Patches are written this many at a time.
PIECE_PATCHES = 256


@dataclass(frozen=True)
class Part:
    """One recording to prepare: a file, or one row of an array (``row`` not None)."""

    name: str
    path: Path
    row: int | None = None


@dataclass(frozen=True)
class Done:
    """What is known of a prepared part."""

    samples: int
    sha256: str


def prepare(
    listing: Listing,
    settings: PatchSettings,
    out: Path,
    *,
    jobs: int | None = None,
    cluster: str | None = None,
    isolated: bool = False,
    overwrite: bool = False,
    log: Log = print,
    progress: Progress | None = None,
) -> int:
    """Write the archive ``out`` from ``listing``; returns its number of patches.

    ``jobs`` and ``cluster`` are as :func:`overtone.executor.map` has them; the machines of a
    cluster must see recordings and ``out`` under the same names. An interrupted call leaves
    ``.NAME.parts`` beside ``out``, from which the next goes on. With
    ``isolated`` recordings are decoded in a process of its own even for one job: a decoder that
    crashes over one of them then costs that one, and the others are prepared.

    Raises:
        InvalidInputError: ``out`` exists, recordings cannot be used (all are named), or no batch
            of patches can be made.
    """
    refuse_existing(out, overwrite, inputs=listing.paths)
    if not out.resolve().parent.is_dir():
        raise InvalidInputError(f"{out}: the folder {out.parent} does not exist; create it")
    for line in listing.left_out:
        log(f"left out: {line}")
    parts = _parts(listing, settings, isolated)
    folder = out.with_name(f".{out.name}.parts")
    share = partial(executor.map, jobs=jobs, cluster=cluster, isolated=isolated)
    done = _make_parts(parts, settings, folder, share, progress)
    try:
        chosen = _choose(parts, done, settings, log)
    except InvalidInputError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    sources = [SourceFile(part.name, done[part].sha256) for part in parts]
    info = ArchiveInfo(
        corpus=listing.corpus,
        split=listing.split,
        split_rule=listing.rule,
        settings=settings,
    )
    pieces = _pieces(parts, chosen, settings, folder)
    lengths = [
        _high_length(done[parts[number]], settings) for number, starts in chosen for _ in starts
    ]
    write_archive(out, info, sources, lengths, pieces)
    shutil.rmtree(folder, ignore_errors=True)
    return len(lengths)


def _high_length(done: Done, settings: PatchSettings) -> int:
    return done.samples if settings.whole_files else settings.dimension


def _parts(listing: Listing, settings: PatchSettings, isolated: bool) -> list[Part]:
    """Return the recordings of a list; raises for all that their headers already rule out."""
    parts: list[Part] = []
    problems: dict[str, str] = {}
    work = partial(_look, settings)
    looks = executor.map(_nothing, work, listing.paths, isolated=isolated, lost=_crashed)
    for name, (path, found) in zip(listing.names, looks, strict=True):
        if isinstance(found, str):
            problems[name] = found
        elif found is None:
            parts.append(Part(name, path))
        else:
            parts += [Part(f"{name}[{row}]", path, row) for row in range(found)]
    _raise_all(problems, len(listing.names))
    return parts


def _look(
    settings: PatchSettings,
    _: None,
    path: Path,
    report: executor.Report,  # noqa: ARG001
) -> int | str | None:
    """Return how many rows an array has, None for a recording, or why it cannot be used."""
    try:
        if path.suffix == ".npy":
            return int(_array(path, settings).shape[0])
        _check_rate(path, settings)
    except OvertoneError as error:
        return str(error)
    return None


def _raise_all(problems: dict[str, str], total: int) -> None:
    if problems:
        raise InvalidInputError(
            f"{len(problems)} of {total} recordings cannot be used: "
            + "; ".join(dict.fromkeys(problems.values()))
        )


def _check_rate(path: Path, settings: PatchSettings) -> None:
    rate = probe(path).sample_rate
    if rate < settings.sample_rate:
        raise InvalidInputError(
            f"{path}: at {rate} Hz it holds nothing above {rate / 2:g} Hz to learn from;"
            f" take a rate of {rate} Hz, or leave it out"
        )


def _array(path: Path, settings: PatchSettings) -> NDArray[np.floating]:
    """SampleRNN's array ``[pieces, samples]``, mapped and not read."""
    if settings.sample_rate != ARRAY_RATE:
        raise InvalidInputError(
            f"{path}: SampleRNN's arrays are at {ARRAY_RATE} Hz, not {settings.sample_rate}; take"
            f" a rate of {ARRAY_RATE} Hz"
        )
    try:
        array: NDArray[np.floating] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInputError(f"{path}: not a whole array of numbers; get a new copy") from error
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
        raise InvalidInputError(
            f"{path}: holds {array.dtype} {array.shape}, not floats [pieces, samples]"
        )
    return array


def _make_parts(
    parts: list[Part],
    settings: PatchSettings,
    folder: Path,
    share: Callable[..., Iterator[tuple[Any, Any]]],
    progress: Progress | None,
) -> dict[Part, Done]:
    """Make what is not there yet; returns all of it. What was made is kept if anything fails."""
    distinct = list(dict.fromkeys(parts))
    folder.mkdir(exist_ok=True)
    done: dict[Part, Done] = {}
    problems: dict[str, str] = {}
    work = [Job(part, settings, folder / _key(part, settings)) for part in distinct]
    for job, result in share(_nothing, _make_part, work, lost=_lost):
        if isinstance(result, Done):
            done[job.part] = result
        else:
            problems[job.part.name] = result
        if progress is not None:
            progress(len(done) + len(problems), len(distinct))
    if problems and not done:
        shutil.rmtree(folder, ignore_errors=True)
    _raise_all(problems, len(distinct))
    wanted = {job.path.name for job in work}
    for path in folder.iterdir():
        if path.stem not in wanted:
            path.unlink()  # from other settings or changed files
    return done


class Job(NamedTuple):
    """A part to make at ``path``, but for its suffix."""

    part: Part
    settings: PatchSettings
    path: Path


def _key(part: Part, settings: PatchSettings) -> str:
    """Return what changes with the file and with all settings that its part depends on."""
    status = part.path.stat()
    relevant = settings.model_dump(include={"sample_rate", "scale", "interpolate", "low_pass"}) | {
        "whole": settings.whole_files
    }
    identity = [PARTS_VERSION, part.name, part.row, status.st_size, status.st_mtime_ns, relevant]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]


def _nothing() -> None:
    """Return what a process needs for all parts."""


def _lost(job: Job, reason: str) -> str:
    return _crashed(job.part.path, reason)


def _crashed(path: Path, reason: str) -> str:
    return f"{path}: {reason}; leave it out, or run again: what is done will be used"


def _make_part(_: None, job: Job, report: executor.Report) -> Done | str:  # noqa: ARG001
    """Prepare one recording, or find it prepared; an error comes back as its message."""
    part, settings, path = job
    note = path.with_suffix(".json")
    try:
        return Done(**json.loads(note.read_text()))
    except (OSError, ValueError, TypeError):
        pass  # not there, or cut short
    try:
        high, digest = _load(part, settings)
        if high.size < SHORTEST_SAMPLES:
            low, high = high[:0], high[:0]
        else:
            low, high = make_pair(high, settings)
        done = Done(high.size, digest)
        with (
            atomic_write(path.with_suffix(".f32"), overwrite=True) as temporary,
            temporary.open("wb") as file,
        ):
            file.write(low.tobytes())
            file.write(high.tobytes())
        # The note comes last: with it the samples are known to be whole.
        write_text(json.dumps(done.__dict__), note, overwrite=True)
    except OvertoneError as error:
        return str(error)
    return done


def _load(part: Part, settings: PatchSettings) -> tuple[Samples, str]:
    """Return mono samples at the full rate, and the SHA-256 of where they come from."""
    if part.row is not None:
        row = np.ascontiguousarray(_array(part.path, settings)[part.row])
        samples = row.astype(np.float32)
        if not np.isfinite(samples).all():
            raise AudioFileError(f"{part.path}: row {part.row} holds NaN or Inf")
        return samples, hashlib.sha256(row.tobytes()).hexdigest()
    digest = sha256_of(part.path)
    with AudioReader(part.path) as reader:
        stream = StreamResampler(reader.info.sample_rate, settings.sample_rate, 1)
        blocks = [stream.push(block.mean(axis=0, keepdims=True)) for block in reader.blocks()]
        blocks.append(stream.flush())
    return np.concatenate(blocks, axis=1)[0], digest


def _choose(
    parts: list[Part], done: dict[Part, Done], settings: PatchSettings, log: Log
) -> list[tuple[int, NDArray[np.int64]]]:
    """Return the patches of every recording of the list, cut to whole batches."""
    chosen: list[tuple[int, NDArray[np.int64]]] = []
    short: list[str] = []
    for number, part in enumerate(parts):
        if done[part].samples < settings.shortest_samples:
            short.append(part.name)
        else:
            chosen.append((number, patch_starts(done[part].samples, settings, number)))
    if short:
        seconds = settings.shortest_samples / settings.sample_rate
        log(f"left out, shorter than {seconds:.3g} s: {', '.join(dict.fromkeys(short))}")
    total = sum(starts.size for _, starts in chosen)
    batch = 1 if settings.whole_files else settings.batch_size
    keep = total - total % batch
    if keep == 0:
        raise InvalidInputError(
            f"{total} patches from {len(parts)} recordings are less than one batch of {batch};"
            " give a smaller --batch-size or --dimension, or more recordings"
        )
    if keep < total:
        log(f"{total - keep} of {total} patches dropped: --batch-size {batch}")
    kept: list[tuple[int, NDArray[np.int64]]] = []
    for number, starts in chosen:
        kept.append((number, starts[:keep]))
        keep -= kept[-1][1].size
    return kept


def _pieces(
    parts: list[Part],
    chosen: list[tuple[int, NDArray[np.int64]]],
    settings: PatchSettings,
    folder: Path,
) -> Iterator[Piece]:
    step = settings.low_step
    for number, all_starts in chosen:
        if all_starts.size == 0:
            continue
        path = folder / f"{_key(parts[number], settings)}.f32"
        both: Samples = np.memmap(path, np.float32, mode="r")
        # The input lies first: one sample of it for every `step` of the target.
        low, high = np.split(both, [both.size // (step + 1)])
        length = high.size if settings.whole_files else settings.dimension
        for at in range(0, all_starts.size, PIECE_PATCHES):
            starts = all_starts[at : at + PIECE_PATCHES]
            yield Piece(
                number,
                starts,
                cut(low, starts // step, length // step),
                cut(high, starts, length),
            )
