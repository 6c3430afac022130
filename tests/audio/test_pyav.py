"""What libsndfile cannot open: lengths, alignment and refusals of the PyAV decoder."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.audio import reader
from overtone.audio.reader import AudioReader, probe, read_audio
from overtone.audio.writer import AudioWriter
from overtone.errors import AudioFileError, MissingExtraError

Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def speech(examples_dir: Path) -> Samples:
    """Two seconds at 48 kHz in two unlike channels, an odd number of samples."""
    mono = read_audio(examples_dir / "speech_en_48k.flac")[0][:, : 2 * 48000 + 123]
    return np.concatenate([mono, -0.5 * mono])


def encode(path: Path, samples: Samples, codec: str, **options: str) -> Path:
    """Write ``samples`` (48 kHz stereo) with FFmpeg's encoder ``codec``."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=48000, layout="stereo")
        stream.bit_rate = 128000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
        frame.sample_rate, frame.pts = 48000, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def lag_samples(signal: Samples, reference: Samples) -> int:
    """How many samples ``signal`` comes late, from the peak of the cross-correlation."""
    size = 2 * max(len(signal), len(reference))
    spectrum = np.fft.rfft(signal, size) * np.conj(np.fft.rfft(reference, size))
    peak = int(np.argmax(np.fft.irfft(spectrum)))
    return peak if peak < size // 2 else peak - size


@pytest.mark.parametrize(
    ("name", "codec", "subtype"),
    [("a.m4a", "aac", "AAC"), ("a.mp4", "aac", "AAC"), ("a.webm", "libopus", "OPUS")],
)
def test_lossy_sound_keeps_its_alignment_and_length(
    speech: Samples, tmp_path: Path, name: str, codec: str, subtype: str
) -> None:
    path = encode(tmp_path / name, speech, codec)
    info = probe(path)
    samples, rate = read_audio(path)
    assert (rate, info.channels, info.subtype) == (48000, 2, subtype)
    assert info.frames in (None, samples.shape[1])
    # MP4 states the length in milliseconds; a decoder left alone runs on to a whole packet.
    assert abs(samples.shape[1] - speech.shape[1]) <= 48
    for channel in range(2):
        assert lag_samples(samples[channel], speech[channel]) == 0


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "alac"), ("a.mka", "flac")])
def test_lossless_sound_comes_back_exactly(
    speech: Samples, tmp_path: Path, name: str, codec: str
) -> None:
    samples, _ = read_audio(encode(tmp_path / name, speech, codec))
    assert samples.shape == speech.shape
    assert np.abs(samples - speech).max() <= 2.0**-15


@pytest.mark.parametrize("name", ["a.aac", "a.wma"])
def test_formats_without_a_length_still_decode(speech: Samples, tmp_path: Path, name: str) -> None:
    codec = {"a.aac": "aac", "a.wma": "wmav2"}[name]
    path = encode(tmp_path / name, speech, codec)
    assert probe(path).frames is None
    assert probe(path).duration_s is None
    samples, _ = read_audio(path)
    assert abs(samples.shape[1] - speech.shape[1]) < 4096


