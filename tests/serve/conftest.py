"""A running service with small limits, and a client that talks to it as a program would."""

import threading
import time
from contextlib import contextmanager

import pytest

httpx = pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")

from overtone.serve.app import create_app  # noqa: E402
from overtone.serve.settings import Limits, Settings  # noqa: E402

LIMITS = Limits(
    upload_bytes=2_000_000,
    duration_s=20,
    channels=2,
    sample_rate=96_000,
    workers=1,
    upload_timeout_s=1,
    jobs=20,
    streams=1,
)


@contextmanager
def running(app):
    """Serve ``app`` on a free port of this machine in a thread; the value is its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def service():
    """A service; its address is its attribute ``address``."""
    app = create_app(Settings(limits=LIMITS))
    with running(app) as address:
        app.state.service.address, app.state.service.app = address, app
        yield app.state.service


@pytest.fixture
def client(service):
    """A client of it; afterwards the service keeps no file of any request."""
    with httpx.Client(base_url=service.address, timeout=60) as client:
        yield client
    service.jobs.close()
    deadline = time.monotonic() + 5
    while any(service.folder.iterdir()):
        assert time.monotonic() < deadline, list(service.folder.iterdir())
        time.sleep(0.02)
