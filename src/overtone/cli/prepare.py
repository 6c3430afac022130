"""``overtone prepare``: recordings become an archive of patches to train on.

Each command names the recordings of a split; what becomes of them is the same for all
(:func:`_command`).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overtone.cli.old_names import WithOldNames
from overtone.cli.options import ClusterOption, ForceOption, JobsOption, UsageError, laboratory

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
FileList = Annotated[Path, typer.Option("--file-list", help="Names, one a line.")]
# A Listing, or one with settings: its room is imported when a command runs, and not before.
Found = Any
OptionalStride = Annotated[
    int | None,
    typer.Option(help="Samples between patches. Default: 131072 of arrays, 8192 of recordings"),
]

# What every command takes, after its own: name, type, default.
SHARED: dict[str, tuple[Any, Any]] = {
    "output": (
        Annotated[
            Path | None,
            typer.Option("-o", "--output", metavar="X.h5", help="The archive.", show_default=False),
        ],
        None,
    ),
    "list_only": (
        Annotated[bool, typer.Option("--list", help="Print the files and write nothing.")],
        False,
    ),
    "scale": (
        Annotated[int, typer.Option(help="How many times the low rate is below the full one.")],
        4,
    ),
    "rate": (Annotated[int, typer.Option("--rate", help="The full rate, Hz.")], 16000),
    "dimension": (
        Annotated[int, typer.Option(help="Samples of a patch; -1 keeps whole files.")],
        8192,
    ),
    "stride": (
        Annotated[int, typer.Option(help="Samples from one patch's start to the next.")],
        4096,
    ),
    "interpolate": (
        Annotated[
            bool, typer.Option(help="Bring the input back to the full rate by a cubic spline.")
        ],
        True,
    ),
    "low_pass": (Annotated[bool, typer.Option(help="Low-pass before decimation.")], True),
    "sam": (Annotated[float, typer.Option(help="The fraction of patches kept, at random.")], 1.0),
    "batch_size": (
        Annotated[int, typer.Option(help="Cut the number of patches to a multiple of this.")],
        128,
    ),
    "seed": (Annotated[int, typer.Option(help="Of the random choices.")], 0),
    "jobs": (JobsOption, None),
    "cluster": (ClusterOption, None),
    "force": (ForceOption, False),
}


def _command(**defaults: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a command of a function that lists recordings, with the options that all share.

    ``defaults`` are those of shared options that differ. The function returns a ``Listing``, or
    one with settings that follow from it.
    """

    def register(list_recordings: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(list_recordings, eval_str=True).parameters
        shared = {name: option for name, option in SHARED.items() if name not in own}

        def run(**given: Any) -> None:
            _require_extra()
            found = list_recordings(**{name: given[name] for name in own})
            listing, settings = found if isinstance(found, tuple) else (found, {})
            _run(listing, **{name: given[name] for name in shared}, **settings)

        parameters = list(own.values()) + [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=defaults.get(name, default),
                annotation=kind,
            )
            for name, (kind, default) in shared.items()
        ]
        # A parameter without a default stands before those with one.
        parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
        run.__name__, run.__doc__ = list_recordings.__name__, list_recordings.__doc__
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        app.command(cls=WithOldNames)(run)
        return list_recordings

    return register


@_command(scale=2, dimension=-1, stride=3200, interpolate=False, low_pass=False)
def files(
    file_list: FileList,
    in_dir: Annotated[Path, typer.Option("--in-dir", help="Where the listed files lie.")] = Path(),
) -> Found:
    """Prepare the recordings that a list names, with the options of AudioUNet's script.

    \b
    overtone prepare files --file-list train.txt --in-dir wav48/p225 -o train.h5 \\
        --scale 4 --rate 16000 --dimension 8192 --stride 4096 --interpolate --low-pass
    """
    from overtone.data.splits import read_file_list

    return read_file_list(file_list, in_dir.expanduser())


@_command()
def vctk(
    root: Root,
    split: SplitName = "train",
    speaker: Annotated[
        str | None,
        typer.Option(help="One speaker; AudioUNet's is p225. Default: all.", show_default=False),
    ] = None,
    microphone: Annotated[str, typer.Option(help="mic1 or mic2, of version 0.92.")] = "mic1",
    once: Annotated[
        bool, typer.Option("--once", help="Name no file twice, as AudioUNet's lists do.")
    ] = False,
) -> Found:
    """Prepare VCTK 0.80 or 0.92: one speaker, or all with the last ones held out."""
    from overtone.data import splits

    return splits.vctk(root, _split(split), speaker=speaker, microphone=microphone, once=once)


