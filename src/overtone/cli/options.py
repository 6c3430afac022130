"""What several commands ask for in the same words: option types and how their values are read."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from overtone.errors import InvalidInputError, MissingExtraError, OvertoneError
from overtone.logs import printable

T = TypeVar("T")

PIPE = "-"  # standard input or output
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 384_000


class UsageError(OvertoneError):
    """Options that cannot be, alone or together, whatever the files are; the exit code is 2."""


class Device(StrEnum):
    """Where the model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def parse_hertz(text: str) -> float:
    """Read a frequency: ``4000``, ``4k``, ``44.1 kHz``."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*(k?)(?:hz)?", text.strip(), flags=re.IGNORECASE)
    if not match or float(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is not a frequency in Hz, such as 4000 or 4k")
    return float(match[1]) * (1000 if match[2] else 1)


def parse_cutoff(text: str) -> float | str | None:
    """Read a cutoff: a frequency, ``auto`` (None) to have it detected, or ``guess``."""
    word = text.strip().lower()
    return None if word == "auto" else word if word == "guess" else parse_hertz(text)


def parse_seconds(text: str) -> float:
    """Read a time: ``90``, ``1:30``, ``1:02:03.5``."""
    if not re.fullmatch(r"(\d+:)?(\d+:)?\d+(\.\d*)?", text.strip()):
        raise typer.BadParameter(f"{text!r} is not a time, such as 90, 1:30 or 1:02:03.5")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def parse_selection(text: str) -> tuple[float, float]:
    """Read a part of a recording: ``1:30-2:00``, or ``1:30-`` to its end."""
    start, dash, end = text.partition("-")
    if not dash:
        raise typer.BadParameter(f"{text!r} is not a part, such as 1:30-2:00, or 1:30- to the end")
    return parse_seconds(start or "0"), parse_seconds(end) if end.strip() else math.inf


def parse_lufs(text: str) -> float | None:
    """Read a loudness: ``-16``, or ``none``."""
    word = text.strip().lower().removesuffix("lufs")
    if word == "none":
        return None
    try:
        return float(word)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a loudness, such as -16, or none") from None


def parse_rate(text: str) -> int:
    """Read a sample rate in Hz."""
    rate = round(parse_hertz(text))
    if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
        raise typer.BadParameter(f"{rate} Hz is not within {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}")
    return rate


def parse_learning_rate(text: str) -> float:
    """Read a number above 0, or a product of such as the published ``3*10e-4``, which is 0.003."""
    try:
        rate = math.prod(float(factor) for factor in text.split("*"))
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise typer.BadParameter(f"{text!r} is not a learning rate, such as 3e-4")
    return rate


# Library messages speak of arguments; on the command line these are options.
OPTIONS = {
    "overwrite=True": "--force",
    "output_rate": "--rate",
    "cutoff_hz": "--cutoff",
    "level_dbfs": "--level",
    "analysis_s": "--analysis",
    "timeout_s": "--timeout",
    "strength_db": "--strength",
    "target_lufs": "--target-lufs",
}


# What typer takes over from pydantic; older versions have words of their own.
IN_PLAIN_WORDS = {
    r"^Value error, ": "",
    r"^Input should be less than or equal to ": "give a number of at most ",
    r"^Input should be greater than or equal to ": "give a number of at least ",
    r"^Input should be a valid integer.*": "give a whole number",
    r"^Input should be a valid number.*": "give a number",
}
NO_NUMBER = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


def parse_shard(text: str) -> tuple[int, int]:
    """Read a part of a whole: ``2/8``."""
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise typer.BadParameter(f"{text!r} is not a part such as 2/8, the second of eight")
    return int(match[1]), int(match[2])


def in_options(message: str) -> str:
    """Return a library's message in one printable line, with options in place of arguments."""
    line = printable(" ".join(message.split()))
    for argument, option in OPTIONS.items():
        line = re.sub(rf"(?<![\w./-]){re.escape(argument)}(?![\w/])", option, line)
    return line


