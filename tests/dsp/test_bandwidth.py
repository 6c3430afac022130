"""The cutoff detector on real recordings low-passed by known filters, and on what has no cutoff."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from scipy import signal

from overtone.degrade.codecs import mp3_roundtrip, opus_roundtrip
from overtone.degrade.lowpass import LowPass, apply
from overtone.dsp.bandwidth import CutoffEstimate, CutoffEstimator, estimate_cutoff
from overtone.dsp.bandwidth_model import USABLE_DB
from overtone.dsp.decimation import decimation_response
from overtone.errors import InvalidInputError

CUTOFFS_HZ = (1000, 2000, 4000, 5500, 8000, 11000)
SPEECH = ("speech_en_48k", "speech_nl_48k", "speech_nl_male_24k")
STEEP = {
    "chebyshev": lambda hz, rate: signal.cheby1(8, 0.05, hz, fs=rate, output="sos"),
    "elliptic": lambda hz, rate: signal.ellip(6, 0.5, 60, hz, fs=rate, output="sos"),
    "butterworth 10": lambda hz, rate: signal.butter(10, hz, fs=rate, output="sos"),
}
GENTLE = {
    f"butterworth {order}": lambda hz, rate, order=order: signal.butter(
        order, hz, fs=rate, output="sos"
    )
    for order in (4, 6, 8)
}


@cache
def read(path: Path) -> tuple[np.ndarray, int]:
    samples, rate = soundfile.read(path, always_2d=True)
    return samples.T, rate


@pytest.fixture(scope="session")
def recording(examples_dir: Path) -> Callable[[str], tuple[np.ndarray, int]]:
    """Return ``recording(name)``: an example's ``[channels, samples]`` and rate."""
    return lambda name: read(examples_dir / f"{name}.flac")


def cutoffs_within(rate: int) -> Iterator[int]:
    return (hz for hz in CUTOFFS_HZ if hz < 0.7 * rate / 2)


def errors_of(answers: list[tuple[CutoffEstimate, float]]) -> np.ndarray:
    """Relative errors of those that were answered."""
    return np.array([e.cutoff_hz / hz - 1 for e, hz in answers if e.cutoff_hz is not None])


def low_passed_answers(recording, names, filters) -> list[tuple[CutoffEstimate, float]]:
    answers = []
    for name in names:
        samples, rate = recording(name)
        for hz in cutoffs_within(rate):
            for design in filters.values():
                filtered = signal.sosfilt(design(hz, rate), samples)
                answers.append((estimate_cutoff(filtered, rate), hz))
    return answers


def test_steep_filters_are_found(recording) -> None:
    answers = low_passed_answers(recording, SPEECH, STEEP)
    errors = errors_of(answers)
    assert len(errors) > 0.95 * len(answers)
    assert all(e.verdict != "full band" for e, _ in answers)
    assert np.median(np.abs(errors)) < 0.05
    assert errors.max() < 0.15
    assert errors.min() > -0.25


def test_gentle_filters_are_found_or_left_open(recording) -> None:
    answers = low_passed_answers(recording, SPEECH, GENTLE)
    errors = errors_of(answers)
    assert len(errors) > 0.7 * len(answers)
    assert all(e.verdict != "full band" for e, _ in answers)
    assert np.median(np.abs(errors)) < 0.1
    assert np.mean(errors > 0.15) < 0.05
    assert errors.max() < 0.25


@pytest.mark.parametrize(
    ("name", "cutoff_hz", "order"),
    [
        ("speech_en_48k", 2000, 8),
        ("speech_en_48k", 2000, 10),
        ("speech_en_48k", 5500, 8),
        ("speech_nl_48k", 2000, 10),
        ("speech_nl_48k", 8000, 6),
    ],
)
def test_a_gentle_slope_down_to_the_dither_is_no_edge(
    recording, rng, name, cutoff_hz, order
) -> None:
    samples, rate = recording(name)
    y = signal.sosfilt(signal.butter(order, cutoff_hz, fs=rate, output="sos"), samples)
    y = np.round(32768 * y + rng.random(y.shape) - rng.random(y.shape)) / 32768
    estimate = estimate_cutoff(y, rate)
    assert estimate.verdict != "full band"
    assert (estimate.cutoff_hz or 0) < 1.15 * cutoff_hz


