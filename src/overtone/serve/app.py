"""The routes of the service, and its description (``/openapi.json``)."""

from __future__ import annotations

import asyncio
import base64
import errno
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection

from overtone import __version__
from overtone.inference.model import list_models
from overtone.serve.guard import Guard
from overtone.serve.jobs import Job, JobState
from overtone.serve.options import MEDIA_TYPES, Options, Report, in_one_line
from overtone.serve.service import CLIENT_CLOSED, Service, unless_gone
from overtone.serve.settings import Settings
from overtone.serve.stream import TRY_AGAIN, close, serve_stream
from overtone.serve.work import Enhance

REPORT_HEADER = "X-Overtone-Report"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
DESCRIPTION = """Restores the high frequencies that recordings have lost.

Send a file to `/v1/enhance`, or, if it is long, to `/v1/jobs`. Live sound goes through the
WebSocket `/v1/stream`: the options as JSON text, then samples as binary messages."""
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The audio file, raw or as the field `file` of a form. Options may be fields"
        " of the form, too.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
SOUND: dict[str, Any] = {
    kind: {"schema": {"type": "string", "format": "binary"}}
    for kind in sorted(set(MEDIA_TYPES.values()))
}
SOUND_OR_JSON: dict[str, Any] = {
    "description": f"The enhanced audio; the header `{REPORT_HEADER}` is its report.",
    "content": SOUND,
}


class Problem(BaseModel):
    """Why a request was not done, in one line."""

    detail: str


class Enhanced(BaseModel):
    """An answer as JSON."""

    report: Report
    audio: str


