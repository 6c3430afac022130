"""``overtone serve``: enhance over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from overtone.cli.options import UsageError
from overtone.errors import InvalidInputError, MissingExtraError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from overtone.serve.settings import Settings

LOOPBACK_HOST, PORT = "127.0.0.1", 8765
# How long open connections may take to end after SIGTERM before they are cut.
GRACE_S = 5

HostOption = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")]


def serve(
    host: HostOption = LOOPBACK_HOST,
    port: PortOption = PORT,
    token: Annotated[
        str,
        typer.Option(
            "--token",
            envvar="OVERTONE_TOKEN",
            help="Clients must send it (Authorization: Bearer TOKEN). Needed for any other host "
            "than this machine.",
        ),
    ] = "",
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin",
            metavar="ORIGIN",
            help="A site whose pages may ask, such as https://example.org. May be repeated.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes. Default: as many as cores."),
    ] = None,
    queue: Annotated[int, typer.Option("--queue", min=0, help="Requests that may wait.")] = 64,
    max_upload: Annotated[
        int, typer.Option("--max-upload", min=1, metavar="MB", help="Largest file.")
    ] = 1000,
    max_duration: Annotated[
        float, typer.Option("--max-duration", min=1, metavar="SECONDS", help="Longest file.")
    ] = 7200,
    max_channels: Annotated[int, typer.Option("--max-channels", min=1, max=64)] = 8,
    max_rate: Annotated[
        int, typer.Option("--max-rate", min=8000, max=384_000, metavar="HZ")
    ] = 192_000,
    max_jobs: Annotated[
        int, typer.Option("--max-jobs", min=1, help="Jobs kept, done or not.")
    ] = 100,
    max_streams: Annotated[int, typer.Option("--max-streams", min=0, help="Open streams.")] = 8,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, metavar="SECONDS", help="A file may take so long.")
    ] = 3600,
    expire: Annotated[
        float, typer.Option("--expire", min=1, metavar="SECONDS", help="How long results stay.")
    ] = 3600,
) -> None:
    """Serve enhancement over HTTP (pip install 'overtone[serve]').

    POST a file to /v1/enhance and get it enhanced; /openapi.json describes the rest: jobs for
    long files, streams, models, metrics.

    \b
    overtone serve
    curl -F file=@call.wav http://127.0.0.1:8765/v1/enhance -o enhanced.wav
    """
    require_extra("overtone serve")
    from overtone.serve.app import create_app
    from overtone.serve.settings import LOOPBACK, MEGABYTE, Limits, Settings

    if host not in LOOPBACK and not token:
        raise UsageError(
            f"--host {host} is open to other machines: give a --token (or OVERTONE_TOKEN)"
        )
    limits = Limits(
        queue=queue,
        upload_bytes=max_upload * MEGABYTE,
        duration_s=max_duration,
        channels=max_channels,
        sample_rate=max_rate,
        jobs=max_jobs,
        streams=max_streams,
        work_s=timeout,
        expire_s=expire,
        **({"workers": workers} if workers else {}),
    )
    settings = Settings(host, port, token, tuple(allow_origin or ()), limits)
    run(create_app(settings), settings)


def require_extra(feature: str) -> None:
    """Say what is missing, in one line, if anything is."""
    for name in ("fastapi", "uvicorn", "multipart", "prometheus_client", "websockets"):
        if find_spec(name) is None:
            raise MissingExtraError(feature, "serve")


def announce(address: str) -> None:
    """Say where the service is."""
    typer.echo(f"overtone serves at {address}", err=True)


def run(app: FastAPI, settings: Settings, ready: Callable[[str], None] = announce) -> None:
    """Serve until Ctrl-C or SIGTERM; ``ready`` gets the address once connections are taken."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
            await super().startup(sockets)  # type: ignore[arg-type]
            if self.started:
                name = f"[{settings.host}]" if ":" in settings.host else settings.host
                bound = self.servers[0].sockets[0].getsockname()[1]
                ready(f"http://{name}:{bound}")

    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        limit_concurrency=settings.limits.connections,
        timeout_graceful_shutdown=GRACE_S,
        ws_max_size=2**20,
        server_header=False,
    )
    try:
        Server(config).run()
    except SystemExit as error:  # uvicorn has said why
        raise InvalidInputError(
            f"cannot listen at {settings.host}:{settings.port}; give another --port, or 0 for a"
            " free one"
        ) from error