def test_block_size_does_not_change_the_samples(speech: Samples, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", speech, "aac")
    whole, _ = read_audio(path)
    with AudioReader(path) as reader:
        for block_frames in (100, 1024, 50000, 10**6):
            blocks = list(reader.blocks(block_frames))
            assert all(block.shape[1] == block_frames for block in blocks[:-1])
            assert np.array_equal(np.concatenate(blocks, axis=1), whole)


def test_a_video_gives_its_sound(speech: Samples, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream("flac", rate=48000, layout="stereo")
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        image.pts = 0
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(speech), "fltp", "stereo")
        frame.sample_rate, frame.pts = 48000, 0
        for stream, unit in ((picture, image), (sound, frame)):
            for packet in [*stream.encode(unit), *stream.encode(None)]:
                container.mux(packet)
    assert read_audio(path)[0].shape == speech.shape


def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        image.pts = 0
        for packet in [*picture.encode(image), *picture.encode(None)]:
            container.mux(packet)
    with pytest.raises(AudioFileError, match=r"silent\.mp4: has no sound"):
        probe(path)


@pytest.mark.parametrize("name", ["notes.m4a", "notes.webm", "notes.wma", "notes.mkv"])
def test_text_under_an_audio_name(tmp_path: Path, name: str) -> None:
    pytest.importorskip("av")
    (tmp_path / name).write_text("This is not a recording.\n" * 1000)
    with pytest.raises(AudioFileError, match=f"{name}: is not audio"):
        probe(tmp_path / name)


def test_a_cut_off_m4a_is_refused(speech: Samples, tmp_path: Path) -> None:
    path = encode(tmp_path / "cut.m4a", speech, "aac")
    path.write_bytes(path.read_bytes()[:10000])
    with pytest.raises(AudioFileError, match=r"cut\.m4a: .*cut off"):
        read_audio(path)


def test_a_damaged_m4a_is_named_with_the_time(speech: Samples, tmp_path: Path) -> None:
    path = encode(tmp_path / "bad.m4a", speech, "aac")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    path.write_bytes(content)
    with pytest.raises(AudioFileError, match=r"bad\.m4a: damaged or cut off at [01]\.\d+ s"):
        read_audio(path)


@pytest.mark.parametrize("name", ["two words.m4a", "-a.m4a", "talk: part 1.m4a", "naïve 音声.m4a"])
def test_any_file_name_will_do(
    speech: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    encode(tmp_path / "a.m4a", speech, "aac").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(name).channels == 2


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "call.m4a").write_bytes(b"anything")
    with pytest.raises(MissingExtraError, match=r"reading \.m4a files.*overtone\[formats\]"):
        probe(tmp_path / "call.m4a")


@pytest.fixture(scope="module")
def mp3_without_index(speech: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A variable-bit-rate MP3 that starts dense: libsndfile underestimates its length."""
    sparse = np.concatenate([speech, np.zeros((2, 8 * 48000), np.float32)], axis=1)
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("mp3") / "stream.mp3"
    with av.open(str(path), "w", options={"write_xing": "0", "id3v2_version": "0"}) as container:
        # FFmpeg's way to ask LAME for -V 2 instead of a constant rate.
        options = {"flags": "+qscale", "global_quality": str(2 * 118)}
        stream = container.add_stream("libmp3lame", rate=48000, layout="stereo", options=options)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sparse), "fltp", "stereo")
        frame.sample_rate, frame.pts = 48000, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def test_an_mp3_without_index_is_read_to_its_end(mp3_without_index: Path, speech: Samples) -> None:
    assert probe(mp3_without_index).frames is None
    samples, _ = read_audio(mp3_without_index)
    assert 0 <= samples.shape[1] - (speech.shape[1] + 8 * 48000) < 4 * 1152


def test_an_mp3_without_index_is_never_silently_shortened(
    mp3_without_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "has_pyav", lambda: False)
    with pytest.raises(AudioFileError, match=r"only the first .* s can be read.*overtone\[formats"):
        read_audio(mp3_without_index)


def test_opus_is_the_same_by_either_decoder(tmp_path, examples_dir, monkeypatch):
    original, rate = read_audio(examples_dir / "speech_en_48k.flac")
    path = tmp_path / "speech.opus"
    with AudioWriter(path, rate, 1) as writer:
        writer.write(original)
    by_ffmpeg, _ = read_audio(path)
    monkeypatch.setattr("overtone.audio.reader.has_pyav", lambda: False)
    by_libsndfile, _ = read_audio(path)
    assert by_ffmpeg.shape == by_libsndfile.shape == original.shape
    error = by_ffmpeg - by_libsndfile
    assert 10 * np.log10(np.sum(by_libsndfile**2) / np.sum(error**2)) > 30
