"""``overtone prepare``: recordings become an archive of patches to train on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overtone.errors import InvalidInputError, MissingExtraError

if TYPE_CHECKING:
    from overtone.data.splits import Listing, Split

app = typer.Typer(
    help="Turn recordings into an HDF5 archive of patches.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Root = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the corpus lies.")]
SplitName = Annotated[str, typer.Option("--split", help="train, validation, test or all.")]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="X.h5", help="The archive.", show_default=False),
]
ListOnly = Annotated[
    bool, typer.Option("--list", help="Print the split's files and write nothing.")
]
Scale = Annotated[int, typer.Option(help="How many times the low rate is below the full one.")]
Rate = Annotated[int, typer.Option("--sr", help="The full rate, Hz.")]
Dimension = Annotated[int, typer.Option(help="Samples of a patch; -1 keeps whole files.")]
Stride = Annotated[int, typer.Option(help="Samples from one patch's start to the next.")]
Interpolate = Annotated[
    bool, typer.Option(help="Bring the low side back to the full rate by a cubic spline.")
]
LowPass = Annotated[bool, typer.Option(help="Low-pass before the samples are thinned out.")]
Sam = Annotated[float, typer.Option(help="The fraction of patches kept, at random.")]
BatchSize = Annotated[int, typer.Option(help="Cut the number of patches to a multiple of this.")]
Seed = Annotated[int, typer.Option(help="Of the random choices.")]
Workers = Annotated[int, typer.Option("-j", "--workers", min=1, help="Processes.")]
Force = Annotated[bool, typer.Option("-f", "--force", help="Replace the archive if it exists.")]


@app.command()
def files(
    file_list: Annotated[Path, typer.Option("--file-list", help="Names, one a line.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="X.h5", help="The archive.")],
    in_dir: Annotated[Path, typer.Option("--in-dir", help="Where the listed files lie.")] = Path(),
    scale: Scale = 2,
    sr: Rate = 16000,
    dimension: Dimension = -1,
    stride: Stride = 3200,
    interpolate: Interpolate = False,
    low_pass: LowPass = False,
    sam: Sam = 1.0,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    workers: Workers = 1,
    force: Force = False,
) -> None:
    """Prepare the recordings that a list names, with the options of the lineage's script.

    \b
    overtone prepare files --file-list train.txt --in-dir wav48/p225 --out train.h5 \\
        --scale 4 --sr 16000 --dimension 8192 --stride 4096 --interpolate --low-pass
    """
    _require_extra()
    from overtone.data.splits import read_file_list

    listing = read_file_list(file_list, in_dir.expanduser())
    _prepare(
        listing,
        out,
        workers,
        force,
        sample_rate=sr,
        scale=scale,
        dimension=dimension,
        stride=stride,
        interpolate=interpolate,
        low_pass=low_pass,
        sam=sam,
        batch_size=batch_size,
        seed=seed,
    )


@app.command()
def vctk(
    root: Root,
    split: SplitName = "train",
    speaker: Annotated[
        str | None,
        typer.Option(help="One speaker, the lineage's is p225. Default: all.", show_default=False),
    ] = None,
    microphone: Annotated[str, typer.Option(help="mic1 or mic2, of version 0.92.")] = "mic1",
    once: Annotated[
        bool, typer.Option("--once", help="Name no file twice, as the lineage's lists do.")
    ] = False,
    out: Out = None,
    list_only: ListOnly = False,
    scale: Scale = 4,
    sr: Rate = 16000,
    dimension: Dimension = 8192,
    stride: Stride = 4096,
    interpolate: Interpolate = True,
    low_pass: LowPass = True,
    sam: Sam = 1.0,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    workers: Workers = 1,
    force: Force = False,
) -> None:
    """Prepare VCTK 0.80 or 0.92: one speaker, or all with the last ones held out."""
    _require_extra()
    from overtone.data import splits

    _run(
        splits.vctk(root, _split(split), speaker=speaker, microphone=microphone, once=once),
        out,
        list_only,
        workers,
        force,
        sample_rate=sr,
        scale=scale,
        dimension=dimension,
        stride=stride,
        interpolate=interpolate,
        low_pass=low_pass,
        sam=sam,
        batch_size=batch_size,
        seed=seed,
    )


@app.command()
def gtzan(
    root: Root,
    genre: Annotated[str, typer.Option(help="blues, classical, country, ...")] = "blues",
    split: SplitName = "train",
    out: Out = None,
    list_only: ListOnly = False,
    scale: Scale = 4,
    sr: Rate = 22050,
    dimension: Dimension = 8192,
    stride: Stride = 16384,
    interpolate: Interpolate = True,
    low_pass: LowPass = True,
    sam: Sam = 1.0,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    workers: Workers = 1,
    force: Force = False,
) -> None:
    """Prepare one genre of GTZAN, the last tenth of its tracks held out."""
    _require_extra()
    from overtone.data import splits

    _run(
        splits.gtzan(root, _split(split), genre),
        out,
        list_only,
        workers,
        force,
        sample_rate=sr,
        scale=scale,
        dimension=dimension,
        stride=stride,
        interpolate=interpolate,
        low_pass=low_pass,
        sam=sam,
        batch_size=batch_size,
        seed=seed,
    )


@app.command()
def piano(
    root: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Of the arrays or of recordings.")
    ] = None,
    file_list: Annotated[
        Path | None,
        typer.Option("--file-list", metavar="X.npy", help="One array, as in the lineage."),
    ] = None,
    split: SplitName = "train",
    split_seed: Annotated[int | None, typer.Option(help="Of the split of recordings.")] = None,
    out: Out = None,
    list_only: ListOnly = False,
    scale: Scale = 4,
    sr: Rate = 16000,
    dimension: Dimension = 8192,
    stride: Annotated[
        int | None,
        typer.Option(help="Samples between patches. Default: 131072 of arrays, 8192 of recordings"),
    ] = None,
    interpolate: Interpolate = True,
    low_pass: LowPass = True,
    sam: Sam = 1.0,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    workers: Workers = 1,
    force: Force = False,
) -> None:
    """Prepare SampleRNN's piano arrays (music_train.npy ...), or recordings split 88/6/6."""
    _require_extra()
    from overtone.data import splits

    where = file_list or root
    if where is None or (file_list and root):
        raise InvalidInputError("give either a folder or one array with --file-list")
    listing = splits.piano(where, _split(split), seed=split_seed)
    if stride is None:
        arrays = listing.names[0].endswith(".npy")
        stride = splits.split_rules("piano")["stride" if arrays else "recordings_stride"]
    _run(
        listing,
        out,
        list_only,
        workers,
        force,
        sample_rate=sr,
        scale=scale,
        dimension=dimension,
        stride=stride,
        interpolate=interpolate,
        low_pass=low_pass,
        sam=sam,
        batch_size=batch_size,
        seed=seed,
    )


