"""Both log-spectral distances against scipy, loops, and what their definitions imply."""

import math
import tracemalloc

import numpy as np
import pytest

from overtone.errors import InvalidInputError
from overtone.metrics import kuleshov_lsd, lsd, lsd_by_band, lsd_hf, lsd_lf, spectral

RATE = 16000


def scipy_power(signal):
    """Return |S|^2, ``[frequency, time]``, of an unscaled Hann 2048 / 512 STFT by scipy."""
    stft = pytest.importorskip("scipy.signal").stft
    padded = np.pad(signal, 1024, mode="reflect")
    _, _, spectrum = stft(
        padded, window="hann", nperseg=2048, noverlap=1536, boundary=None, padded=False
    )
    return np.abs(spectrum * 1024) ** 2  # scipy divides by the window's sum


def scipy_lsd(reference, estimate, bins=slice(None)):
    y, x = (np.log10(np.maximum(scipy_power(s), 1e-8))[bins] for s in (reference, estimate))
    return np.sqrt(((y - x) ** 2).mean(axis=0)).mean()


@pytest.fixture
def pair(rng):
    """Return two related signals whose level passes the floor of the logarithm."""
    fade = 10 ** np.linspace(0, -7, 30011)
    return fade * rng.standard_normal(30011), fade * rng.standard_normal(30011)


@pytest.mark.parametrize("samples", [1025, 2048, 9999, 30011])
def test_lsd_agrees_with_scipy(pair, samples):
    reference, estimate = (signal[:samples] for signal in pair)
    assert lsd(reference, estimate) == pytest.approx(scipy_lsd(reference, estimate), abs=1e-9)


@pytest.mark.parametrize("samples", [1025, 9999, 30011])
def test_kuleshov_lsd_agrees_with_scipy(pair, samples):
    reference, estimate = (signal[:samples] for signal in pair)
    y, x = (np.log(scipy_power(signal) + 1e-8) for signal in (reference, estimate))
    expected = np.sqrt(((y - x) ** 2).mean(axis=1)).mean()
    assert expected < 10
    assert kuleshov_lsd(reference, estimate) == pytest.approx(expected, abs=1e-9)


def test_lsd_of_one_frame_agrees_with_a_discrete_fourier_sum(rng):
    # 1025 samples reflect into three frames; the middle one sees them around sample 512.
    signals = rng.standard_normal((2, 1025))
    padded = np.pad(signals, ((0, 0), (1024, 1024)), mode="reflect")
    distances = []
    for start in (0, 512, 1024):
        logs = []
        for signal in padded[:, start : start + 2048]:
            n = np.arange(2048)
            windowed = signal * np.sin(np.pi * n / 2048) ** 2
            bins = [np.sum(windowed * np.exp(-2j * np.pi * k * n / 2048)) for k in range(1025)]
            logs.append(np.log10(np.maximum(np.abs(bins) ** 2, 1e-8)))
        distances.append(math.sqrt(np.mean((logs[0] - logs[1]) ** 2)))
    assert lsd(*signals) == pytest.approx(np.mean(distances), abs=1e-9)


@pytest.mark.parametrize("gain_db", [-12.0, 0.5, 20.0])
def test_a_gain_costs_its_decibels_over_ten(rng, gain_db):
    reference = rng.standard_normal(20000)
    estimate = 10 ** (gain_db / 20) * reference
    assert lsd(reference, estimate) == pytest.approx(abs(gain_db) / 10, abs=1e-6)
    assert kuleshov_lsd(reference, estimate) == pytest.approx(
        abs(gain_db) / 10 * math.log(10), abs=1e-6
    )