@pytest.mark.parametrize("name", SPEECH)
@pytest.mark.parametrize("low_rate", [2000, 4000, 8000, 16000])
@pytest.mark.parametrize("bits", [16, 32])
def test_a_low_rate_recording_in_a_wide_container(recording, rng, name, low_rate, bits) -> None:
    samples, rate = recording(name)
    wide = soxr.resample(soxr.resample(samples.T, rate, low_rate), low_rate, 44100).T
    if bits == 16:
        dither = rng.random(wide.shape) - rng.random(wide.shape)
        wide = np.round(32768 * wide + dither) / 32768
    estimate = estimate_cutoff(wide, 44100)
    assert estimate.verdict == "band-limited"
    assert 0.88 * low_rate / 2 < estimate.cutoff_hz <= 1.001 * low_rate / 2
    assert estimate.confidence > 0.8


@pytest.mark.parametrize("name", SPEECH[:2])
@pytest.mark.parametrize("bitrate_kbps", [32, 48, 64, 128])
def test_mp3_ends_where_its_spectrum_does(recording, name, bitrate_kbps) -> None:
    samples, rate = recording(name)
    decoded = mp3_roundtrip(samples, rate, bitrate_kbps)
    estimate = estimate_cutoff(decoded, rate)
    truth_hz = lost_above_hz(samples[0], decoded[0], rate)
    assert estimate.verdict == "band-limited"
    assert 0.75 * truth_hz < estimate.cutoff_hz < 1.15 * truth_hz


@pytest.mark.parametrize("name", SPEECH[:2])
@pytest.mark.parametrize("bitrate_kbps", [8, 12, 24, 32])
def test_opus_ends_where_its_spectrum_does(recording, name, bitrate_kbps) -> None:
    samples, rate = recording(name)
    decoded = opus_roundtrip(samples, rate, bitrate_kbps)
    estimate = estimate_cutoff(decoded, rate)
    truth_hz = lost_above_hz(samples[0], decoded[0], rate)
    assert estimate.verdict == "band-limited"
    assert 0.85 * truth_hz < estimate.cutoff_hz < 1.15 * truth_hz


def lost_above_hz(original: np.ndarray, decoded: np.ndarray, rate: int) -> float:
    """Last frequency (up to 20 kHz, where the recordings end) kept to within 10 dB."""
    hz, before = signal.welch(original, rate, nperseg=1024)
    _, after = signal.welch(decoded, rate, nperseg=1024)
    kept = (after > 0.1 * before) & (hz < 20000)
    return float(hz[np.flatnonzero(np.convolve(kept, np.ones(5), "same") >= 3)[-1]])


def test_kuleshovs_decimation_is_replaced_where_it_rolls_off(recording) -> None:
    samples, rate = recording("speech_en_48k")
    low = signal.decimate(soxr.resample(samples[0], rate, 16000), 4)
    estimate = estimate_cutoff(low, 4000)
    assert estimate.verdict == "band-limited"
    assert 1500 < estimate.cutoff_hz < 1800


@pytest.mark.parametrize("gain", [1.0, 0.03, 30.0])
def test_full_band_speech_is_full_band(recording, gain: float) -> None:
    samples, rate = recording("speech_en_48k")
    estimate = estimate_cutoff(np.clip(gain * samples, -1, 1), rate)
    assert estimate.verdict == "full band"
    assert estimate.cutoff_hz == rate / 2
    assert estimate.confidence > 0.6


@pytest.mark.parametrize(("b", "a"), [([1, -0.9], [1]), ([1], [1, -0.9])], ids=["up", "down"])
def test_tilt_by_6_db_an_octave_is_no_cutoff(recording, b, a) -> None:
    samples, rate = recording("speech_en_48k")
    tilted = signal.lfilter(b, a, samples)
    assert estimate_cutoff(tilted, rate).verdict != "band-limited"


def test_a_real_low_rate_file_ends_near_its_nyquist(recording) -> None:
    samples, rate = recording("speech_en_8k")
    estimate = estimate_cutoff(samples, rate)
    assert 0.9 * rate / 2 < estimate.cutoff_hz <= rate / 2


