"""The page without a service: its signal processing is numpy's, and it needs no network."""

import base64
import functools
import http.server
import io
import threading

import numpy as np
import pytest
import soundfile

pytest.importorskip("playwright.sync_api")
pytest.importorskip("fastapi")

from overtone import Enhancer
from overtone.dsp.bandwidth import CutoffEstimate
from overtone.dsp.excitation import white_noise
from overtone.errors import InvalidInputError
from overtone.inference.planning import Plan
from overtone.serve.static import RUNTIME_FILES, fetched_runtime, write_static

BANDS = np.arange(78)
# Both languages run this instead of the network, whose integers amplify the last bit.
STUB = """{
    initial: () => null,
    async run(power, channels, frames) {
        const gains = new Float32Array(channels * frames * 3 * 78);
        for (let row = 0; row < channels * frames * 3; row++) {
            for (let band = 0; band < 78; band++) {
                const seen = power[Math.floor(row / 3) * 299 + band];
                gains[row * 78 + band] = -4 + Math.sin(band / 9 + row % 3) + 0.2 * Math.tanh(seen);
            }
        }
        return {gains, state: null};
    },
}"""
ENHANCE = """async ([channels, settings, step]) => {
    const {EnhanceStream} = await import("./dsp.js");
    const info = await (await fetch("models/speech.json")).json();
    const stream = new EnhanceStream(info, STUB, {channels: channels.length, ...settings});
    const samples = channels.map((text) =>
        new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer));
    const pieces = [];
    for (let at = 0; at < samples[0].length; at += step) {
        pieces.push(await stream.push(samples.map((part) => part.subarray(at, at + step))));
    }
    pieces.push(await stream.flush());
    return samples.map((_, c) => pieces.map((piece) => Array.from(piece[c])).flat());
}""".replace("STUB", STUB)
NOISE = """async (counts) => {
    const {whiteNoise} = await import("./dsp.js");
    return counts.map((one) => Array.from(whiteNoise(...one)));
}"""


def stub(signals, conditions, state):
    rows = np.arange(3)[:, None]
    seen = 0.2 * np.tanh(signals["power"][:, :, None, :78])
    return {"gains": (-4 + np.sin(BANDS / 9 + rows) + seen).astype(np.float32)}, state


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    try:
        runtime = fetched_runtime()
    except InvalidInputError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("static") / "page"
    write_static(folder, runtime=runtime)
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def site(folder):
    """A plain web server; the value is it and its address."""
    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(visit, site):
    with visit(site[1]) as page:
        # The service worker is in charge once the page has threads.
        page.wait_for_function("crossOriginIsolated && document.body.dataset.offline")
        yield page


@pytest.mark.parametrize(
    ("channels", "rate", "output_rate", "cutoff", "transition", "strength", "step"),
    [
        (1, 8000, 48000, 3775.5, (), 0, 8000),
        (2, 16000, 48000, 3900, ((3900, 3), (4200, 6), (4500, 12)), 3, 1777),
        (1, 11025, 44100, 4900, (), 0, 5000),
    ],
)
def test_signal_processing_is_that_of_numpy(
    page, examples_dir, channels, rate, output_rate, cutoff, transition, strength, step
):
    speech, _ = soundfile.read(examples_dir / "speech_en_8k.flac", dtype="float32", stop=16000)
    samples = np.stack([0.9 * speech, np.roll(speech, 7) + 0.01 * speech[::-1]])[:channels]
    enhancer = Enhancer(device="cpu", threads=1, strength_db=strength)
    enhancer.model.network.run = stub
    estimate = CutoffEstimate("band-limited", cutoff, 1.0, transition)
    stream = enhancer.stream(rate, channels, Plan(output_rate, estimate, cutoff, 0.7))
    expected = np.concatenate([stream.push(samples), stream.flush()], axis=1)
    encoded = [base64.b64encode(part.tobytes()).decode() for part in samples]
    settings = {"rate": rate, "outputRate": output_rate, "cutoff": cutoff, "gain": 0.7}
    settings |= {"strength": strength, "transition": transition}
    found = np.array(page.evaluate(ENHANCE, [encoded, settings, step]))
    assert found.shape == expected.shape
    assert np.abs(expected - np.repeat(samples, output_rate // rate, axis=1)).max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_noise_is_that_of_numpy_to_the_bit(page):
    counts = [[0, 0, 0, 50], [7, 1, 2**32 - 20, 50], [3, 0, 2**40 + 5, 10]]
    for count, found in zip(counts, page.evaluate(NOISE, counts), strict=True):
        assert np.float32(found).tolist() == white_noise(*count).tolist()


def test_a_file_is_enhanced_without_a_network(page, site, drop, wait_ready, examples_dir):
    site[0].shutdown()
    site[0].server_close()
    page.reload()
    drop(page, "call.flac", (examples_dir / "speech_en_8k.flac").read_bytes())
    wait_ready(page, 1)
    with page.expect_download() as downloaded:
        page.click("#download")
    samples, rate = soundfile.read(downloaded.value.path(), dtype="float32")
    given, given_rate = soundfile.read(examples_dir / "speech_en_8k.flac", dtype="float32")
    assert (rate, len(samples)) == (48000, 6 * len(given))
    expected, _ = Enhancer(device="cpu", threads=1).enhance(given, given_rate)
    spectrum, wanted = (np.abs(np.fft.rfft(x)) ** 2 for x in (samples, expected))
    hz = np.fft.rfftfreq(len(samples), 1 / rate)
    low, high = hz < 3400, hz > 5000
    assert np.sum(np.abs(spectrum[low] - wanted[low])) < 1e-3 * np.sum(wanted[low])
    assert 0.5 < np.sum(spectrum[high]) / np.sum(wanted[high]) < 2


def test_the_live_microphone_states_its_latency(page):
    page.click("#live")
    page.wait_for_selector("#live[aria-pressed=true]", timeout=30_000)
    assert "ms after the microphone" in page.inner_text("#status")
    page.click("#live")
    page.wait_for_selector("#live[aria-pressed=false]")


def test_the_page_is_small(folder):
    sizes = {
        path: path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name not in ("ort", "models")
    }
    assert 50_000 < sum(sizes.values()) < 1_000_000


def test_a_runtime_that_is_none_and_a_folder_in_use_are_named(tmp_path):
    with pytest.raises(InvalidInputError, match=RUNTIME_FILES[0]):
        write_static(tmp_path / "new", runtime=tmp_path)
    (tmp_path / "old").touch()
    with pytest.raises(InvalidInputError, match="not empty"):
        write_static(tmp_path, runtime=tmp_path)
    assert not (tmp_path / "new").exists()


def test_wav_files_of_the_page_are_read_back(page):
    script = """async () => {
        const {wav} = await import("./recorder.js");
        const blob = wav([new Float32Array([0, 0.5, -1, 2]), new Float32Array(4)], 44100);
        return Array.from(new Uint8Array(await blob.arrayBuffer()));
    }"""
    samples, rate = soundfile.read(io.BytesIO(bytes(page.evaluate(script))))
    assert rate == 44100
    np.testing.assert_allclose(samples[:, 0], [0, 0.5, -1, 1], atol=2**-23)
