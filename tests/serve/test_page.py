"""The page in a real browser: what a user does with it, by mouse, by keyboard, and by ear."""

import shutil
from contextlib import contextmanager

import pytest

playwright = pytest.importorskip("playwright.sync_api")

from axe_playwright_python.sync_playwright import Axe

from overtone import Enhancer
from overtone.serve.studio import add_studio

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

DROP = """([name, bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name));
    document.dispatchEvent(new DragEvent("drop", {dataTransfer: data}));
}"""
# Mean brightness of a spectrogram's upper half, 0 to 255.
BRIGHTNESS = """id => {
    const canvas = document.getElementById(id), {width, height} = canvas;
    const pixels = canvas.getContext("2d").getImageData(width / 4, height / 3, width / 2, 60).data;
    return pixels.reduce((sum, value, n) => sum + (n % 4 < 3 ? value : 0), 0) / pixels.length;
}"""


@pytest.fixture(scope="module")
def browser():
    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    arguments += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def studio(service, examples_dir):
    """The address of the page, served with one file open."""
    add_studio(service.app, [examples_dir / "speech_en_8k.flac"])
    return service.address


@contextmanager
def visit(browser, address, **options):
    """A page that asks no other host and meets no error."""
    context = browser.new_context(**options)
    page = context.new_page()
    errors, hosts = [], set()
    page.on("pageerror", lambda error: errors.append(error))
    page.on("request", lambda request: hosts.add("/".join(request.url.split("/")[:3])))
    page.goto(address)
    yield page
    context.close()
    assert errors == []
    assert {host for host in hosts if host.startswith("http")} == {address}


@pytest.fixture
def page(browser, studio):
    with visit(browser, studio, viewport={"width": 1100, "height": 1000}) as page:
        wait_ready(page, 1)
        yield page


def wait_ready(page, times):
    page.wait_for_selector(f"body[data-ready='{times}']", timeout=60_000)


def test_a_dropped_file_is_seen_heard_and_downloaded(page, examples_dir, tmp_path):
    source = examples_dir / "speech_en_8k.flac"
    page.evaluate(DROP, ["call.flac", list(source.read_bytes())])
    wait_ready(page, 2)
    assert "3.78 kHz" in page.inner_text("#facts")
    assert page.evaluate(BRIGHTNESS, "after") > 5 * page.evaluate(BRIGHTNESS, "before") + 5
    for choice, arguments in (("", {}), ("3000", {"cutoff_hz": 3000.0})):
        if choice:
            page.fill("#cutoff", choice)
            wait_ready(page, 3)
        with page.expect_download() as downloaded:
            page.click("#download")
        expected = tmp_path / f"{choice or 'found'}.wav"
        Enhancer(device="cpu", threads=1).enhance_file(source, expected, **arguments)
        assert downloaded.value.suggested_filename == "call.enhanced.wav"
        assert downloaded.value.path().read_bytes() == expected.read_bytes()


def test_everything_is_done_by_keyboard(page):
    page.focus("#choose")
    reached = []
    for _ in range(40):
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
        page.keyboard.press("Tab")
    expected = "start length play heard cutoff model fidelity strength rate format download"
    assert [name for name in dict.fromkeys(reached) if name in expected.split()] == expected.split()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Space")
    playwright.expect(page.locator("#play")).to_have_text("Pause")
    first = page.evaluate(PLAYHEAD)
    page.wait_for_function(f"({PLAYHEAD}) > {first} + 5")
    for key, heard in (("s", "before"), ("s", "after"), ("a", "before"), ("b", "after")):
        page.keyboard.press(key)
        assert page.input_value("input[name=heard]:checked") == heard
    page.keyboard.press("Space")
    playwright.expect(page.locator("#play")).to_have_text("Play")


PLAYHEAD = "new DOMMatrix(getComputedStyle(document.getElementById('playhead')).transform).e"


def test_a_blind_test_counts_and_hides_what_it_asks(page):
    page.click("summary")
    expect(page.locator("#views")).to_be_hidden()
    page.evaluate("Math.random = () => 0")  # drawn after the first X
    for _ in range(2):
        page.click("[data-hear=x]")
        page.click("[data-answer=before]")
    page.click("[data-answer=after]")
    score = page.inner_text("#abx-score")
    assert "Wrong." in score
    assert "of 3 right" in score
    page.click("summary")
    expect(page.locator("#views")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 390)])
def test_accessible_in_both_schemes_and_widths(browser, studio, scheme, width):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    with visit(browser, studio, **options) as page:
        wait_ready(page, 1)
        page.click("summary")
        page.click("summary")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_no_audio_is_named_and_the_page_goes_on(page):
    page.evaluate(DROP, ["notes.txt", [104, 105]])
    page.wait_for_selector("#status.bad")
    assert "notes.txt" in page.inner_text("#status")
    page.click("#files li:first-child button")
    wait_ready(page, 2)


def test_the_microphone_is_recorded(page):
    page.click("#record")
    page.wait_for_selector("#record[aria-pressed=true]")
    page.wait_for_timeout(700)
    page.click("#record")
    wait_ready(page, 2)
    assert "recording-" in page.inner_text("#name")
