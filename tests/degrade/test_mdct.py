"""The imitation of a transform codec loses what MP3 does, and keeps time and silence."""

import numpy as np
import pytest
import soundfile
from numpy.lib.stride_tricks import sliding_window_view

from overtone.degrade import mdct
from overtone.degrade.codecs import mp3_roundtrip
from overtone.degrade.mdct import transform_coded
from overtone.errors import InvalidInputError

RATE = 48000
BANDS_HZ = ((300, 700), (700, 1200), (1200, 2000), (2000, 3000), (3000, 5000), (5000, 9000))


@pytest.fixture(scope="module")
def speech(examples_dir):
    return soundfile.read(examples_dir / "speech_en_48k.flac", dtype="float32")[0]


def spectra(samples):
    return np.fft.rfft(sliding_window_view(samples, 1152)[::576] * np.hanning(1152))


def noise_to_signal_db(clean, coded):
    """The median over loud frames, by band."""
    signal, noise = (np.abs(spectra(x)) ** 2 for x in (clean, coded - clean))
    hz = np.fft.rfftfreq(1152, 1 / RATE)
    loud = signal.sum(axis=1) > 1e-2 * signal.sum(axis=1).max()
    inside = [(hz >= low) & (hz < high) for low, high in BANDS_HZ]
    ratios = [noise[loud][:, x].sum(axis=1) / signal[loud][:, x].sum(axis=1) for x in inside]
    return 10 * np.log10(np.median(ratios, axis=1))


@pytest.mark.parametrize(("bitrate_kbps", "fall_db"), [(48, 0.95), (64, 0.85)])
def test_it_is_as_noisy_as_mp3_band_by_band(speech, bitrate_kbps, fall_db):
    wanted = noise_to_signal_db(speech, mp3_roundtrip(speech, RATE, bitrate_kbps))
    found = noise_to_signal_db(speech, transform_coded(speech, RATE, fall_db))
    assert np.abs(found - wanted).max() < 3.5


def test_the_harder_the_more_holes(speech):
    def holes(fall_db):
        before, after = (np.abs(spectra(x)[:, 120:240]) ** 2 for x in (speech, coded(fall_db)))
        return np.mean(after.sum(axis=1) < 1e-2 * before.sum(axis=1))

    def coded(fall_db):
        return transform_coded(speech, RATE, fall_db)

    assert holes(0.5) == 0
    assert holes(1.5) > 0.1


@pytest.mark.parametrize("length", [1, 575, 576, 5000])
@pytest.mark.parametrize("block", [2, 288, 576])
def test_the_transform_is_undone_by_its_inverse(rng, length, block):
    samples = rng.standard_normal((2, length)).astype(np.float32)
    lines = mdct._mdct(samples, block)
    assert np.allclose(mdct._inverse_mdct(lines, length), samples, atol=1e-5)
    # Critically sampled: no more numbers than samples, but for the ends.
    assert lines.shape == (2, -(-length // block) + 1, block)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("length", [0, 1, 999, 10000])
def test_shape_time_and_scale_stay(rng, rate, length):
    samples = rng.standard_normal((2, length)).astype(np.float32)
    coded = transform_coded(samples, rate, 0.3)
    assert coded.shape == samples.shape
    assert coded.dtype == np.float32
    if length > 100:
        assert np.corrcoef(coded[0], samples[0])[0, 1] > 0.95
    assert np.allclose(transform_coded(samples * 1e-3, rate, 0.3), coded * 1e-3, atol=1e-5)


def test_items_do_not_mix(rng):
    samples = rng.standard_normal((3, 4000)).astype(np.float32)
    one = transform_coded(samples[1], RATE, 1.0)
    assert np.array_equal(transform_coded(samples, RATE, 1.0)[1], one)


def test_silence_stays_silent():
    assert not transform_coded(np.zeros(3000, np.float32), RATE, 1.0).any()


@pytest.mark.parametrize("fall_db", [-0.1, float("nan")])
def test_an_impossible_fall_is_refused(fall_db):
    with pytest.raises(InvalidInputError, match="fall must be 0 dB or more"):
        transform_coded(np.zeros(10, np.float32), RATE, fall_db)
