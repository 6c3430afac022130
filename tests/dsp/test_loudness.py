"""Loudness against the cases of EBU Tech 3341 and FFmpeg's own meter."""

import numpy as np
import pytest

from overtone.dsp.loudness import LoudnessMeter
from overtone.dsp.resample import resample


def tone(rate, *parts, hz=1000.0, channels=2):
    """A sine: ``(dBFS, seconds)`` one after another."""
    size = np.concatenate([np.full(round(s * rate), 10 ** (db / 20)) for db, s in parts])
    wave = size * np.sin(2 * np.pi * hz / rate * np.arange(len(size)))
    return np.repeat(wave.astype(np.float32)[None], channels, axis=0)


def measured(samples, rate, sizes=(48000,)):
    meter = LoudnessMeter(rate, len(samples))
    at = number = 0
    while at < samples.shape[1]:
        size = sizes[number % len(sizes)]
        meter.push(samples[:, at : at + size])
        at, number = at + size, number + 1
    meter.finish()
    return meter


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize(
    ("parts", "lufs"),
    [
        ([(-23, 8)], -23),
        ([(-33, 8)], -33),
        ([(-36, 10), (-23, 60), (-36, 10)], -23),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23),
    ],
    ids=["1", "2", "3", "4", "5"],
)
def test_the_cases_of_tech_3341(rate, parts, lufs):
    if rate != 48000 and len(parts) > 1:
        pytest.skip("one rate is enough for the gates")
    assert measured(tone(rate, *parts), rate).lufs == pytest.approx(lufs, abs=0.1)


def test_surrounds_count_for_more():
    parts = (-28, 10), (-28, 10), (-24, 10), (-30, 10), (-30, 10)
    samples = np.concatenate([tone(48000, part, channels=1) for part in parts])
    assert measured(samples, 48000).lufs == pytest.approx(-23, abs=0.1)  # case 6


@pytest.mark.parametrize("rate", [44100, 48000])
def test_ffmpeg_hears_the_same(rng, rate):
    av = pytest.importorskip("av")
    rises = np.linspace(0.01, 0.4, 6 * rate)
    samples = (
        rises * resample(rng.standard_normal((2, 6 * 8000)).astype("f4"), 8000, rate)
    ).astype(np.float32)
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=rate, layout="stereo", format="fltp", time_base=f"1/{rate}"
    )
    meter, sink = graph.add("ebur128", "peak=true:metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
    frame.sample_rate, frame.pts = rate, 0
    graph.push(frame)
    graph.push(None)
    last = {}
    while True:
        try:
            last = sink.pull().metadata
        except (av.error.BlockingIOError, av.error.EOFError):
            break
        except AttributeError:
            pytest.skip("this PyAV does not show what a filter found")
    ours = measured(samples, rate)
    assert ours.lufs == pytest.approx(float(last["lavfi.r128.I"]), abs=0.05)
    assert ours.true_peak == pytest.approx(float(last["lavfi.r128.true_peak"]), rel=0.02)


def test_any_chunking_gives_the_same(rng):
    samples = (0.1 * rng.standard_normal((1, 100_000))).astype(np.float32)
    whole, pieces = measured(samples, 44100), measured(samples, 44100, sizes=(1, 4001, 77))
    assert pieces.lufs == pytest.approx(whole.lufs, abs=1e-4)
    assert pieces.true_peak == pytest.approx(whole.true_peak, rel=1e-4)


def test_peaks_between_the_samples_are_found():
    quarter = tone(48000, (0, 1), hz=12000.0)
    at = np.arange(48000)
    quarter[:] = np.sin(np.pi / 2 * at + np.pi / 4)  # every sample at -3 dB
    assert np.abs(quarter).max() == pytest.approx(np.sqrt(0.5))
    assert measured(quarter, 48000).true_peak == pytest.approx(1, rel=0.03)


def test_silence_and_what_is_too_short_have_none():
    assert measured(np.zeros((1, 48000), np.float32), 48000).lufs == -np.inf
    assert measured(tone(48000, (-20, 0.3)), 48000).lufs == -np.inf