def in_plain_words(error: typer.BadParameter) -> str:
    """Return what is wrong with a value as overtone says it, where typer takes it from pydantic."""
    problems: list[Any] = getattr(error.__cause__, "errors", list)()
    if any(NO_NUMBER.fullmatch(str(problem["input"])) for problem in problems):
        return f"must be a number, not {problems[0]['input']}"
    message = error.message
    for words, plain in IN_PLAIN_WORDS.items():
        message = re.sub(words, plain, message)
    return message


ModelOption = Annotated[
    str,
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="A name that 'overtone models' lists, or an .onnx file; auto tells music from speech"
        " where a whole file is at hand.",
    ),
]
DeviceOption = Annotated[Device, typer.Option("-d", "--device", help="Where to compute.")]
FidelityOption = Annotated[
    float | None,
    typer.Option(
        "--fidelity",
        min=0,
        max=1,
        metavar="0..1",
        help="0 for the best perceptual quality, 1 for the least distortion. Default: 0.",
        show_default=False,
    ),
]
StrengthOption = Annotated[
    float,
    typer.Option(
        "--strength",
        min=-40,
        max=40,
        metavar="DB",
        help="Makes the new high band louder, or, below 0, tames it; what was given stays.",
    ),
]
LevelOption = Annotated[
    float | None,
    typer.Option(
        "--level",
        min=-100,
        max=0,
        metavar="DBFS",
        help="RMS level of the sound, pauses aside. Default: -26, that of telephony.",
        show_default=False,
    ),
]


def cutoff_option(meaning: str) -> Any:
    """Return ``--cutoff``, a frequency, with what it is for."""
    return typer.Option(
        "--cutoff", metavar="HZ", parser=parse_hertz, help=meaning, show_default=False
    )


def rate_option(meaning: str) -> Any:
    """Return ``-r``, ``--rate``, with what it is the rate of."""
    return typer.Option(
        "-r", "--rate", metavar="HZ", parser=parse_rate, help=meaning, show_default=False
    )


ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="auto|local|ADDRESS",
        help="Share the work among the machines of a Ray cluster: that of this machine, one made"
        " here, or the one at an address.",
        show_default=False,
    ),
]
ShardOption = Annotated[
    Any,
    typer.Option(
        "--shard",
        metavar="I/N",
        parser=parse_shard,
        help="Do the I-th of N parts, for machines that share the work without a cluster.",
        show_default=False,
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "-j",
        "--jobs",
        min=1,
        metavar="N",
        help="How many are done at the same time. Default: 1, or one on each core of a cluster.",
        show_default=False,
    ),
]
ForceOption = Annotated[bool, typer.Option("-f", "--force", help="Overwrite what exists.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
MarkdownOption = Annotated[
    Path | None,
    typer.Option(
        "--markdown",
        metavar="FILE.md",
        help="Write a page, and its table and pictures beside it; or a page's made part.",
    ),
]
IntoOption = Annotated[
    Path | None, typer.Option("--into", metavar="PAGE.md", help="Renew the tables of this page.")
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="A shipped model or an .onnx file; may be given again. Default: every shipped model.",
        show_default=False,
    ),
]
PerceptualOption = Annotated[
    bool, typer.Option("-p", "--perceptual", help="Add ViSQOL, PESQ, STOI, DNSMOS (slow).")
]
SuitesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="SUITE", help="Folders of cases, or TOML files that describe them."),
]
DecimateOption = Annotated[
    int | None,
    typer.Option(
        "--decimate",
        min=2,
        metavar="R",
        help="Make every input from its reference, R times as low in rate, by "
        "scipy.signal.decimate. Default: low.* in the case.",
        show_default=False,
    ),
]
DataRootOption = Annotated[
    Path, typer.Option("--data-root", metavar="FOLDER", help="Where a TOML file's folders lie.")
]


@contextmanager
def usage() -> Iterator[None]:
    """Let what the library refuses be wrong usage."""
    try:
        yield
    except InvalidInputError as error:
        raise UsageError(str(error)) from error


@contextmanager
def laboratory(what: str) -> Iterator[None]:
    """Say which extra ``what`` needs where an import fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(what, "train") from error


def track(items: Sequence[T], doing: str) -> Iterator[T]:
    """Yield ``items``, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(items, doing, console=console, transient=True, disable=not console.is_terminal)
