"""The page in a real browser: what a user does with it, by mouse, by keyboard, and by ear."""

import pytest

pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python.sync_playwright")
pytest.importorskip("fastapi")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from overtone import Enhancer
from overtone.serve.studio import add_studio

# Mean brightness of a spectrogram's upper half, 0 to 255.
BRIGHTNESS = """id => {
    const canvas = document.getElementById(id), {width, height} = canvas;
    const pixels = canvas.getContext("2d").getImageData(width / 4, height / 3, width / 2, 60).data;
    return pixels.reduce((sum, value, n) => sum + (n % 4 < 3 ? value : 0), 0) / pixels.length;
}"""


@pytest.fixture(scope="module")
def studio(service, examples_dir):
    """The address of the page, served with one file open."""
    add_studio(service.app, [examples_dir / "speech_en_8k.flac"])
    return service.address


@pytest.fixture
def page(visit, wait_ready, studio):
    with visit(studio, viewport={"width": 1100, "height": 1000}) as page:
        wait_ready(page, 1)
        yield page


def test_a_dropped_file_is_seen_heard_and_downloaded(
    page, drop, wait_ready, examples_dir, tmp_path
):
    source = examples_dir / "speech_en_8k.flac"
    drop(page, "call.flac", source.read_bytes())
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
    expect(page.locator("#play")).to_have_text("Pause")
    first = page.evaluate(PLAYHEAD)
    page.wait_for_function(f"({PLAYHEAD}) > {first} + 5")
    for key, heard in (("s", "before"), ("s", "after"), ("a", "before"), ("b", "after")):
        page.keyboard.press(key)
        assert page.input_value("input[name=heard]:checked") == heard
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_have_text("Play")


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
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("x")
    expect(page.locator("[data-hear=x]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#play")).to_have_text("Pause")
    page.click("[data-answer=after]")
    expect(page.locator("#play")).to_have_text("Play")  # the next X is not heard before it is asked
    page.click("summary")
    expect(page.locator("#views")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 390)])
def test_accessible_in_both_schemes_and_widths(visit, wait_ready, studio, scheme, width):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    with visit(studio, **options) as page:
        wait_ready(page, 1)
        page.click("summary")
        page.click("summary")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_no_audio_is_named_and_the_page_goes_on(page, drop, wait_ready):
    drop(page, "notes.txt", b"hi")
    page.wait_for_selector("#status.bad")
    assert "notes.txt" in page.inner_text("#status")
    page.click("#files li:first-child button")
    wait_ready(page, 2)


def test_the_microphone_is_recorded(page, wait_ready):
    page.click("#record")
    page.wait_for_selector("#record[aria-pressed=true]")
    page.wait_for_timeout(700)
    page.click("#record")
    wait_ready(page, 2)
    assert "recording-" in page.inner_text("#name")
