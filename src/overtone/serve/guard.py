"""Who may ask: the host header, the origin and the token, looked at before anything else.

A page of any site can make a browser send requests to this machine. Two headers give it away: a
foreign ``Origin``, and, where a site's name was made to point here (DNS rebinding), a foreign
``Host``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from overtone.serve.settings import LOOPBACK, Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Observe = Callable[[Scope, int, float], None]

OPEN = ("/healthz",)
POLICY_VIOLATION = 1008
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    # For threads in WebAssembly, too.
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-embedder-policy": b"require-corp",
}


class Guard:
    """Passes on what is allowed and answers the rest; ``observe`` is told of every answer."""

    def __init__(self, app: App, settings: Settings, observe: Observe) -> None:
        self._app, self._settings, self._observe = app, settings, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request or a WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS.items()]
            await send(message)

        try:
            refusal = self._refusal(scope)
            if refusal is None:
                await self._app(scope, receive, watched)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            else:
                code, detail = refusal
                extra = {"WWW-Authenticate": "Bearer"} if code == 401 else None
                answer = JSONResponse({"detail": detail}, code, extra)
                await answer(scope, receive, watched)
        finally:
            if scope["type"] == "http":
                self._observe(scope, status, time.perf_counter() - begun)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        settings, headers = self._settings, Headers(scope=scope)
        host = headers.get("host", "")
        if settings.loopback and _name(host) not in LOOPBACK:
            return 421, f"host {host[:100]!r} is not this service: use 127.0.0.1 or localhost"
        origin = headers.get("origin")
        if origin is not None and origin not in settings.origins:
            # Nothing of another site's page gets through; ours names the host it came from.
            address = urlsplit(origin)
            if address.scheme not in ("http", "https") or address.netloc != host:
                return 403, f"origin {origin[:100]!r} is not allowed: start with --allow-origin"
        if settings.token and scope["path"] not in OPEN:
            given = headers.get("authorization", "").removeprefix("Bearer ")
            if not given and scope["type"] == "websocket":  # browsers send no headers with these
                query = parse_qs(scope["query_string"].decode("latin-1"))
                given = query.get("token", [""])[0]
            if not secrets.compare_digest(given.encode(), settings.token.encode()):
                return 401, "a token is needed: send the header Authorization: Bearer TOKEN"
        return None


def _name(host: str) -> str:
    """The name of a host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
