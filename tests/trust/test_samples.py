"""Samples that no microphone gave, and more channels than fit into memory."""

import numpy as np
import pytest
import soundfile

from overtone import Enhancer, StreamEnhancer, enhance
from overtone.audio.formats import MAX_BLOCK_VALUES
from overtone.audio.reader import AudioReader
from overtone.errors import AudioFileError, InvalidInputError
from overtone.inference.planning import block_frames


@pytest.fixture(scope="module")
def enhancer():
    return Enhancer("speech-faithful", device="cpu", threads=1)


@pytest.fixture
def make_file(tmp_path):
    """Write samples ``[channels, samples]`` at 8 kHz as floats."""

    def write(samples):
        path = tmp_path / "floats.wav"
        soundfile.write(path, np.asarray(samples).T, 8000, "FLOAT")
        return path

    return write


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e18, -3e38])
def test_a_sample_that_is_no_sound_is_placed(make_file, make_noise, value):
    samples = make_noise(8000)
    samples[0, 4000] = value
    with (
        pytest.raises(AudioFileError, match=r"floats\.wav: .*no sound .*at 0\.5000 s"),
        AudioReader(make_file(samples)) as reader,
    ):
        list(reader.blocks(1000))
    with pytest.raises(InvalidInputError, match="1e18"):
        enhance(samples, 8000)
    with pytest.raises(InvalidInputError, match="1e18"):
        StreamEnhancer(8000).push(samples)


@pytest.mark.parametrize("scale", [1, 32767, 1e17])
def test_integers_stored_as_floats_are_noticed(enhancer, make_file, make_noise, tmp_path, scale):
    samples = make_noise(8000, rms=0.1)
    samples *= np.float32(scale) / np.abs(samples).max()
    out = tmp_path / "out.wav"
    report = enhancer.enhance_file(make_file(samples), out)
    assert ("integers" in report.warning) == (scale > 1)
    assert np.isfinite(soundfile.read(out)[0]).all()


def test_blocks_are_bounded_whatever_the_channels(make_file):
    path = make_file(np.zeros((1000, 9000), np.float32))
    with AudioReader(path) as reader:
        lengths = [block.shape[1] for block in reader.blocks()]
    assert sum(lengths) == 9000
    assert max(lengths) * 1000 <= MAX_BLOCK_VALUES


@pytest.mark.parametrize("channels", [1, 2, 8, 64, 1024])
@pytest.mark.parametrize("rate_in", [1000, 8000, 48000, 384000])
@pytest.mark.parametrize("rate_out", [None, 48000, 384000])
def test_neither_input_nor_output_of_a_block_outgrows_the_bound(channels, rate_in, rate_out):
    frames = block_frames(channels, rate_in, rate_out)
    assert 1 <= frames <= rate_in
    out = frames * (rate_out or 48000) / rate_in
    assert max(frames, out) * channels <= max(MAX_BLOCK_VALUES, channels * 384)
    if channels <= 2 and max(rate_in, rate_out or 0) <= 192_000:
        assert frames == rate_in


def test_more_channels_than_fit_are_refused(enhancer, tmp_path):
    path, out = tmp_path / "many.wav", tmp_path / "out.wav"
    soundfile.write(path, np.zeros((100, 1024), np.float32), 384_000, "FLOAT")
    with pytest.raises(InvalidInputError, match=r"many\.wav: 1024 channels; at most 64"):
        enhancer.enhance_file(path, out)
    assert not out.exists()
