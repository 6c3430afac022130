"""A running service with small limits, and a client that talks to it as a program would."""

import shutil
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


# The page in a browser ---------------------------------------------------------------------------

DROP = """([name, bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name));
    document.dispatchEvent(new DragEvent("drop", {dataTransfer: data}));
}"""


# Of a module: while it is open, no other test of the process can run an event loop.
@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium with a microphone that beeps; without one, its tests are skipped."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        pytest.skip("no Chromium is installed")
    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    arguments += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open a page of its own that must ask no other host and meet no error."""

    @contextmanager
    def visit(address, **options):
        context = browser.new_context(**options)
        page = context.new_page()
        errors, hosts = [], set()
        page.on("pageerror", lambda error: errors.append(error))
        context.on("request", lambda request: hosts.add("/".join(request.url.split("/")[:3])))
        page.goto(address)
        yield page
        context.close()
        assert errors == []
        assert {host for host in hosts if host.startswith("http")} == {address}

    return visit


@pytest.fixture
def drop():
    """Drop a file of this name and these bytes onto a page."""
    return lambda page, name, content: page.evaluate(DROP, [name, list(content)])


@pytest.fixture
def wait_ready():
    """Wait until a page has shown before and after so many times, at most three minutes."""
    return lambda page, times: page.wait_for_selector(
        f"body[data-ready='{times}']", timeout=180_000
    )
