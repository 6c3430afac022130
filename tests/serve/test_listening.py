"""One file holds it all: it is opened from a folder, without a server and without a network."""

import base64
import io
import json
import shutil
import sys

import numpy as np
import pytest
import soundfile

from overtone.cli import main
from overtone.errors import InvalidInputError
from overtone.serve.listening import write_listening_page


@pytest.fixture
def written(tmp_path, make_lowpassed_noise, make_noise):
    before, after = tmp_path / "a <b>.wav", tmp_path / "after.wav"
    soundfile.write(before, make_lowpassed_noise(2000, 8000, channels=3).T, 8000)
    soundfile.write(after, make_noise(48000, channels=3).T, 48000)
    page = tmp_path / "page.html"
    write_listening_page(page, before, after, facts="cutoff <2 kHz>", cutoff_hz=2000.0)
    return page, before, after


def test_a_page_shows_and_plays_both(written, browser):
    page = browser.new_page()
    errors, requests = [], []
    page.on("pageerror", lambda error: errors.append(error))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(written[0].as_uri())
    page.wait_for_selector("body[data-ready]")
    assert (page.inner_text("h2"), page.inner_text("#facts")) == ("a <b>.wav", "cutoff <2 kHz>")
    page.keyboard.press("Space")
    page.keyboard.press("s")
    assert page.input_value("input[name=heard]:checked") == "before"
    page.wait_for_function("document.getElementById('play').textContent == 'Pause'")
    with page.expect_download() as saved:
        page.click("#save-after")
    samples, rate = soundfile.read(saved.value.path())
    given, _ = soundfile.read(written[2])
    np.testing.assert_allclose(samples, given[:, :2], atol=2**-15)
    assert rate == 48000
    assert errors == []
    assert {url.partition(":")[0] for url in requests} <= {"file", "data", "blob"}
    page.close()


def test_a_page_that_is_there_is_kept(written):
    page, before, after = written
    with pytest.raises(InvalidInputError, match="exists"):
        write_listening_page(page, before, after, facts="")


def test_the_command_writes_a_page_beside_the_file(tmp_path, examples_dir, monkeypatch, capsys):
    call = tmp_path / "call.flac"
    shutil.copyfile(examples_dir / "speech_en_8k.flac", call)
    monkeypatch.setattr(sys, "argv", ["overtone", "enhance", str(call), "--html"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None), capsys.readouterr().err
    page = (tmp_path / "call.enhanced.html").read_text(encoding="utf-8")
    assert "cutoff 3.78 kHz" in page
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    for name, path in (("before", call), ("after", tmp_path / "call.enhanced.flac")):
        held, rate = soundfile.read(io.BytesIO(base64.b64decode(data[name]["sound"])))
        given, _ = soundfile.read(path)
        assert rate == data[name]["rate"]
        np.testing.assert_allclose(held, given, atol=2**-15)
