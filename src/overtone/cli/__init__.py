"""The ``overtone`` command: one small file a command, which parses, calls the library and prints.

``overtone --help`` has to be instant, so these files import nothing heavy at their top.
"""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from overtone import __version__, logs
from overtone.cli import (
    benchmark,
    config,
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
    studio,
    terminal,
    train,
)
from overtone.cli.old_names import (
    ExamplesWithOldNames,
    LiveWithOldNames,
    StreamWithOldNames,
    TrainWithOldNames,
)
from overtone.cli.options import UsageError, in_options, in_plain_words
from overtone.errors import OvertoneError
from overtone.files import reason

VERBOSE = ("-v", "--verbose")


class Commands(TyperGroup):
    """The commands, of which each understands ``-v``, and says what is wrong in plain words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments with ``-v`` before the command, wherever it was given."""
        end = args.index("--") if "--" in args else len(args)
        flags = [word for word in args[:end] if word in VERBOSE]
        return super().parse_args(
            ctx, flags + [w for w in args[:end] if w not in VERBOSE] + args[end:]
        )

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = in_plain_words(error)
            raise


app = typer.Typer(
    name="overtone",
    cls=Commands,
    no_args_is_help=True,
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
    (examples.examples, ExamplesWithOldNames),
    (plot.plot, None),
    (train.train, TrainWithOldNames),
    (export.export, None),
    (serve.serve, None),
    (studio.studio, None),
    (config.config, None),
):
    app.command(cls=kind)(command)
app.add_typer(benchmark.app)
app.add_typer(prepare.app, name="prepare")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"overtone {__version__}")
        if set(VERBOSE) & set(sys.argv):  # it may come before or after
            from overtone.cli.versions import describe

            typer.echo("\n".join(describe()))
        raise typer.Exit


# Commands that say much by themselves, or keep a log.
TALKATIVE = ("train", "serve")


@app.callback()
def overtone(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version; with -v, those of what it uses, too.",
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "-v",
            "--verbose",
            help="Log what is done, and show what decoders say and where an internal error lies.",
        ),
    ] = False,
) -> None:
    """Audio super-resolution: keeps the band a recording has, predicts the band it lost."""
    del version  # has been printed
    terminal.verbose = verbose
    if verbose:
        logs.show()
    elif context.invoked_subcommand not in TALKATIVE:
        terminal.hush()
    settings = config.read(context)
    for file in dict.fromkeys(setting.file for setting in settings):
        logs.LOGGER.info("options of %s", file)
    context.default_map = config.default_map(settings)


def main() -> None:
    """Run the command line; the exit code is 1 after an error and 2 after wrong usage."""
    terminal.prepare()
    code = 1
    try:
        try:
            app(prog_name="overtone")
        finally:
            sys.stdout.flush()
    except OvertoneError as error:
        terminal.fail(in_options(str(error)))
        code = 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:
        pass  # the reader has gone (``overtone models | head -1``): nothing is left to say
    except KeyboardInterrupt:
        sys.exit(130)
    except MemoryError:
        terminal.fail("not enough memory")
    except OSError as error:
        where = "system error" if terminal.can_print() else "standard output"
        terminal.fail(in_options(f"{error.filename or where}: {reason(error)}"))
    except ImportError as error:
        first = error.__cause__ or error  # numpy wraps it into a page of advice
        terminal.fail(in_options(f"cannot be loaded: {first}; check memory and installation"))
    except Exception as error:
        terminal.fail_over(error)
    else:
        return
    finally:
        terminal.leave()
    sys.exit(code)