def test_recordings_with_an_edge_of_their_own(recording) -> None:
    opus = estimate_cutoff(*recording("speech_nl_48k"))
    assert opus.verdict == "band-limited"
    assert opus.cutoff_hz == pytest.approx(20000, rel=0.04)
    resampled = estimate_cutoff(*recording("speech_nl_male_24k"))
    assert resampled.verdict == "band-limited"
    assert resampled.cutoff_hz == pytest.approx(11300, rel=0.04)


def test_piano_that_fades_into_its_noise_is_not_called_full_band(recording) -> None:
    samples, rate = recording("piano_44k")
    assert estimate_cutoff(samples, rate).verdict != "full band"
    for low_rate in (2000, 4000, 8000):
        low = soxr.resample(soxr.resample(samples.T, rate, low_rate), low_rate, rate).T
        cutoff_hz = estimate_cutoff(low, rate).cutoff_hz
        assert cutoff_hz is None or 0.85 * low_rate / 2 < cutoff_hz <= low_rate / 2


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000, 96000, 192000])
def test_white_noise_is_full_band(make_noise, rate: int) -> None:
    estimate = estimate_cutoff(make_noise(rate, 1.0), rate)
    assert estimate.verdict == "full band"
    assert estimate.cutoff_hz == rate / 2


@pytest.mark.parametrize("cutoff_hz", [1500, 4000, 7300, 10500])
def test_a_brick_wall_in_noise(make_lowpassed_noise, cutoff_hz: int) -> None:
    estimate = estimate_cutoff(make_lowpassed_noise(cutoff_hz, 44100, 1.0), 44100)
    assert estimate.verdict == "band-limited"
    assert estimate.cutoff_hz == pytest.approx(cutoff_hz, rel=0.04)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(48000),
        np.full(48000, 0.3),
        np.full(48000, np.nan),
        np.zeros((2, 0)),
        np.random.default_rng(0).standard_normal(1500),
        0.5 * np.sin(2 * np.pi * 1000 / 48000 * np.arange(96000)),
        1e-8 * np.random.default_rng(0).standard_normal(48000),
    ],
    ids=["silence", "DC", "NaN", "empty", "31 ms", "tone", "inaudible"],
)
def test_nothing_to_hear_is_unsure(samples: np.ndarray) -> None:
    estimate = estimate_cutoff(samples, 48000)
    assert (estimate.verdict, estimate.cutoff_hz, estimate.confidence) == ("unsure", None, 0.0)
    assert estimate.guess_hz is None
    assert estimate.seen == "has too little sound"


def test_too_low_a_rate_is_unsure(make_noise) -> None:
    assert estimate_cutoff(make_noise(1000, 2.0), 1000).verdict == "unsure"


@pytest.mark.parametrize("block", [1, 977, 48000, 10**7])
def test_blocks_do_not_change_the_answer(recording, block: int) -> None:
    samples, rate = recording("speech_en_48k")
    samples = soxr.resample(soxr.resample(samples.T, rate, 8000), 8000, rate).T
    samples = np.concatenate([samples, 0.5 * samples])[:, : rate if block == 1 else None]
    estimator = CutoffEstimator(rate)
    for start in range(0, samples.shape[1], block):
        estimator.push(samples[:, start : start + block])
    assert estimator.estimate() == estimate_cutoff(samples, rate)
    assert estimator.estimate().verdict == "band-limited"


def test_it_stops_listening_and_its_memory_is_bounded(make_noise) -> None:
    estimator = CutoffEstimator(8000)
    for _ in range(40):
        estimator.push(make_noise(8000, 1.0, channels=2))
    heard = estimator.estimate()
    held = estimator._pending.nbytes
    for _ in range(5):
        estimator.push(np.zeros((2, 80000)))
    assert estimator.estimate() == heard
    assert estimator._pending.nbytes == held < 2 * 4 * 8000 * 3


def test_a_pause_at_the_start_and_a_dead_channel_do_not_matter(recording) -> None:
    samples, rate = recording("speech_en_48k")
    narrow = soxr.resample(soxr.resample(samples.T, rate, 8000), 8000, rate).T
    alone = estimate_cutoff(narrow, rate)
    padded = np.pad(narrow, [(0, 1), (20 * rate, 0)])
    assert estimate_cutoff(padded, rate).cutoff_hz == alone.cutoff_hz


