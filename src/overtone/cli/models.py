"""``overtone models``: what is shipped."""

import json
from typing import Annotated

import typer


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the models that come with overtone."""
    from overtone.inference.model import list_models

    found = list_models()
    if as_json:
        typer.echo(json.dumps([model.model_dump(mode="json") for model in found], indent=2))
        return
    for model in found:
        default = " (default)" if model.is_default else ""
        typer.echo(f"{model.name}{default}: {model.description}")
        low_khz, high_khz = model.min_cutoff_hz / 1000, model.max_cutoff_hz / 1000
        typer.echo(
            f"  {model.sample_rate / 1000:g} kHz, for recordings that end at {low_khz:.3g} to"
            f" {high_khz:.3g} kHz"
        )
        typer.echo(
            f"  {model.parameters / 1e6:.1f} M parameters, {model.size_bytes / 1e6:.1f} MB,"
            f" license {model.license}"
        )
        typer.echo(f"  trained on {'; '.join(model.training_data)}")
    if not found:
        typer.echo("no models are shipped with this build; name an .onnx file with -m")
