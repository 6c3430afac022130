"""``overtone benchmark quality``: systems side by side on suites of cases."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from overtone.cli.options import (
    ClusterOption,
    DataRootOption,
    DecimateOption,
    ForceOption,
    JobsOption,
    MarkdownOption,
    ModelsOption,
    PerceptualOption,
    SuitesArgument,
    laboratory,
)


def quality(
    suites: SuitesArgument,
    models: ModelsOption = None,
    decimate: DecimateOption = None,
    data_root: DataRootOption = Path("data"),
    versus: Annotated[
        str, typer.Option("--versus", metavar="NAME", help="The system to take differences to.")
    ] = "soxr",
    perceptual: PerceptualOption = False,
    align: Annotated[
        bool,
        typer.Option("--align/--no-align", help="Align outputs with references, whole samples."),
    ] = True,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Write cases.csv, results.json, summary.md, report.html and timings.json.",
        ),
    ] = None,
    clips: Annotated[
        int,
        typer.Option("--clips", min=0, metavar="N", help="Clips to see and hear in report.html."),
    ] = 6,
    markdown: MarkdownOption = None,
    jobs: JobsOption = None,
    cluster: ClusterOption = None,
    force: ForceOption = False,
) -> None:
    """Compare models, baselines and other systems' outputs on the same clips.

    A suite is a folder of SET/CLIP/ with reference.wav, low.wav and other
    systems' outputs by name, or a TOML file that says how clips are cut from
    a corpus. Cases that cannot be used are named and left out, and the exit
    code is 1.

    \b
    overtone benchmark quality clips/ -o results/
    overtone benchmark quality clips/ --decimate 4 -m mine.onnx --versus speech
    """
    _require_extras(perceptual)
    from overtone.evaluation.quality import choose_systems, compare, system_names
    from overtone.evaluation.quality_report import (
        check_folder,
        page_around,
        report,
        require_system,
        summarise,
        update_page,
        write_folder,
    )
    from overtone.evaluation.suites import read_suites

    if output is not None:
        check_folder(output, force)
    if markdown is not None:
        page_around(markdown, force)
    suite = read_suites(suites, data_root, decimate)
    systems = choose_systems(models or [])
    require_system(system_names(suite, systems), versus)
    with _progress() as log:
        comparison = compare(
            suite,
            systems,
            align=align,
            perceptual=perceptual,
            examples=clips if output is not None else 0,
            log=log,
            jobs=jobs,
            cluster=cluster,
            make_systems=partial(choose_systems, models or []),
        )
    rows = summarise(comparison, versus)
    for problem in comparison.problems:
        print(f"overtone: {problem}", file=sys.stderr)
    if rows:
        report(comparison, rows, versus).print()
    else:
        raise typer.Exit(1)
    if output is not None:
        for path in write_folder(comparison, rows, versus, output, overwrite=force):
            typer.echo(f"wrote {path}", err=True)
    if markdown is not None:
        command = _command(suites, models or [], decimate, versus, perceptual, align, markdown)
        update_page(comparison, rows, versus, markdown, command, overwrite=force)
        typer.echo(f"wrote {markdown}", err=True)
    if comparison.problems:
        raise typer.Exit(1)


def _require_extras(perceptual: bool) -> None:
    with laboratory("overtone benchmark quality"):
        import scipy  # noqa: F401
    if perceptual:
        from overtone.metrics import require_perceptual

        require_perceptual()


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show on a terminal which case was done last."""
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield lambda label: status.update(f"compared {label}")


def _command(
    suites: Sequence[Path],
    models: Sequence[str],
    decimate: int | None,
    versus: str,
    perceptual: bool,
    align: bool,
    page: Path,
) -> str:
    """Return the command as a page can say it: names, not this machine's folders."""
    words = ["overtone benchmark quality", *map(_shown, suites)]
    words += ["--data-root FOLDER"] * any(path.suffix == ".toml" for path in suites)
    words += [f"-m {_shown(Path(model))}" for model in models]
    words += [f"--decimate {decimate}"] * (decimate is not None)
    words += [f"--versus {versus}"] * (versus != "soxr")
    words += ["--perceptual"] * perceptual + ["--no-align"] * (not align)
    return " ".join([*words, f"--markdown {_shown(page)} --force"])


def _shown(path: Path) -> str:
    return path.name if path.is_absolute() or ".." in path.parts else path.as_posix()
