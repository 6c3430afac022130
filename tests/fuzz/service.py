"""Fuzz targets of the service: raw HTTP requests, and talks over its WebSocket."""

import functools
import http.client
import io
import json
import multiprocessing
import re
import shutil
import socket
import tempfile
import threading
import time
import wave
from contextlib import suppress
from pathlib import Path

ANSWER_S = 10
HEAD = "Host: 127.0.0.1\r\nConnection: close\r\n"
BAD_CLOSES = (1006, 1011)  # without a word, and by an internal error


def _wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 8000, 0, "NONE", ""))
        writer.writeframes(b"\x10\x20\xff\xf0\x30\x08" * 300)
    return file.getvalue()


@functools.cache
def _running():
    """Return a service of one worker that runs in a thread, and its port."""
    import uvicorn

    from overtone.serve.app import create_app
    from overtone.serve.settings import Limits, Settings
    from overtone.serve.studio import OpenFile, add_studio

    # A process of the fuzzer's own must not have children by default; the pool's end with it.
    multiprocessing.current_process()._config["daemon"] = False
    limits = Limits(10**6, 20, 2, workers=1, jobs=10**6, work_s=30, expire_s=2, upload_timeout_s=1)
    app = create_app(Settings(limits=limits))
    opened = Path(tempfile.mkdtemp(), "a.wav")
    opened.write_bytes(_wav())
    add_studio(app)
    app.state.files["a"] = OpenFile("a.wav", opened)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    app.state.service.app = app
    return app.state.service, server.servers[0].sockets[0].getsockname()[1]


def request_seeds() -> list[bytes]:
    """Return a good request for every route."""
    wav, form = _wav(), 'Content-Disposition: form-data; name="'
    fields = f'--x\r\n{form}format"\r\n\r\nflac\r\n--x\r\n{form}file"; filename="a.wav"\r\n\r\n'
    multipart = fields.encode() + wav + b"\r\n--x--\r\n"
    seeds = []
    for path in ("v1/enhance?format=flac&cutoff=3000", "v1/jobs?strength=3", "studio/files?name=b"):
        seeds += [
            _request("POST", path, "Content-Type: audio/wav\r\nX-Filename: a.wav\r\n", wav),
            _request("POST", path, "Content-Type: multipart/form-data; boundary=x\r\n", multipart),
        ]
    section = "studio/files/a/section?start=0&duration=1&enhanced=true&model=speech&cutoff=3000"
    for path in ("v1/models", "metrics", "v1/jobs/a/events", "studio/files", "studio/files/a"):
        seeds.append(_request("GET", path))
    seeds += [_request("GET", section), _request("DELETE", "v1/jobs/a"), _request("GET", "fft.js")]
    return seeds


def _request(method: str, path: str, headers: str = "", body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} /{path} HTTP/1.1\r\n{HEAD}{headers}{length}\r\n".encode() + body


def use_request(path: Path) -> None:
    """Send a request; whatever it is, the service does not fail over it and goes on."""
    service, port = _running()
    head, gap, body = path.read_bytes().partition(b"\r\n\r\n")
    head = re.sub(rb"(?i)(content-length: *)\d+", rb"\g<1>%d" % len(body), head)
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S) as connection:
        answer = http.client.HTTPResponse(connection)
        said = b""
        with suppress(OSError, http.client.HTTPException, ValueError):
            connection.sendall(head + gap + body)
            if not gap:
                connection.shutdown(socket.SHUT_WR)  # the head's rest would be waited for
            answer.begin()
            said = answer.read(10**6)
    if answer.status == 500 and b"internal" in said.lower():
        raise AssertionError(f"internal error: {said[:500]!r}")
    _check_health(service, port)


def socket_seeds() -> list[bytes]:
    """Return options in a first line, and samples."""
    options = [
        {"input_rate": 8000, "format": "s16le"},
        {"input_rate": 16000, "channels": 2, "cutoff": 3400, "rate": 48000, "model": "speech"},
    ]
    return [json.dumps(one).encode() + b"\n" + _wav()[44:] for one in options]


def use_socket(path: Path) -> None:
    """Talk over a WebSocket as a client would, or as no client should."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    service, port = _running()
    options, _, samples = path.read_bytes().partition(b"\n")
    with connect(f"ws://127.0.0.1:{port}/v1/stream", max_size=2**24) as talk:
        try:
            talk.send(options.decode(errors="replace"))
            talk.recv(ANSWER_S)
            for at in range(0, min(len(samples), 20_000), 1600):
                talk.send(samples[at : at + 1600])
                talk.recv(ANSWER_S)
            talk.send('{"end": true}')
            talk.recv(ANSWER_S)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else BAD_CLOSES[0]
            if code in BAD_CLOSES:
                raise AssertionError(f"closed with {code}") from closed
        except TimeoutError:
            raise AssertionError("no answer") from None
    _check_health(service, port)


def _check_health(service, port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    connection.request("GET", "/healthz", headers={"Host": "127.0.0.1"})
    if connection.getresponse().status != 200:
        raise AssertionError("the service is not well any more")
    connection.close()
    files = service.app.state.files
    for key in files.keys() - {"a"}:
        shutil.rmtree(files.pop(key).folder)
    deadline = time.monotonic() + ANSWER_S
    while _folders(service):
        if time.monotonic() > deadline:
            raise AssertionError(f"left behind: {_folders(service)}")
        time.sleep(0.01)


def _folders(service) -> set[Path]:
    jobs = {job.folder for job in service.jobs._jobs.values()}
    return set(service.folder.iterdir()) - jobs