def test_opposite_channels_do_not_cancel(recording) -> None:
    samples, rate = recording("speech_en_48k")
    assert estimate_cutoff(np.concatenate([samples, -samples]), rate).verdict == "full band"


def test_refusals_name_the_value() -> None:
    with pytest.raises(InvalidInputError, match="0"):
        CutoffEstimator(0)
    with pytest.raises(InvalidInputError, match="3"):
        CutoffEstimator(8000).push(np.zeros((1, 2, 3)))
    estimator = CutoffEstimator(8000)
    estimator.push(np.zeros((2, 10)))
    with pytest.raises(InvalidInputError, match="from 2 to 1"):
        estimator.push(np.zeros(10))


LOW_PASSES = [
    LowPass("butterworth", 4000, order=6),
    LowPass("butterworth", 8000, order=8),
    LowPass("chebyshev", 8000, order=8),
    LowPass("brickwall", 8000),
]


@pytest.mark.parametrize("low_pass", LOW_PASSES, ids=str)
def test_a_slope_falls_from_the_cutoff_to_where_too_little_is_left(recording, low_pass):
    samples, rate = recording("speech_en_48k")
    estimate = estimate_cutoff(apply(samples, rate, low_pass), rate)
    hz, down_db = np.array(estimate.transition).T
    assert hz[0] == estimate.cutoff_hz
    assert hz[-1] == estimate.usable_edge_hz
    assert (np.diff(hz) > 0).all()
    assert (np.diff(down_db) >= 0).all()
    assert down_db[0] >= 0
    assert down_db[-1] <= USABLE_DB


@pytest.mark.parametrize("low_pass", LOW_PASSES[:2], ids=str)
def test_a_gentle_slope_is_found_about_as_it_is_and_rather_too_high(recording, low_pass):
    samples, rate = recording("speech_en_48k")
    slope = estimate_cutoff(apply(samples, rate, low_pass), rate).transition
    ratios = [hz / low_pass.edge_hz(down_db) for hz, down_db in slope if down_db > 3]
    assert ratios
    assert max(ratios) < 1.15
    assert min(ratios) > 0.6


def test_a_steep_edge_has_hardly_a_slope_and_is_not_lifted(recording):
    samples, rate = recording("speech_en_48k")
    steep, gentle = (
        estimate_cutoff(apply(samples, rate, low_pass), rate)
        for low_pass in (LOW_PASSES[-1], LOW_PASSES[0])
    )
    assert steep.usable_edge_hz / steep.cutoff_hz < 1.08 < gentle.usable_edge_hz / gentle.cutoff_hz
    assert all(down_db == 0 for _, down_db in steep.transition)
    assert gentle.transition[-1][1] > 10


@pytest.mark.parametrize("name", ["speech_en_48k", "speech_nl_male_24k", "piano_44k"])
@pytest.mark.parametrize("scale", [2, 3, 4, 6])
def test_scipys_decimation_is_known_exactly(recording, name, scale):
    samples, rate = recording(name)
    high_rate = 4000 * scale
    low = signal.decimate(soxr.resample(samples[0], rate, high_rate), scale)
    hz, down_db = np.array(estimate_cutoff(low, 4000).transition).T
    assert hz[-1] > 0.92 * 2000
    wanted_db = -20 * np.log10(decimation_response(hz, high_rate, scale))
    lifted = down_db > 0
    # Two factors are hardly told apart; so far apart they are.
    assert np.abs(down_db - wanted_db)[lifted].max() < 4
    assert down_db.max() > 25


@pytest.mark.parametrize("name", SPEECH)
def test_another_low_pass_is_not_taken_for_scipys(recording, name):
    # Lifted by as much as scipy's takes, these would come out far too loud.
    samples, rate = recording(name)
    for family in ("butterworth", "bessel", "elliptic", "resampler", "brickwall"):
        low_pass = LowPass(family, 0.85 * 4000, order=8)
        low = soxr.resample(apply(samples, rate, low_pass)[0], rate, 8000)
        for hz, down_db in estimate_cutoff(low, 8000).transition:
            really_db = max(0.0, low_pass_db(low_pass, hz, rate))
            assert down_db < really_db + 6