@_command(rate=22050, stride=16384)
def gtzan(
    root: Root,
    genre: Annotated[str, typer.Option(help="blues, classical, country, ...")] = "blues",
    split: SplitName = "train",
) -> Found:
    """Prepare one genre of GTZAN, the last tenth of its tracks held out."""
    from overtone.data import splits

    return splits.gtzan(root, _split(split), genre)


@_command()
def piano(
    root: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Of the arrays or of recordings.")
    ] = None,
    file_list: Annotated[
        Path | None,
        typer.Option("--file-list", metavar="X.npy", help="One array, as AudioUNet's script has."),
    ] = None,
    split: SplitName = "train",
    split_seed: Annotated[int | None, typer.Option(help="Of the split of recordings.")] = None,
    stride: OptionalStride = None,
) -> Found:
    """Prepare SampleRNN's piano arrays (music_train.npy ...), or recordings split 88/6/6."""
    from overtone.data import splits

    where = file_list or root
    if where is None or (file_list and root):
        raise UsageError("give either a folder or one array with --file-list")
    listing = splits.piano(where, _split(split), seed=split_seed)
    if stride is None:
        arrays = listing.names[0].endswith(".npy")
        stride = splits.split_rules("piano")["stride" if arrays else "recordings_stride"]
    return listing, {"stride": stride}


@_command()
def folder(
    root: Root,
    split: SplitName = "train",
    split_by: Annotated[str, typer.Option(help="seed (at random) or name (the last).")] = "seed",
    split_seed: Annotated[int, typer.Option(help="Of the split by seed.")] = 0,
    validation: Annotated[float, typer.Option(help="The part held out for validation.")] = 0.1,
    test: Annotated[float, typer.Option(help="The part held out for testing.")] = 0.0,
) -> Found:
    """Prepare any folder of recordings, split by whole files."""
    from overtone.data import splits

    part = _split(split)
    if split_by == "name":
        return splits.by_name(root, part, validation_fraction=validation, test_fraction=test)
    if split_by == "seed":
        return splits.seeded(
            root, part, seed=split_seed, validation_fraction=validation, test_fraction=test
        )
    raise UsageError(f"--split-by is seed or name, not {split_by!r}")


@app.command(name="inspect")
def inspect_archive(
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
    with laboratory("overtone prepare"):
        import h5py  # noqa: F401
        import scipy  # noqa: F401


def _split(name: str) -> Split:
    from overtone.data.splits import SPLITS

    for split in SPLITS:
        if name == split:
            return split
    raise UsageError(f"no split {name!r}; there are {', '.join(SPLITS)}")


def _run(
    listing: Listing,
    output: Path | None,
    list_only: bool,
    jobs: int | None,
    cluster: str | None,
    force: bool,
    rate: int,
    **options: Any,
) -> None:
    if list_only:
        for line in listing.left_out:
            typer.echo(f"left out: {line}", err=True)
        typer.echo("\n".join(listing.names))
        return
    if output is None:
        raise UsageError("give the archive to write with --output, or --list for its files")
    from pydantic import ValidationError

    from overtone.data.patches import PatchSettings
    from overtone.data.prepare import prepare

    try:
        settings = PatchSettings(sample_rate=rate, **options)
    except ValidationError as error:
        raise UsageError(_describe(error)) from error
    count = prepare(
        listing,
        settings,
        output,
        jobs=jobs,
        cluster=cluster,
        isolated=True,
        overwrite=force,
        log=lambda line: typer.echo(line, err=True),
        progress=_progress if sys.stderr.isatty() else None,
    )
    unit = "whole files" if settings.whole_files else "patches"
    megabytes = output.stat().st_size / 1e6
    typer.echo(f"{output}: {count} {unit} from {len(listing.names)} files, {megabytes:.1f} MB")


def _progress(done: int, total: int) -> None:
    typer.echo(f"\r{done}/{total} recordings", err=True, nl=done == total)


def _describe(error: Any) -> str:
    """Return one line for each option that is wrong."""
    spelled = {"sample_rate": "--rate"}
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else ""
        option = spelled.get(name, f"--{name.replace('_', '-')}") if name else ""
        given = f", not {problem['input']!r}" if name else ""
        message = str(problem["msg"]).removeprefix("Value error, ")
        lines.append(f"{option}: {message}{given}" if option else message)
    return "; ".join(lines)
