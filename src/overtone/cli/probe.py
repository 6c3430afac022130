"""``overtone benchmark probe``: can a fresh network tell the new high band from a real one?"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from overtone.cli.options import DataRootOption, DecimateOption, SuitesArgument, laboratory


def probe(
    suites: SuitesArgument,
    models: Annotated[
        list[str],
        typer.Option("-m", "--model", metavar="MODEL", help="A model or baseline; repeatable."),
    ],
    decimate: DecimateOption = None,
    data_root: DataRootOption = Path("data"),
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Training steps.")] = 1500,
    seed: Annotated[int, typer.Option(min=0, help="Of the network and its crops.")] = 0,
) -> None:
    """Train a small discriminator on half of the recordings, and test it on the others.

    It sees log spectra above the cutoff, of the reference and of a system's output. An accuracy
    of 0.5 is guessing: the output cannot be told from a recording. 1 is a tell-tale in every clip.

    \b
    overtone benchmark probe clips/ --decimate 4 -m speech -m soxr
    """
    with laboratory("overtone benchmark probe"):
        from overtone.evaluation.probe import probe as run
        from overtone.evaluation.probe import probe_report
        from overtone.evaluation.suites import read_suites
    from overtone.evaluation.systems import find_systems

    suite = read_suites(suites, data_root, decimate)
    results = []
    problems = list(suite.problems)
    for system in find_systems(models):
        typer.echo(f"{system.name}: {steps} steps", err=True)
        results.append(run(system, suite.cases, steps=steps, seed=seed, log=problems.append))
    probe_report(results, steps=steps, seed=seed).print()
    for problem in dict.fromkeys(problems):
        print(f"overtone: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)