def low_pass_db(low_pass: LowPass, hz: float, rate: int) -> float:
    """How far down a filter is at ``hz``, as an impulse shows it."""
    impulse = np.zeros(rate)
    impulse[rate // 2] = 1
    return float(-20 * np.log10(abs(np.fft.rfft(apply(impulse, rate, low_pass))[round(hz)])))


def test_without_a_cutoff_there_is_no_slope(recording):
    samples, rate = recording("speech_en_48k")
    assert estimate_cutoff(samples, rate).transition == ()
    assert CutoffEstimate("unsure", None, 0.0).usable_edge_hz is None


@pytest.mark.parametrize("low_rate", [8000, 11025, 16000])
@pytest.mark.parametrize("gain_db", [0, -20])
@pytest.mark.parametrize("name", ["speech_en_48k", "speech_nl_48k"])
def test_a_visible_edge_is_found_in_what_is_short_and_soft(recording, rng, name, low_rate, gain_db):
    samples, rate = recording(name)
    low = soxr.resample(samples[0, rate : 2 * rate], rate, low_rate)
    wide = 10 ** (gain_db / 20) * soxr.resample(low, low_rate, 44100)
    dither = rng.random(wide.shape) - rng.random(wide.shape)
    estimate = estimate_cutoff(np.round(32768 * wide + dither) / 32768, 44100)
    assert estimate.verdict == "band-limited"
    assert 0.85 * low_rate / 2 < estimate.cutoff_hz < 1.05 * low_rate / 2


@pytest.mark.parametrize("low_rate", [4000, 6000, 8000])
def test_a_visible_edge_is_found_in_music(recording, low_rate):
    samples, rate = recording("piano_44k")
    wide = soxr.resample(soxr.resample(samples.T, rate, low_rate), low_rate, 48000)
    estimate = estimate_cutoff(wide.T, 48000)
    assert estimate.verdict == "band-limited"
    assert 0.85 * low_rate / 2 < estimate.cutoff_hz < 1.05 * low_rate / 2


@pytest.mark.parametrize("name", ["speech_en_48k", "piano_44k"])
@pytest.mark.parametrize("ratio", [2, 3, 6])
@pytest.mark.parametrize("how", ["zeros", "repeated"])
def test_mirror_images_are_not_the_recording(recording, name, ratio, how):
    samples, rate = recording(name)
    low = soxr.resample(samples[0], rate, rate / ratio)
    wide = np.repeat(low, ratio)
    if how == "zeros":
        wide[np.arange(len(wide)) % ratio > 0] = 0
    estimate = estimate_cutoff(np.round(wide * 32767) / 32768, rate)
    assert estimate.verdict == "band-limited"
    assert 0.85 * rate / 2 / ratio < estimate.cutoff_hz <= rate / 2 / ratio


def test_what_follows_without_images_was_recorded(recording):
    samples, rate = recording("speech_en_48k")
    low = soxr.resample(samples[0], rate, rate / 4)
    joined = np.concatenate([np.repeat(low, 4), samples[0]])
    assert estimate_cutoff(joined, rate).verdict != "band-limited"


@pytest.mark.parametrize("bitrate_kbps", [8, 16, 32])
def test_opus_after_a_telephone(recording, bitrate_kbps):
    samples, rate = recording("speech_en_48k")
    phone = soxr.resample(soxr.resample(samples[0], rate, 8000), 8000, rate)
    estimate = estimate_cutoff(opus_roundtrip(phone, rate, bitrate_kbps), rate)
    assert estimate.cutoff_hz == pytest.approx(3800, rel=0.1)


def test_what_is_unsure_says_what_was_seen_and_has_a_guess(recording):
    samples, rate = recording("speech_en_48k")
    gentle = signal.sosfilt(signal.butter(3, 4000, fs=rate, output="sos"), samples)
    estimate = estimate_cutoff(gentle, rate)
    assert estimate.verdict == "unsure"
    assert estimate.seen == "falls gently from 2.8 to 7.1 kHz"
    assert 2000 < estimate.guess_hz < 6000