@pytest.mark.parametrize("metric", [lsd, kuleshov_lsd])
class TestEitherDistance:
    def test_identical_signals_lie_at_zero(self, metric, pair):
        assert metric(pair[0], pair[0]) == 0

    def test_order_does_not_matter(self, metric, pair):
        assert metric(*pair) == pytest.approx(metric(*reversed(pair)))

    def test_sign_does_not_matter(self, metric, pair):
        assert metric(pair[0], -pair[0]) == 0

    def test_channels_are_averaged(self, metric, rng):
        reference, estimate = rng.standard_normal((2, 2, 9000)) * [[[1], [0.1]], [[1], [1]]]
        each = [metric(reference[c], estimate[c]) for c in (0, 1)]
        assert metric(reference, estimate) == pytest.approx(sum(each) / 2)

    def test_blocks_leave_no_seam(self, metric, pair, monkeypatch):
        whole = metric(*pair)
        monkeypatch.setattr(spectral, "_BLOCK_FRAMES", 7)
        assert metric(*pair) == pytest.approx(whole, rel=1e-12)

    def test_silence_against_silence_is_no_distance(self, metric):
        assert metric(np.zeros(5000), np.zeros(5000)) == 0

    @pytest.mark.parametrize("samples", [1, 2, 700, 1024])
    def test_signals_too_short_to_reflect_are_padded_with_zeros(self, metric, rng, samples):
        short = rng.standard_normal((2, samples))
        padded = np.zeros((2, 2048))
        padded[:, :samples] = short
        assert 0 < metric(*short) < 10
        assert metric(*short) == pytest.approx(metric(*padded))

    def test_memory_does_not_grow_with_the_length(self, metric, rng):
        peaks = []
        for blocks in (2, 8):
            signal = rng.standard_normal(blocks * 256 * 512).astype(np.float32)
            tracemalloc.start()
            metric(signal, signal)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.1 * peaks[0]


def test_kuleshov_lsd_is_ten_at_most(rng):
    loud = 1000 * rng.standard_normal(9000)
    assert kuleshov_lsd(loud, np.zeros(9000)) == 10
    assert lsd(loud, np.zeros(9000)) > 10


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_bands_select_bins_by_their_frequency(pair, rate):
    frequencies = np.fft.rfftfreq(2048, 1 / rate)
    above, below = frequencies >= 4000, frequencies < 4000
    assert lsd_hf(*pair, rate, 4000) == pytest.approx(scipy_lsd(*pair, above), abs=1e-9)
    assert lsd_lf(*pair, rate, 4000) == pytest.approx(scipy_lsd(*pair, below), abs=1e-9)
    middle = (frequencies >= 1000) & (frequencies < 3000)
    assert lsd(*pair, sample_rate=rate, band_hz=(1000, 3000)) == pytest.approx(
        scipy_lsd(*pair, middle), abs=1e-9
    )


@pytest.mark.parametrize(
    ("rate", "edges"),
    [
        (16000, [(0, 4000), (4000, 8000)]),
        (22050, [(0, 4000), (4000, 8000), (8000, 11025)]),
        (6000, [(0, 3000)]),
        (16001, [(0, 4000), (4000, 8000.5)]),  # half a hertz more is no band
    ],
)
def test_every_bin_falls_into_one_band(pair, rate, edges):
    bands = lsd_by_band(*pair, rate)
    assert list(bands) == edges
    frequencies = np.fft.rfftfreq(2048, 1 / rate)
    inner = [lo for lo, _ in edges[1:]]
    band_of_bin = np.digitize(frequencies, inner)
    for index, value in enumerate(bands.values()):
        expected = scipy_lsd(*pair, band_of_bin == index)
        assert value == pytest.approx(expected, abs=1e-9)


def test_a_change_above_the_cutoff_leaves_the_rest_alone(rng):
    spectrum = np.fft.rfft(rng.standard_normal(RATE))
    boosted = spectrum.copy()
    boosted[5000:] *= 2  # a second of signal: bins are hertz
    reference, estimate = np.fft.irfft(spectrum), np.fft.irfft(boosted)
    assert lsd_lf(reference, estimate, RATE, 4900) < 0.01
    assert lsd_hf(reference, estimate, RATE, 5100) == pytest.approx(0.602, abs=0.01)


@pytest.mark.parametrize(
    "band_hz", [(8001, 9000), (3000, 2000), (100.1, 100.2), (-5, 100), (math.nan, 100)]
)
def test_a_band_without_bins_is_refused(band_hz):
    with pytest.raises(InvalidInputError, match="no frequency bin"):
        lsd(np.ones(3000), np.ones(3000), sample_rate=RATE, band_hz=band_hz)


def test_impossible_settings_are_refused():
    signal = np.ones(3000)
    with pytest.raises(InvalidInputError, match="sample_rate"):
        lsd(signal, signal, band_hz=(0, 100))
    with pytest.raises(InvalidInputError, match="sample rate 0"):
        lsd_lf(signal, signal, 0, 100)
    with pytest.raises(InvalidInputError, match="bands of 0 Hz"):
        lsd_by_band(signal, signal, RATE, 0)
