"""Bandwidth by stretch and by channel, on recordings joined from narrow and wide ones."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from scipy import signal

from overtone.dsp.bandwidth import CutoffEstimate, estimate_cutoff
from overtone.dsp.stretches import Stretch, StretchFinder, describe, find_stretches

RATE = 48000


@cache
def read(path: Path) -> np.ndarray:
    return soundfile.read(path)[0]


@pytest.fixture(scope="session")
def host(examples_dir: Path) -> np.ndarray:
    """Full-band speech, 3.3 s."""
    return read(examples_dir / "speech_en_48k.flac")


@pytest.fixture(scope="session")
def guest(examples_dir: Path) -> np.ndarray:
    """Speech from a telephone, 3.7 s."""
    return narrow(read(examples_dir / "speech_nl_48k.flac"), 8000)


def narrow(samples: np.ndarray, rate: int) -> np.ndarray:
    return soxr.resample(soxr.resample(samples, RATE, rate), rate, RATE)


def shape(stretches: tuple[Stretch, ...]) -> list[tuple[str, float]]:
    return [(s.cutoff.verdict, s.end_s) for s in stretches]


def test_guest_and_host_take_turns(host, guest):
    joined = np.concatenate([host, guest, host, guest])
    ends_s = np.cumsum([len(host), len(guest), len(host), len(guest)]) / RATE
    found = find_stretches(joined, RATE)
    assert [s.cutoff.verdict for s in found] == ["full band", "band-limited"] * 2
    for stretch, end_s in zip(found, ends_s, strict=True):
        # A pause between them goes with the wider, and so does a little on either side.
        assert abs(stretch.end_s - end_s) < 1.3
        if stretch.cutoff.verdict == "band-limited":
            assert 3300 < stretch.cutoff_hz <= 4000
            assert stretch.confidence > 0.9
    assert found[0].start_s == 0
    assert found[-1].end_s == pytest.approx(len(joined) / RATE)


def test_a_host_is_never_taken_for_narrow(host, guest):
    # From the first sample to the last of what has its high band.
    for before in (guest[: int(1.5 * RATE)], guest):
        joined = np.concatenate([before, host])
        limited = [s for s in find_stretches(joined, RATE) if s.cutoff.verdict == "band-limited"]
        assert limited
        assert all(s.end_s <= len(before) / RATE for s in limited)


def test_a_jingle_of_half_the_rate(host, guest, examples_dir):
    jingle = narrow(read(examples_dir / "speech_nl_48k.flac"), 22050)
    first, second = find_stretches(np.concatenate([jingle, host]), RATE)
    assert 0.88 * 11025 < first.cutoff_hz <= 11025
    assert second.cutoff.verdict == "full band"


@pytest.mark.parametrize("swapped", [False, True])
def test_left_a_telephone_and_right_a_microphone(host, guest, swapped):
    pair = np.stack([guest[: len(host)], host])[:: -1 if swapped else 1]
    found = {s.channels: s for s in find_stretches(pair, RATE)}
    assert found[(int(swapped),)].cutoff.verdict == "band-limited"
    assert found[(int(not swapped),)].cutoff.verdict == "full band"
    assert all((s.start_s, s.end_s) == (0, len(host) / RATE) for s in found.values())


def test_one_that_gets_better_after_a_minute(host, guest):
    joined = np.concatenate([np.tile(guest, 17), host, host])
    first, second = find_stretches(joined, RATE)
    assert first.cutoff_hz == estimate_cutoff(guest, RATE).cutoff_hz
    assert 0 <= 17 * len(guest) / RATE - first.end_s < 1.0
    assert second.start_s == first.end_s


@pytest.fixture(scope="session")
def gentle(examples_dir: Path) -> np.ndarray:
    """Speech of half a minute through a filter that leaves no cliff."""
    sos = signal.butter(8, 5000, fs=RATE, output="sos")
    return signal.sosfilt(sos, np.tile(read(examples_dir / "speech_nl_48k.flac"), 8))


def test_a_host_beside_a_gently_filtered_guest(host, gentle):
    joined = np.concatenate([gentle, host, host])
    start_s, end_s = len(gentle) / RATE, len(joined) / RATE
    assert estimate_cutoff(joined, RATE).verdict == "band-limited"
    found = find_stretches(joined, RATE)
    wide = [s for s in found if s.cutoff.verdict == "full band"]
    assert wide[0].start_s < start_s
    assert wide[-1].end_s == end_s
    assert sum(s.end_s - s.start_s for s in wide) < end_s - start_s + 6
    assert found[0].cutoff_hz == pytest.approx(estimate_cutoff(gentle, RATE).cutoff_hz, rel=0.15)


def test_a_gentle_filter_is_one_bandwidth(gentle):
    assert shape(find_stretches(gentle, RATE)) == [("band-limited", len(gentle) / RATE)]


@pytest.mark.parametrize("length_s", [1.0, 2.5])
@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_a_short_host_before_a_gently_filtered_guest_is_kept(host, gentle, length_s, gain):
    length = int(length_s * RATE)
    found = find_stretches(np.concatenate([gain * host[:length], gentle]), RATE)
    assert found[0].cutoff.verdict == "full band"
    assert found[0].end_s > length_s
    assert found[-1].cutoff.verdict == "band-limited"
    assert found[-1].end_s - found[-1].start_s > 20


def test_a_low_rate_file_changes_too(host, guest):
    joined = soxr.resample(np.concatenate([guest, host]), RATE, 16000)
    first, second = find_stretches(joined, 16000)
    assert 3300 < first.cutoff_hz <= 4000
    assert second.cutoff_hz > 7000


@pytest.mark.parametrize("low_rate", [None, 8000, 12000, 22050])
def test_one_bandwidth_is_one_stretch(host, low_rate):
    samples = host if low_rate is None else narrow(host, low_rate)
    (only,) = find_stretches(samples, RATE)
    assert only.cutoff == estimate_cutoff(samples, RATE)
    assert (only.start_s, only.end_s, only.channels) == (0, len(samples) / RATE, (0,))


@pytest.mark.parametrize("name", ["speech_en_48k", "speech_nl_48k"])
def test_images_of_the_band_are_no_recording(examples_dir, name):
    low = soxr.resample(read(examples_dir / f"{name}.flac"), RATE, 8000)
    stuffed = np.zeros(6 * len(low))
    stuffed[::6] = low
    (only,) = find_stretches(stuffed, RATE)
    assert only.cutoff_hz == pytest.approx(3840, rel=0.05)


def test_a_click_is_no_change(guest):
    clicked = guest.copy()
    clicked[[RATE, 2 * RATE]] = 0.5
    assert len(find_stretches(clicked, RATE)) == 1


def test_a_whistle_above_a_guest_changes_nothing(host, guest):
    joined = np.concatenate([guest, host])
    whistle = 10 ** (-35 / 20) * np.sin(2 * np.pi * 15625 / RATE * np.arange(len(joined)))
    assert shape(find_stretches(joined + whistle, RATE)) == shape(find_stretches(joined, RATE))


@pytest.mark.parametrize("block", [977, 48000, 10**7])
def test_blocks_do_not_change_the_answer(host, guest, block):
    joined = np.concatenate([guest, host])[None].astype(np.float32)
    finder = StretchFinder(RATE)
    for start in range(0, joined.shape[1], block):
        finder.push(joined[:, start : start + block])
    overall = estimate_cutoff(joined, RATE)
    assert finder.stretches(overall) == find_stretches(joined, RATE)


@pytest.mark.parametrize("samples", [np.zeros((2, 0)), np.zeros(RATE), np.ones((3, 5))])
def test_nothing_to_hear_is_one_stretch(samples):
    (only,) = find_stretches(samples, RATE)
    assert only.cutoff.verdict == "unsure"
    assert only.channels == tuple(range(len(np.atleast_2d(samples))))


def test_it_is_said_in_words():
    phone = CutoffEstimate("band-limited", 3779.8, 0.99)
    full = CutoffEstimate("full band", 24000.0, 0.99)
    both = [Stretch(0, 9, (0,), phone), Stretch(0, 9, (1,), full)]
    assert describe(both) == "left: 3.78 kHz; right: full band"
    turns = [Stretch(700.0 * n, 700.0 * (n + 1), (0,), (full, phone)[n % 2]) for n in range(8)]
    assert describe(turns) == (
        "full band, then 3.78 kHz from 11:40, then full band from 23:20, then 3.78 kHz from 35:00,"
        " 7 changes in all"
    )
