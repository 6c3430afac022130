"""The ``overtone`` command: one small file a command, which parses, calls the library and prints.

``overtone --help`` has to be instant, so these files import nothing heavy at their top.
"""

import os
import sys
from typing import Annotated

import typer

from overtone import __version__
from overtone.cli import (
    benchmark,
    enhance,
    evaluate,
    examples,
    export,
    inspect,
    live,
    models,
    plot,
    prepare,
    serve,
    stream,
    train,
)
from overtone.cli.old_names import LiveWithOldNames, StreamWithOldNames, WithOldNames
from overtone.cli.options import in_options
from overtone.errors import OvertoneError

app = typer.Typer(
    name="overtone",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain text: quicker, and brackets in it mean nothing
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command, kind in (
    (enhance.enhance, None),
    (stream.stream, StreamWithOldNames),
    (live.live, LiveWithOldNames),
    (models.models, None),
    (inspect.inspect, None),
    (evaluate.evaluate, None),
    (examples.examples, None),
    (plot.plot, None),
    (train.train, WithOldNames),
    (export.export, None),
    (serve.serve, None),
):
    app.command(cls=kind)(command)
app.add_typer(benchmark.app)
app.add_typer(prepare.app, name="prepare")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"overtone {__version__}")
        raise typer.Exit


@app.callback()
def overtone(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Audio super-resolution: keeps the band a recording has, predicts the band it lost."""


def main() -> None:
    """Run the command line; the exit code is 1 after an error and 2 after wrong usage."""
    for text in (sys.stdout, sys.stderr):
        if hasattr(text, "reconfigure"):
            text.reconfigure(errors="backslashreplace")  # file names may hold any bytes
    try:
        try:
            app(prog_name="overtone")
        finally:
            sys.stdout.flush()
    except OvertoneError as error:
        print(f"overtone: {in_options(str(error))}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # The reader has gone (``overtone models | head -1``): nothing is left to say, and the
        # interpreter must not find anything to flush when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
