"""``overtone benchmark``: measurements of overtone itself."""

from typing import Annotated

import typer

from overtone.cli.archives import archives
from overtone.cli.cutoff import cutoff
from overtone.cli.options import ForceOption, JsonOption, MarkdownOption, ModelsOption, usage
from overtone.cli.pictures import pictures
from overtone.cli.probe import probe
from overtone.cli.quality import quality
from overtone.cli.robustness import robustness

app = typer.Typer(
    name="benchmark",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure overtone itself.",
)


@app.callback()
def benchmark() -> None:
    """Measure overtone itself."""


for command in (quality, robustness, probe, archives, cutoff, pictures):
    app.command()(command)


@app.command()
def speed(
    models: ModelsOption = None,
    seconds: Annotated[
        float,
        typer.Option("--seconds", min=1, max=86_400, metavar="S", help="Length of the file timed."),
    ] = 300,
    lengths: Annotated[
        str,
        typer.Option(
            "--lengths",
            metavar="LIST",
            help="Also time stereo files this long, such as 1,10,1min,10min,1h,6h ('' for none). "
            "An hour takes half a minute to a minute, and 0.7 GB of disk.",
        ),
    ] = "1,10,1min,10min",
    jobs: Annotated[
        int,
        typer.Option(
            "-j", "--jobs", min=1, metavar="N", help="Also time many files, by 1 and N processes."
        ),
    ] = 1,
    as_json: JsonOption = False,
    markdown: MarkdownOption = None,
    force: ForceOption = False,
) -> None:
    """Measure time, latency, start-up and memory on this machine.

    Times the whole command on recordings made on the fly, on one core and on all, and blocks of
    10 ms in a live stream. Let nothing else run, or trust the CPU-seconds only.

    \b
    overtone benchmark speed
    overtone benchmark speed --lengths 1,10,1min,10min,1h,6h -j 2 --markdown speed.md --force
    """
    from overtone.errors import InvalidInputError
    from overtone.evaluation.speed import as_json as to_json
    from overtone.evaluation.speed import measure, parse_lengths
    from overtone.evaluation.speed_report import jobs_sentence, lengths_table, summary, write_page
    from overtone.files import refuse_existing
    from overtone.inference.model import list_models

    with usage():
        lengths_s = parse_lengths(lengths)
    if markdown is not None:
        refuse_existing(markdown, force)  # before minutes of work
    names = models or [model.name for model in list_models()]
    if not names:
        raise InvalidInputError("no models are shipped with this build; name one with -m")
    speeds = [
        measure(
            name,
            seconds=seconds,
            lengths_s=lengths_s,
            jobs=jobs,
            log=lambda line: typer.echo(line, err=True),
        )
        for name in names
    ]
    if as_json:
        typer.echo(to_json(speeds), nl=False)
    else:
        summary(speeds).print()
        for one in speeds:
            if one.lengths:
                lengths_table(one.lengths).print()
            if jobs > 1:
                typer.echo(jobs_sentence(one))
    if markdown is not None:
        options = [f"-m {name}" for name in models or []]
        options += [f"--lengths {lengths}"] if lengths else []
        options += [f"-j {jobs}"] if jobs > 1 else []
        options.append("--markdown docs/results/speed.md")
        command = " ".join(["overtone benchmark speed", *options])
        for path in write_page(speeds, markdown, command, overwrite=force):
            typer.echo(f"wrote {path}", err=True)
