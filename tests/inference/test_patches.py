"""Patches meet the network as in training, and leave no seam, no delay and no change below."""

import numpy as np
import pytest

from overtone.degrade.spline import decimate, interpolate
from overtone.inference.waveform import (
    Interpolation,
    PatchResidual,
    WaveformInfo,
    spline_response,
)

RATE = 16000
GAIN = 1.7
PATCH = 8192
GUARD = PATCH // 16


@pytest.fixture
def info(waveform_info):
    return WaveformInfo(**waveform_info)


def bent(low):
    """A network whose every output sample depends on one input sample."""
    return low + 0.3 * np.abs(low)


def run(stream, parts):
    return np.concatenate([*(stream.push(part) for part in parts), stream.flush()], axis=1)


def ratio_db(wanted, error):
    return 10 * np.log10(np.sum(wanted**2) / np.sum(error**2))


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_spline_is_kuleshovs(scale):
    low = np.zeros((1, 201))
    low[0, 100] = 1
    impulse = interpolate(low, scale)[0].astype(float)
    frequencies = np.fft.rfftfreq(impulse.size, 1 / RATE)
    delay = np.exp(2j * np.pi * frequencies * 100 * scale / RATE)
    found = np.fft.rfft(impulse) * delay / scale
    np.testing.assert_allclose(found, spline_response(frequencies, RATE, scale), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("start", [0, 8000])
def test_a_wide_band_recording_is_degraded_as_in_training(make_noise, scale, start):
    wide = make_noise(RATE, 2.0)
    wanted = interpolate(decimate(wide, scale), scale)[:, start:][:, : PATCH + 2 * GUARD]
    prepare = Interpolation(RATE, scale, PATCH + 2 * GUARD, RATE / 2 / scale)
    found = prepare(wide[:, start:][:, : PATCH + 2 * GUARD])
    inner = slice(GUARD, -GUARD)
    assert ratio_db(wanted[:, inner], (found - wanted)[:, inner]) > 45


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_low_file_from_the_same_filter_is_not_filtered_again(make_noise, scale):
    low = decimate(make_noise(RATE, 1.0), scale)
    stuffed = np.zeros((1, low.shape[1] * scale))
    stuffed[:, ::scale] = scale * low
    window, inner = PATCH + 2 * GUARD, slice(GUARD, -GUARD)
    prepare = Interpolation(RATE, scale, window, 0.82 * RATE / 2 / scale)
    found, wanted = prepare(stuffed[:, :window]), interpolate(low, scale)[:, :window]
    assert ratio_db(wanted[:, inner], (found - wanted)[:, inner]) > 45


def test_what_lies_above_the_low_band_is_not_seen(make_noise):
    noise = make_noise(RATE)[:, :PATCH].astype(float)
    tone = np.sin(2 * np.pi * 5 / 16 * np.arange(PATCH))  # 5 kHz, whole periods
    for cutoff_hz in (1000.0, 1600.0, 2000.0, 4000.0):
        prepare = Interpolation(RATE, 4, PATCH, cutoff_hz)
        np.testing.assert_allclose(prepare(noise + tone), prepare(noise), atol=1e-9)


def test_mirror_images_of_a_band_that_ends_lower_are_not_seen(make_noise):
    # At 2 kHz, stuffed: the second kilohertz mirrors the first.
    stuffed = np.zeros((1, PATCH))
    stuffed[:, ::8] = make_noise(2000, 1.0)[:, : PATCH // 8]
    seen = np.abs(np.fft.rfft(Interpolation(RATE, 4, PATCH, 900.0)(stuffed)))[0]
    frequencies = np.fft.rfftfreq(PATCH, 1 / RATE)
    above = seen[(frequencies > 1000) & (frequencies < 2000)]
    assert above.max() < 1e-9 * seen.max()


@pytest.mark.parametrize("cutoff_hz", [1640.0, 2000.0, 3000.0])
def test_patches_are_as_the_whole_recording_at_once(info, make_noise, cutoff_hz):
    noise = make_noise(RATE, 3.0)[:, :46080]
    noise *= np.hanning(46080).astype(np.float32)  # no edges
    found = run(PatchResidual(info, bent, 1, cutoff_hz, GAIN), [noise])
    whole = bent(Interpolation(RATE, 4, 46080, cutoff_hz)(GAIN * noise.astype(float)))
    spectrum = np.fft.rfft(whole / GAIN - noise)
    ramp = np.clip((np.fft.rfftfreq(46080, 1 / RATE) / cutoff_hz - 0.97) / 0.03, 0, 1)
    wanted = np.fft.irfft(spectrum * np.sin(np.pi / 2 * ramp) ** 2)
    assert ratio_db(wanted, found - wanted) > 45


@pytest.mark.parametrize("pieces", [3, 100])
def test_any_chunking_gives_the_same_samples(info, make_noise, rng, pieces):
    noise = make_noise(RATE, 1.5, channels=2)
    whole = run(PatchResidual(info, bent, 2, 2000.0, GAIN), [noise])
    cuts = np.sort(rng.integers(0, noise.shape[1], pieces))
    parts = run(PatchResidual(info, bent, 2, 2000.0, GAIN), np.split(noise, cuts, axis=1))
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("samples", [0, 1, 511, 5632, 5633, 9000])
def test_any_length_comes_back_exactly(info, make_noise, samples):
    noise = make_noise(RATE)[:, :samples]
    stream = PatchResidual(info, bent, 1, 2000.0, GAIN)
    assert run(stream, np.array_split(noise, 3, axis=1)).shape == (1, samples)


def test_latency_is_as_stated(info, make_noise):
    stream = PatchResidual(info, bent, 1, 2000.0, GAIN)
    given, waited = 0, 0
    for taken in range(100, 30000, 100):
        given += stream.push(make_noise(RATE)[:, :100]).shape[1]
        waited = max(waited, taken - given)
    assert info.latency_samples - 100 <= waited <= info.latency_samples


def test_memory_is_bounded(info, make_noise):
    stream = PatchResidual(info, bent, 1, 2000.0, GAIN)
    for _ in range(5):
        stream.push(make_noise(RATE, 2.0))
        assert stream._input.shape[1] < PATCH + 2 * GUARD


def test_below_the_cutoff_nothing_is_added(info, make_noise):
    def wild(low):  # another prediction at each call, so that seams would be heard
        return low + make_noise(RATE)[:, : low.shape[1]]

    noise = make_noise(RATE, 3.0)
    added = run(PatchResidual(info, wild, 1, 2000.0, GAIN), [noise])[0, 2000:-2000]
    spectrum = np.abs(np.fft.rfft(added * np.hanning(added.size))) ** 2
    frequencies = np.fft.rfftfreq(added.size, 1 / RATE)
    below = spectrum[frequencies < 1700].mean() / spectrum[frequencies > 2100].mean()
    assert 10 * np.log10(below) < -75


def test_what_the_input_holds_above_the_cutoff_is_replaced(info, make_noise):
    noise = make_noise(RATE, 2.0)
    tone = 0.3 * np.sin(2 * np.pi * 5000 / RATE * np.arange(noise.shape[1]))[None]
    tone = tone.astype(np.float32)
    clean = noise + run(PatchResidual(info, bent, 1, 2000.0, GAIN), [noise])
    dirty = noise + tone + run(PatchResidual(info, bent, 1, 2000.0, GAIN), [noise + tone])
    inner = slice(1000, -1000)
    assert ratio_db(tone[:, inner], (dirty - clean)[:, inner]) > 60


def test_silence_stays_silence_beside_sound(info, make_noise):
    def biased(low):
        return low + 0.1 * make_noise(RATE)[:, : low.shape[1]]

    noise = make_noise(RATE, 2.0)
    noise[:, 10000:12000] = 0
    out = run(PatchResidual(info, biased, 1, 2000.0, GAIN), [noise])
    assert not out[:, 10000 + 512 : 12000 - 512].any()
    # Where it sounds something is added, up to the edge.
    assert np.abs(out[:, 9500:10000]).mean() > 1e-3
    assert np.abs(out[:, 12000:12500]).mean() > 1e-3


def test_digital_silence_does_not_even_run_the_network(info):
    def refuse(low):
        raise AssertionError("it ran")

    out = run(PatchResidual(info, refuse, 2, 2000.0, GAIN), [np.zeros((2, 20000), np.float32)])
    assert out.shape == (2, 20000)
    assert not out.any()


def test_gain_is_only_the_networks_view(info, make_noise):
    noise = make_noise(RATE)
    loud = run(PatchResidual(info, np.tanh, 1, 2000.0, 1.0), [noise])
    soft = run(PatchResidual(info, np.tanh, 1, 2000.0, 4.0), [noise / 4])
    np.testing.assert_allclose(4 * soft, loud, atol=1e-6)
    other = run(PatchResidual(info, np.tanh, 1, 2000.0, 4.0), [noise])
    assert np.abs(other - loud).max() > 1e-3


def test_channels_do_not_touch_each_other(info, make_noise):
    noise = make_noise(RATE, channels=3)
    noise[1] = 0
    together = run(PatchResidual(info, bent, 3, 2000.0, GAIN), [noise])
    for channel in range(3):
        alone = run(PatchResidual(info, bent, 1, 2000.0, GAIN), [noise[[channel]]])
        np.testing.assert_array_equal(together[[channel]], alone)


@pytest.mark.parametrize("patch_samples", [100, 8200, 0, -8192])
def test_patches_that_cannot_be_cut_are_refused(waveform_info, patch_samples):
    with pytest.raises(ValueError, match="patch_samples"):
        WaveformInfo(**waveform_info | {"patch_samples": patch_samples})