class ModelDescription(BaseModel):
    """A model to choose, as `overtone models --json` has it."""

    model_config = ConfigDict(extra="allow")

    name: str
    description: str
    is_default: bool
    runs_live: bool


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Answers of a route besides the good one."""
    return {code: {"model": Problem} for code in codes}


GUARDED = (401, 403, 421)
UPLOADING = (*GUARDED, 400, 408, 413, 415, 422, 429, 500, 507)


router = APIRouter()


def _service(connection: HTTPConnection) -> Service:
    service: Service = connection.app.state.service
    return service


TheService = Annotated[Service, Depends(_service)]


@router.post(
    "/v1/enhance",
    response_class=Response,
    responses={200: {"model": Enhanced, **SOUND_OR_JSON}, **problems(*UPLOADING)},
    openapi_extra=BODY,
)
async def enhance(
    request: Request, options: Annotated[Options, Query()], service: TheService
) -> Response:
    """Enhance a file and answer with the result.

    With the header `Accept: application/json` the answer is a report and the audio in base64.
    """
    with service.new_folder() as folder:
        task = await service.upload(request, folder, options)
        report = await unless_gone(request, service.do(task))
        cleanup = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        if request.headers.get("accept") != "application/json":
            return _file(task, report, cleanup)
        audio = base64.b64encode(await asyncio.to_thread(task.destination.read_bytes))
        content = Enhanced(report=report, audio=audio.decode("ascii")).model_dump(mode="json")
        return JSONResponse(content, background=cleanup)


def _file(task: Enhance, report: Report, background: BackgroundTask | None = None) -> Response:
    return FileResponse(
        task.destination,
        media_type=MEDIA_TYPES[task.options.format],
        filename=f"{Path(task.name).stem}.enhanced.{task.options.format}",
        headers={REPORT_HEADER: json.dumps(report.model_dump(mode="json"))},
        background=background,
    )


@router.post(
    "/v1/jobs",
    status_code=202,
    responses=problems(*UPLOADING),
    openapi_extra=BODY,
)
async def start_job(
    request: Request, options: Annotated[Options, Query()], service: TheService
) -> JobState:
    """Send a file to be enhanced in the background."""
    if service.jobs.full:
        raise HTTPException(
            429, f"{service.limits.jobs} jobs are kept already; fetch and delete some"
        )
    with service.new_folder() as folder:
        task = await service.upload(request, folder, options)
        return service.start_job(task, folder).told()


def _job(job_id: str, service: TheService) -> Job:
    job = service.jobs.get(job_id)
    if job is None:
        raise HTTPException(404, "no such job: it expired, was deleted, or never was")
    return job


TheJob = Annotated[Job, Depends(_job)]
OF_A_JOB = problems(*GUARDED, 404, 422)


@router.get("/v1/jobs/{job_id}", responses=OF_A_JOB)
async def job_state(job: TheJob) -> JobState:
    """Ask where a job stands."""
    return job.told()


@router.get(
    "/v1/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The job's state whenever it changes, as server-sent events.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **OF_A_JOB,
    },
)
async def job_events(job: TheJob) -> StreamingResponse:
    """Watch a job until it ends."""

    async def events() -> AsyncIterator[str]:
        async for state in job.changes():
            yield f"data: {state.model_dump_json()}\n\n"

    return StreamingResponse(
        events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


@router.get(
    "/v1/jobs/{job_id}/result",
    response_class=Response,
    responses={
        200: {"description": "The enhanced audio.", "content": SOUND},
        **OF_A_JOB,
        **problems(409),
    },
)
async def job_result(job: TheJob) -> Response:
    """Fetch the audio of a job that is done."""
    if job.report is None:
        raise HTTPException(409, job.error or f"the job is {job.state}; wait until it is done")
    return _file(job.task, job.report)


@router.delete("/v1/jobs/{job_id}", status_code=204, responses=OF_A_JOB)
async def delete_job(job: TheJob, service: TheService) -> None:
    """Stop a job if it still runs, and delete its result."""
    service.jobs.remove(job)


@router.websocket("/v1/stream")
async def stream(socket: WebSocket, service: TheService) -> None:
    """Enhance live sound."""
    if service.streams >= service.limits.streams:
        await socket.accept()
        await close(socket, TRY_AGAIN, f"{service.streams} streams are open; try again later")
        return
    service.streams += 1
    try:
        await serve_stream(socket, service.limits, service.models)
    finally:
        service.streams -= 1


@router.get("/v1/models", responses=problems(*GUARDED))
async def models() -> list[ModelDescription]:
    """List the models."""
    return [
        ModelDescription(**{**info.model_dump(), "runs_live": info.runs_live})
        for info in list_models()
    ]


@router.get("/healthz", responses=problems(*GUARDED))
async def healthz() -> dict[str, str]:
    """Tell that the service runs. Needs no token."""
    return {"status": "ok"}


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"description": "Prometheus metrics.", "content": {"text/plain": {}}},
        **problems(*GUARDED),
    },
)
async def metrics(service: TheService) -> Response:
    """Give figures to Prometheus."""
    return Response(generate_latest(service.registry), media_type=CONTENT_TYPE_LATEST)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the application; ``overtone serve`` gives it to uvicorn.

    Example:
        >>> create_app(Settings(port=8000)).title
        'overtone'
    """
    settings = settings or Settings()
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="overtone",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        # FastAPI's pages fetch their scripts from another host.
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.add_middleware(Guard, settings=settings, observe=service.observe)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[REPORT_HEADER, "Content-Disposition"],
        )
    _add_answers_to_errors(app)
    app.include_router(router)
    return app


def _add_answers_to_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"detail": in_one_line(error.errors())}, 422)

    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, error: StarletteHTTPException) -> Response:
        # A client that is still sending must not take its file's rest for the next request.
        headers = {**(error.headers or {}), "Connection": "close"}
        return JSONResponse({"detail": error.detail}, error.status_code, headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_CLOSED)

    @app.exception_handler(OSError)
    async def failed(_: Request, error: OSError) -> Response:
        if error.errno in DISK_FULL:
            return JSONResponse({"detail": "the disk of the service is full"}, 507)
        raise error
