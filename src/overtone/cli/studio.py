"""``overtone studio``: hear and see it, on a page in the browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from overtone.cli.options import UsageError
from overtone.cli.serve import LOOPBACK_HOST, PORT, PortOption, require_extra, run
from overtone.errors import InvalidInputError


def studio(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Audio files or folders to begin with."),
    ] = None,
    static: Annotated[
        Path | None,
        typer.Option(
            "--static",
            metavar="DIR",
            help="Write the page into a new folder instead, for any web server: the model then "
            "runs in the browser, and nothing is uploaded.",
        ),
    ] = None,
    ort: Annotated[
        Path | None,
        typer.Option(
            "--ort",
            metavar="DIR",
            help="For --static: files of onnxruntime-web. Default: fetched with npm, once.",
        ),
    ] = None,
    port: PortOption = PORT,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page.", show_default=False)
    ] = True,
) -> None:
    """Open a page to compare before and after (pip install 'overtone[serve]').

    It runs on this machine only. Drop files onto it, listen, change the cutoff, download.

    \b
    overtone studio
    overtone studio call.wav
    overtone studio --static public/
    """
    if ort is not None and static is None:
        raise UsageError("--ort is for --static: give both")
    if static is not None:
        from overtone.serve.static import write_static

        write_static(static, runtime=ort)
        typer.echo(f"{static}: put it on any web server, or: python -m http.server -d {static}")
        return
    require_extra("overtone studio")
    from overtone.audio.sources import find_sources
    from overtone.serve.app import create_app
    from overtone.serve.settings import Settings
    from overtone.serve.studio import add_studio

    sources, failures = find_sources(files or [])
    for path, reason in failures:
        raise InvalidInputError(f"{path}: {reason}")
    settings = Settings(LOOPBACK_HOST, port)
    app = create_app(settings)
    add_studio(app, [source.path.resolve() for source in sources])

    def ready(address: str) -> None:
        typer.echo(f"overtone studio is at {address} (Ctrl-C ends it)", err=True)
        if browser:
            webbrowser.open(address)

    run(app, settings, ready)
