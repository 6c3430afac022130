"""The page, and the routes that only it uses: files that stay open while they are worked on."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse, Response
from pydantic import Field
from starlette.background import BackgroundTask
from starlette.staticfiles import StaticFiles

from overtone.serve.app import TheService
from overtone.serve.jobs import JobState
from overtone.serve.options import Options
from overtone.serve.preview import Look, Section
from overtone.serve.service import unless_gone
from overtone.serve.uploads import receive, safe_name

PAGE = Path(__file__).with_name("page")
SECTION_HEADER = "X-Overtone-Section"
LONGEST_SECTION_S = 60.0


@dataclass(frozen=True)
class OpenFile:
    """A file that the page works on; ``folder`` is there if it was uploaded."""

    name: str
    path: Path
    folder: Path | None = None


class SectionOptions(Options):
    """Which seconds of a file, in s, and whether they are enhanced."""

    start: float = Field(ge=0)
    duration: float = Field(gt=0, le=LONGEST_SECTION_S)
    enhanced: bool


SECTION_FIELDS = ("start", "duration", "enhanced")
router = APIRouter(prefix="/studio", include_in_schema=False)


def add_studio(app: FastAPI, paths: Sequence[Path] = ()) -> None:
    """Add the page to the service; ``paths`` are open in it from the start."""
    files = {secrets.token_urlsafe(9): OpenFile(path.name, path) for path in paths}
    app.state.files = files
    app.include_router(router)
    app.mount("/", StaticFiles(directory=PAGE, html=True))


def _file(request: Request, file_id: str) -> OpenFile:
    file: OpenFile | None = request.app.state.files.get(file_id)
    if file is None:
        raise HTTPException(404, "the file is not open any more: open it again")
    return file


TheFile = Annotated[OpenFile, Depends(_file)]


@router.get("/files")
async def files(request: Request) -> list[dict[str, str]]:
    """List the open files."""
    return [{"id": key, "name": file.name} for key, file in request.app.state.files.items()]


@router.post("/files")
async def open_file(request: Request, service: TheService) -> dict[str, str]:
    """Open another file."""
    opened: dict[str, OpenFile] = request.app.state.files
    if len(opened) >= service.limits.jobs:
        raise HTTPException(429, f"{len(opened)} files are open; close some")
    with service.new_folder() as folder:
        upload = await receive(request, folder / "input", service.limits)
        name = safe_name(request.query_params.get("name", upload.name))
        key = secrets.token_urlsafe(9)
        opened[key] = OpenFile(name, folder / "input", folder)
        return {"id": key, "name": name}


@router.get("/files/{file_id}")
async def look(file: TheFile, service: TheService) -> dict[str, Any]:
    """Describe a file."""
    described: dict[str, Any] = await service.do(Look(file.path, file.name, service.limits))
    return described


@router.delete("/files/{file_id}", status_code=204)
async def close_file(request: Request, file_id: str, file: TheFile) -> None:
    """Close a file, and delete it if it was uploaded."""
    del request.app.state.files[file_id]
    if file.folder is not None:
        shutil.rmtree(file.folder, ignore_errors=True)


@router.get("/files/{file_id}/section")
async def section(
    request: Request,
    file: TheFile,
    wanted: Annotated[SectionOptions, Query()],
    service: TheService,
) -> Response:
    """Some seconds, as interleaved 32-bit floats; the header has rate and channels."""
    with service.new_folder() as folder:
        out = folder / "samples"
        options = Options.model_validate(wanted.model_dump(exclude=set(SECTION_FIELDS)))
        if options.model not in service.models:
            raise HTTPException(422, f"no model {options.model!r}")
        task = Section(
            file.path,
            file.name,
            out,
            options,
            start_s=wanted.start,
            duration_s=wanted.duration,
            enhanced=wanted.enhanced,
        )
        told = await unless_gone(request, service.do(task))
        return FileResponse(
            out,
            media_type="application/octet-stream",
            headers={SECTION_HEADER: json.dumps(told)},
            background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
        )


@router.post("/files/{file_id}/jobs", status_code=202)
async def start_job(
    file: TheFile, options: Annotated[Options, Query()], service: TheService
) -> JobState:
    """Enhance a whole file in the background; the job is one of ``/v1/jobs``."""
    folder = Path(tempfile.mkdtemp(dir=service.folder))
    task = service.enhance(file.path, folder, file.name, options)
    return service.start_job(task, folder).told()
