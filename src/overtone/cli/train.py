"""``overtone train``: run a recipe."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from overtone.cli.options import UsageError, laboratory, parse_learning_rate
from overtone.errors import ConfigError


def train(
    recipe: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECIPE.toml",
            help="What to train, on what. Default: TFiLM as in its paper, on the two archives in"
            " --data-root.",
            show_default=False,
        ),
    ] = None,
    data_root: Annotated[
        Path,
        typer.Option(
            "--data-root", metavar="FOLDER", help="Where the recipe's corpora or archives lie."
        ),
    ] = Path("data"),
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Checkpoints and logs. Default: runs/NAME."
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", metavar="FOLDER", help="Decoded samples. Default: cache/NAME."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint of this run.")
    ] = False,
    warm_start: Annotated[
        Path | None,
        typer.Option(
            "--warm-start",
            metavar="CHECKPOINT",
            help="Begin a new run from the weights of another, for example runs/speech/last.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", min=1, help="Total steps instead of the recipe's.", show_default=False
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Epochs instead of the recipe's.", show_default=False),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            "--lr",
            metavar="RATE",
            parser=parse_learning_rate,
            help="Learning rate instead of the recipe's: 3e-4, or a product such as 3*10e-4.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            help="Examples a step instead of the recipe's.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            min=1,
            help="CPU threads. Default: one for each idle core.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")
    ] = "auto",
    accumulate: Annotated[
        int | None,
        typer.Option(
            "--accumulate",
            min=1,
            metavar="N",
            help="Take each batch in N parts, one after another: less memory. Default: 4 on a CPU,"
            " shared by the processes; 1 on a GPU.",
            show_default=False,
        ),
    ] = None,
    compile_model: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Use torch.compile (a minute at start).")
    ] = True,
) -> None:
    """Train a model from a recipe.

    Ctrl-C saves a checkpoint and stops, at any time; --resume goes on exactly where it was.

    \b
    overtone train configs/speech.toml --data-root recordings
    overtone export runs/speech/last -o speech.onnx
    torchrun --nproc-per-node 4 -m overtone train configs/speech.toml
    overtone train --data-root archives --epochs 50 --lr 3e-4 --batch-size 16
    """
    # Threads that wait for each other sleep, unless told otherwise: by default they spin for
    # milliseconds, and on a busy machine burn twenty times what they compute. OpenMP reads it once.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with laboratory("overtone train"):
        import torch

        from overtone.training.device import idle_cores
        from overtone.training.families import load_recipe
        from overtone.training.loop import train as run
        from overtone.training.recipe import overridden
        from overtone.training.watch import Stopped
        from overtone.training.waveform import recipe_for_archives
    if resume and warm_start:
        raise UsageError("--warm-start begins a new run; leave it out to --resume one")
    config = load_recipe(recipe) if recipe else None
    if not data_root.is_dir():
        raise ConfigError(f"no folder {data_root}; give the corpora's parent with --data-root")
    config = overridden(
        config or recipe_for_archives(data_root),
        {"steps": steps, "epochs": epochs, "learning_rate": lr, "batch_size": batch_size},
    )
    if recipe is None:
        o = config.optimiser
        typer.echo(
            f"no recipe: {config.description}; learning rate {o.learning_rate:g}, batches of"
            f" {o.batch_size}"
        )
    if threads or "OMP_NUM_THREADS" not in os.environ:
        own = max(1, idle_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        torch.set_num_threads(threads or own)
    try:
        run(
            config,
            data_root,
            output or Path("runs") / config.name,
            cache=cache or Path("cache") / config.name,
            resume=resume,
            warm_start=warm_start,
            device=device,
            compile_model=compile_model,
            accumulate=accumulate,
            log=typer.echo,
        )
    except Stopped as stopped:
        sys.exit(128 + stopped.number)
