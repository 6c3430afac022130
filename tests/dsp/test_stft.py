import numpy as np
import pytest

from overtone.dsp.stft import StreamOverlapAdd, StreamStft, frames, hann, stft


def test_the_window_is_periodic_and_its_squares_add_up():
    window = hann(512)
    assert window[0] == 0
    assert window[256] == 1
    np.testing.assert_allclose(window[1:], window[:0:-1])
    np.testing.assert_allclose((window.reshape(4, 128) ** 2).sum(0), 1.5)


def test_frames_are_those_of_a_loop(rng):
    samples = rng.standard_normal((2, 1000))
    found = frames(samples, 64, 24)
    wanted = [samples[:, start : start + 64] for start in range(0, 1000 - 63, 24)]
    np.testing.assert_array_equal(found, np.stack(wanted, axis=1))


def test_a_sine_lies_in_its_bin():
    samples = np.sin(2 * np.pi * 5 * np.arange(640) / 64)
    spectrum = np.abs(stft(samples, hann(64), 32))
    assert np.all(spectrum.argmax(axis=1) == 5)
    np.testing.assert_allclose(spectrum[:, 5], 16)


@pytest.mark.parametrize("hop", [16, 32, 64])
def test_a_stream_in_any_blocks_has_the_frames_of_the_whole(rng, hop):
    window = hann(128)
    samples = rng.standard_normal((3, 4000)).astype(np.float32)
    stream = StreamStft(3, window, hop)
    cuts = np.sort(rng.integers(0, 4000, 40))
    found = np.concatenate([stream.push(block) for block in np.split(samples, cuts, axis=1)], 1)
    early = np.pad(samples, ((0, 0), (128 - hop, 0)))
    np.testing.assert_allclose(found, stft(early, window, hop), atol=1e-4)


def test_analysis_and_synthesis_give_the_signal_back(rng):
    window, hop = hann(128), 32
    samples = rng.standard_normal((2, 3200)).astype(np.float32)
    analysis, synthesis = StreamStft(2, window, hop), StreamOverlapAdd(2, window / 1.5, hop)
    cuts = np.sort(rng.integers(0, 3200, 20))
    blocks = np.split(samples, cuts, axis=1)
    found = np.concatenate([synthesis.push(analysis.push(block)) for block in blocks], axis=1)
    late = 128 - hop
    np.testing.assert_allclose(found[:, late:], samples[:, : found.shape[1] - late], atol=1e-5)