@app.command()
def folder(
    root: Root,
    split: SplitName = "train",
    split_by: Annotated[str, typer.Option(help="seed (at random) or name (the last).")] = "seed",
    split_seed: Annotated[int, typer.Option(help="Of the split by seed.")] = 0,
    validation: Annotated[float, typer.Option(help="The share held out for validation.")] = 0.1,
    test: Annotated[float, typer.Option(help="The share held out for testing.")] = 0.0,
    out: Out = None,
    list_only: ListOnly = False,
    scale: Scale = 4,
    sr: Rate = 16000,
    dimension: Dimension = 8192,
    stride: Stride = 4096,
    interpolate: Interpolate = True,
    low_pass: LowPass = True,
    sam: Sam = 1.0,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    workers: Workers = 1,
    force: Force = False,
) -> None:
    """Prepare any folder of recordings, split by whole files."""
    _require_extra()
    from overtone.data import splits

    part = _split(split)
    if split_by == "name":
        listing = splits.by_name(root, part, validation_fraction=validation, test_fraction=test)
    elif split_by == "seed":
        listing = splits.seeded(
            root, part, seed=split_seed, validation_fraction=validation, test_fraction=test
        )
    else:
        raise InvalidInputError(f"--split-by is seed or name, not {split_by!r}")
    _run(
        listing,
        out,
        list_only,
        workers,
        force,
        sample_rate=sr,
        scale=scale,
        dimension=dimension,
        stride=stride,
        interpolate=interpolate,
        low_pass=low_pass,
        sam=sam,
        batch_size=batch_size,
        seed=seed,
    )


@app.command()
def inspect(
    archive: Annotated[Path, typer.Argument(metavar="X.h5", help="An archive.")],
    names: Annotated[bool, typer.Option("--files", help="Name its recordings too.")] = False,
) -> None:
    """Print what is inside an archive."""
    _require_extra()
    from overtone.data.archive import PatchArchive, describe

    with PatchArchive(archive) as opened:
        for line in describe(opened):
            typer.echo(line)
        if names:
            for name, digest in zip(opened.file_names, opened.file_sha256, strict=True):
                typer.echo(f"{digest}  {name}")


@app.command()
def splits() -> None:
    """Print the rules by which the known corpora are split."""
    _require_extra()
    from overtone.data.splits import rules_text

    typer.echo(rules_text(), nl=False)


def _require_extra() -> None:
    try:
        import h5py  # noqa: F401
        import scipy  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("overtone prepare", "train") from error


def _split(name: str) -> Split:
    from overtone.data.splits import SPLITS

    for split in SPLITS:
        if name == split:
            return split
    raise InvalidInputError(f"no split {name!r}; there are {', '.join(SPLITS)}")


def _run(
    listing: Listing, out: Path | None, list_only: bool, workers: int, force: bool, **options: Any
) -> None:
    if list_only:
        for line in listing.left_out:
            typer.echo(f"left out: {line}", err=True)
        typer.echo("\n".join(listing.names))
        return
    if out is None:
        raise InvalidInputError("give the archive to write with --out, or --list for its files")
    _prepare(listing, out, workers, force, **options)


def _prepare(listing: Listing, out: Path, workers: int, force: bool, **options: Any) -> None:
    from pydantic import ValidationError

    from overtone.data.patches import PatchSettings
    from overtone.data.prepare import prepare

    try:
        settings = PatchSettings(**options)
    except ValidationError as error:
        raise InvalidInputError(_describe(error)) from error
    count = prepare(
        listing,
        settings,
        out,
        workers=workers,
        overwrite=force,
        log=lambda line: typer.echo(line, err=True),
        progress=_progress if sys.stderr.isatty() else None,
    )
    unit = "whole files" if settings.whole_files else "patches"
    megabytes = out.stat().st_size / 1e6
    typer.echo(f"{out}: {count} {unit} from {len(listing.names)} files, {megabytes:.1f} MB")


def _progress(done: int, total: int) -> None:
    typer.echo(f"\r{done}/{total} recordings", err=True, nl=done == total)


def _describe(error: Any) -> str:
    """One line for each option that is wrong."""
    spelled = {"sample_rate": "--sr"}
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else ""
        option = spelled.get(name, f"--{name.replace('_', '-')}") if name else ""
        given = f", not {problem['input']!r}" if name else ""
        message = str(problem["msg"]).removeprefix("Value error, ")
        lines.append(f"{option}: {message}{given}" if option else message)
    return "; ".join(lines)
