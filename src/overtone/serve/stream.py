"""``/v1/stream``: PCM in, PCM out, over a WebSocket, while it lasts.

The client sends its options as one JSON text and gets the format of what will come. Then every
binary message is samples, interleaved, and so is every answer; the text ``{"end": true}`` fetches
the rest. The next message is read when the last one's answer is sent, so a client that sends faster
than it is served, or does not listen, is held up by TCP and nothing piles up here.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from overtone.audio.pcm import PcmFormat
from overtone.errors import OvertoneError
from overtone.inference.streaming import StreamEnhancer
from overtone.serve.options import in_one_line, in_options
from overtone.serve.settings import Limits
from overtone.serve.work import enhancer

# Close codes of RFC 6455.
NORMAL, GOING_AWAY, NOT_UNDERSTOOD, TRY_AGAIN = 1000, 1001, 1007, 1013
REASON_BYTES = 123  # of a close frame
ENCODINGS = {"s16le": "s16", "f32le": "f32"}


class StreamOptions(BaseModel):
    """The first message of a client; names and meanings as in ``overtone stream``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_rate: int = Field(ge=1000, le=384_000)
    channels: int = Field(1, ge=1)
    format: str = Field("f32le", pattern="^(s16le|f32le)$")
    rate: int | None = Field(None, ge=1000, le=384_000)
    cutoff: float | None = Field(None, gt=0)
    level: float | None = Field(None, ge=-100, le=0)
    analysis: float = Field(0, ge=0, le=45)
    model: str = "auto"
    fidelity: float | None = Field(None, ge=0, le=1)
    strength: float = Field(0, ge=-40, le=40)


class ClosedError(Exception):
    """Why a stream ends."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


async def serve_stream(socket: WebSocket, limits: Limits, models: frozenset[str]) -> None:
    """Talk to one client until either side ends it."""
    await socket.accept()
    try:
        options = await _options(socket, limits, models)
        await _enhance(socket, options, limits)
        code, reason = NORMAL, ""
    except WebSocketDisconnect:
        return
    except ClosedError as error:
        code, reason = error.code, error.reason
    except OvertoneError as error:
        code, reason = NOT_UNDERSTOOD, in_options(str(error))
    await close(socket, code, reason)


async def close(socket: WebSocket, code: int, reason: str) -> None:
    """End a connection, with as much of the reason as a close frame holds."""
    short = reason.encode()[:REASON_BYTES].decode(errors="ignore")
    with suppress(RuntimeError, WebSocketDisconnect):  # gone already
        await socket.close(code, short)


async def _receive(socket: WebSocket, limits: Limits) -> str | bytes:
    try:
        async with asyncio.timeout(limits.idle_stream_s):
            message = await socket.receive()
    except TimeoutError:
        raise ClosedError(GOING_AWAY, f"nothing came for {limits.idle_stream_s:g} s") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", NORMAL))
    text, data = message.get("text"), message.get("bytes")
    return text if text is not None else data or b""


async def _options(socket: WebSocket, limits: Limits, models: frozenset[str]) -> StreamOptions:
    first = await _receive(socket, limits)
    if isinstance(first, bytes):
        raise ClosedError(NOT_UNDERSTOOD, "send the options first, as JSON text")
    try:
        options = StreamOptions.model_validate_json(first)
    except ValidationError as error:
        raise ClosedError(NOT_UNDERSTOOD, f"options: {in_one_line(error.errors())}") from error
    if options.model not in models:
        raise ClosedError(NOT_UNDERSTOOD, f"no model {options.model!r}; see /v1/models")
    if options.channels > limits.channels or options.input_rate > limits.sample_rate:
        raise ClosedError(
            NOT_UNDERSTOOD, f"at most {limits.channels} channels and {limits.sample_rate} Hz"
        )
    return options


async def _enhance(socket: WebSocket, options: StreamOptions, limits: Limits) -> None:
    stream = await asyncio.to_thread(
        lambda: StreamEnhancer(
            options.input_rate,
            options.channels,
            output_rate=options.rate,
            cutoff_hz=options.cutoff,
            level_dbfs=options.level,
            analysis_s=options.analysis,
            enhancer=enhancer(options.model, options.fidelity, options.strength),
        )
    )
    given = PcmFormat(ENCODINGS[options.format], options.input_rate, options.channels)
    out = PcmFormat(given.encoding, stream.output_rate, options.channels)
    answer: dict[str, Any] = {
        "rate": stream.output_rate,
        "channels": options.channels,
        "format": options.format,
        "latency_samples": stream.latency_samples,
        "latency_s": stream.latency_s,
    }
    await socket.send_text(json.dumps(answer))
    while True:
        message = await _receive(socket, limits)
        if isinstance(message, str):
            if not _is_end(message):
                raise ClosedError(
                    NOT_UNDERSTOOD, 'send samples as binary messages, or the text {"end": true}'
                )
            await socket.send_bytes(out.encode(await asyncio.to_thread(stream.flush)))
            return
        if len(message) % given.frame_bytes:
            raise ClosedError(
                NOT_UNDERSTOOD, f"a message holds whole frames of {given.frame_bytes} bytes"
            )
        block = given.decode(message)
        await socket.send_bytes(out.encode(await asyncio.to_thread(stream.push, block)))


def _is_end(text: str) -> bool:
    try:
        return bool(json.loads(text) == {"end": True})
    except ValueError:
        return False
