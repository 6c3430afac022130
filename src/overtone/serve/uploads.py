"""A request's body as a file: of bounded size, from a client that must not be too slow."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from overtone.serve.settings import MEGABYTE, Limits

FORM = "multipart/form-data"
RAW = re.compile(r"(audio/.+|video/.+|application/(octet-stream|ogg|mp4|x-flac))?")
NAME_CHARACTERS = 100
FILE_FIELD = "file"


@dataclass(frozen=True)
class Upload:
    """What came: the client's name for it, and other fields of the form."""

    name: str
    fields: dict[str, str] = field(default_factory=dict)


async def receive(request: Request, path: Path, limits: Limits) -> Upload:
    """Write the audio in the body of a request, raw or in a form, to ``path``.

    Raises:
        HTTPException: 408 too slow, 413 too large, 415 another type, 422 no audio in it.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.upload_bytes:
        raise _too_large(limits)
    body = bounded(request.stream(), limits)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        upload = await _from_form(request, body, path)
    elif RAW.fullmatch(kind):
        upload = Upload(safe_name(request.headers.get("x-filename", "")))
        with path.open("wb") as file:
            async for chunk in body:
                file.write(chunk)
    else:
        raise HTTPException(
            415, f"content type {kind[:100]!r}: send audio/*, application/octet-stream, or {FORM}"
        )
    if path.stat().st_size == 0:
        raise HTTPException(422, f"{upload.name}: is empty (0 bytes); send an audio file")
    return upload


async def _from_form(request: Request, body: AsyncIterator[bytes], path: Path) -> Upload:
    try:
        # What is large goes through an unnamed temporary file.
        parser = MultiPartParser(request.headers, body, max_files=1, max_fields=20)  # type: ignore[arg-type]
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise HTTPException(400, f"the form cannot be read ({error})") from error
    try:
        file = form.get(FILE_FIELD)
        if not isinstance(file, UploadFile):
            raise HTTPException(422, f"the form has no file: put one into its field {FILE_FIELD!r}")
        await asyncio.to_thread(_copy, file, path)
        fields = {key: value for key, value in form.items() if isinstance(value, str)}
        return Upload(safe_name(file.filename or ""), fields)
    finally:
        await form.close()


def _copy(file: UploadFile, path: Path) -> None:
    with path.open("wb") as target:
        shutil.copyfileobj(file.file, target)


async def bounded(stream: AsyncIterator[bytes], limits: Limits) -> AsyncIterator[bytes]:
    """The chunks of ``stream`` until it is too long or too slow.

    Raises:
        HTTPException: 408 or 413.
    """
    taken, begun = 0, time.monotonic()
    while True:
        try:
            async with asyncio.timeout(limits.upload_timeout_s):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _too_slow(limits) from None
        taken += len(chunk)
        if taken > limits.upload_bytes:
            raise _too_large(limits)
        took = time.monotonic() - begun
        if chunk and took > limits.upload_timeout_s and taken < took * limits.upload_floor:
            raise _too_slow(limits)
        yield chunk


def _too_large(limits: Limits) -> HTTPException:
    most = limits.upload_bytes / MEGABYTE
    return HTTPException(413, f"more than {most:g} MB; send a shorter or compressed file")


def _too_slow(limits: Limits) -> HTTPException:
    return HTTPException(
        408, f"the upload stalls: send {limits.upload_floor} bytes a second at least"
    )


def safe_name(name: str) -> str:
    """The last part of a client's file name, for messages and downloads, never for a path.

    Example:
        >>> safe_name("../../etc/pass\\nwd")
        'passwd'
        >>> safe_name("")
        'upload'
    """
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(character for character in last if character.isprintable())
    return kept.strip(". ")[-NAME_CHARACTERS:] or "upload"
