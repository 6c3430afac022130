"""Files as they are found: misnamed, joined, cut, headed by tags, their sizes never written."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from overtone.audio.reader import AudioReader, probe, read_audio
from overtone.errors import AudioFileError

Samples = NDArray[np.float32]
DATA = Path(__file__).resolve().parent.parent / "data" / "files"
RATE = 48000
ID3 = b"ID3\x03\x00\x00\x00\x00\x00\x0bTIT2\x00\x00\x00\x05\x00\x00\x00a\x00b\x00"[:21]
ID3V1 = b"TAG" + b"title".ljust(125, b"\0")


@pytest.fixture(scope="module")
def speech(examples_dir: Path) -> Samples:
    """Two seconds of speech at 48 kHz, an odd number of samples."""
    return read_audio(examples_dir / "speech_en_48k.flac")[0][:, : 2 * RATE + 123]


def sndfile_bytes(samples: Samples, kind: str, subtype: str | None = None, rate=RATE) -> bytes:
    """Encode with libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate, subtype, format=kind)
    return file.getvalue()


def encode(path, samples, codec, rate=RATE, layout="mono", kind=None, bit_rate=None) -> Path:
    """Encode with FFmpeg; ``samples`` are at 48 kHz."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=kind) as container:
        try:
            stream = container.add_stream(codec, rate=rate, layout=layout)
        except av.codec.codec.UnknownCodecError:
            pytest.skip(f"this FFmpeg cannot write {codec}")
        if codec in ("wavpack", "tta"):
            stream.codec_context.format = {"wavpack": "s16p", "tta": "s16"}[codec]
        if bit_rate:
            stream.bit_rate = bit_rate
        flat = np.ascontiguousarray(samples.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(flat, "flt", layout)
        frame.sample_rate, frame.pts = RATE, 0
        to_codec = av.AudioResampler(stream.codec_context.format or "fltp", layout, rate)
        for part in [*to_codec.resample(frame), *to_codec.resample(None), None]:
            for packet in stream.encode(part):
                container.mux(packet)
    return path


def seconds(path: Path) -> float:
    samples, rate = read_audio(path)
    return samples.shape[1] / rate


def lag_samples(signal: Samples, reference: Samples) -> int:
    """How many samples ``signal`` comes late, from the peak of the cross-correlation."""
    size = 2 * max(len(signal), len(reference))
    spectrum = np.fft.rfft(signal, size) * np.conj(np.fft.rfft(reference, size))
    peak = int(np.argmax(np.fft.irfft(spectrum)))
    return peak if peak < size // 2 else peak - size


# --- What a file is called decides nothing -------------------------------------------------------


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "OGG", "AIFF", "W64", "RF64", "CAF", "AU"])
@pytest.mark.parametrize("name", ["a.m4a", "a.mp3", "a.wav", "a.raw", "a"])
def test_any_format_is_read_under_any_name(
    speech: Samples, tmp_path: Path, kind: str, name: str
) -> None:
    (tmp_path / name).write_bytes(sndfile_bytes(speech, kind))
    assert probe(tmp_path / name).format == kind
    assert read_audio(tmp_path / name)[0].shape == speech.shape


@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.flac", "a.txt"])
def test_an_m4a_is_read_under_any_name(speech: Samples, tmp_path: Path, name: str) -> None:
    path = encode(tmp_path / "made.m4a", speech, "aac").rename(tmp_path / name)
    assert (probe(path).format, probe(path).subtype) == ("MP4", "AAC")
    assert abs(read_audio(path)[0].shape[1] - speech.shape[1]) <= 48


@pytest.mark.parametrize(
    ("name", "codec", "rate", "kind"),
    [
        ("a.3gp", "aac", RATE, None),
        ("a.amr", "libopencore_amrnb", 8000, None),
        ("a.awb", "libvo_amrwbenc", 16000, "amr"),
        ("a.wv", "wavpack", RATE, None),
        ("a.ac3", "ac3", RATE, None),
        ("a.eac3", "eac3", RATE, None),
        ("a.mp2", "mp2", RATE, None),
        ("a.mka", "libopus", RATE, None),
        ("a.oga", "flac", RATE, "ogg"),
        ("a.spx", "libspeex", 16000, "ogg"),
        ("a.tta", "tta", RATE, None),
        ("a.wma", "wmav2", 44100, "asf"),
        ("g722.wav", "g722", 16000, None),
        ("g726.wav", "g726", 8000, None),
        ("mp3.wav", "libmp3lame", RATE, None),
        ("adpcm.wav", "adpcm_ms", RATE, None),
        ("a.ts", "aac", RATE, "mpegts"),
    ],
)
def test_what_ffmpeg_knows_is_read_under_its_name_and_as_a_wav(
    speech: Samples, tmp_path: Path, name: str, codec: str, rate: int, kind: str | None
) -> None:
    bit_rate = {"g726": 32000, "libopencore_amrnb": 12200, "wmav2": 96000}.get(codec)
    path = encode(tmp_path / name, speech, codec, rate, kind=kind, bit_rate=bit_rate)
    lossless = codec in ("wavpack", "flac", "tta")
    for called in (name, "stdin.wav"):
        path = path.rename(tmp_path / called)
        samples, found_rate = read_audio(path)
        assert found_rate == rate
        assert samples.shape[0] == 1
        # A codec may add its own frame and delay; nothing is missing.
        missing_s = 0.01 if codec == "wmav2" else 0.001  # its encoder keeps the last samples
        assert -missing_s <= samples.shape[1] / rate - speech.shape[1] / RATE < 0.1
        if lossless:
            assert np.abs(samples - speech).max() <= 2.0**-15


def test_recordings_of_phones(tmp_path: Path) -> None:
    pytest.importorskip("av")
    assert seconds(DATA / "amr.amr") == pytest.approx(3.32)
    assert seconds(DATA / "opus.caf") == pytest.approx(3.32)


def test_bw64_is_read_like_rf64(speech: Samples, tmp_path: Path) -> None:
    content = sndfile_bytes(speech, "RF64", "PCM_24")
    (tmp_path / "a.wav").write_bytes(b"BW64" + content[4:])
    (tmp_path / "b.wav").write_bytes(content)
    assert np.array_equal(read_audio(tmp_path / "a.wav")[0], read_audio(tmp_path / "b.wav")[0])


@pytest.mark.parametrize(
    "text", ["#EXTM3U\n#EXTINF:1,\nreal.wav\n", "ffconcat version 1.0\nfile real.wav\n"]
)
def test_a_playlist_opens_nothing(speech: Samples, tmp_path: Path, text: str) -> None:
    (tmp_path / "real.wav").write_bytes(sndfile_bytes(speech, "WAV"))
    (tmp_path / "list.wav").write_text(text)
    with pytest.raises(AudioFileError, match=r"list\.wav: is not audio"):
        read_audio(tmp_path / "list.wav")


@pytest.mark.parametrize("layout", ["6.1", "7.1", "7.1(wide)", "octagonal"])
def test_seven_and_more_channels_of_aac_are_read(make_tone, tmp_path: Path, layout: str) -> None:
    """In a process of its own: PyAV has crashed here."""
    av = pytest.importorskip("av")
    channels = av.AudioLayout(layout).nb_channels
    tones = np.concatenate([make_tone(50 + 10 * k, RATE) for k in range(channels)])
    path = encode(tmp_path / "a.m4a", tones, "aac", layout=layout, bit_rate=512000)
    program = (
        "import sys, numpy as np; from overtone.audio.reader import read_audio\n"
        "samples, rate = read_audio(sys.argv[1])\n"
        "print(*sorted(np.abs(np.fft.rfft(samples[:, :rate])).argmax(axis=1)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert [int(word) for word in done.stdout.split()] == [50 + 10 * k for k in range(channels)]


# --- In front of the sound -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "FLAC", "OGG", "MP3"])
def test_a_tag_before_the_header(speech: Samples, tmp_path: Path, kind: str) -> None:
    content = sndfile_bytes(speech, kind)
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "tagged").write_bytes(ID3 + content)
    assert np.array_equal(read_audio(tmp_path / "tagged")[0], read_audio(tmp_path / "plain")[0])


@pytest.mark.parametrize("junk", [bytes(1500), b"junk text " * 30, None, bytes(70000)])
def test_junk_before_the_first_mp3_frame(
    speech: Samples, tmp_path: Path, junk: bytes | None, rng: np.random.Generator
) -> None:
    pytest.importorskip("av")
    content = sndfile_bytes(speech, "MP3")
    (tmp_path / "plain.mp3").write_bytes(content)
    (tmp_path / "junk.mp3").write_bytes((rng.bytes(2000) if junk is None else junk) + content)
    assert np.array_equal(
        read_audio(tmp_path / "junk.mp3")[0], read_audio(tmp_path / "plain.mp3")[0]
    )


def test_the_start_of_opus_is_counted_at_48_khz() -> None:
    """In WebM its rate is that of what was encoded, here 8 kHz; 312 samples are to be left out."""
    pytest.importorskip("av")
    samples, rate = read_audio(DATA / "opus_from8k.webm")
    assert samples.shape[1] / rate == pytest.approx(3.3095, abs=1e-4)
    # The same sound as 8 kHz AMR, which starts 5 ms late.
    call, _ = read_audio(DATA / "amr.amr")
    repeated = np.repeat(call[0], 6)[: samples.shape[1]]
    assert abs(lag_samples(samples[0], repeated)) < 0.008 * rate


# --- One stream after another --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["MP3", "FLAC", "WAV", "RF64", "AIFF"])
@pytest.mark.parametrize("between", [b"", ID3])
def test_joined_files_are_read_whole(
    speech: Samples, tmp_path: Path, kind: str, between: bytes
) -> None:
    if between and kind not in ("MP3",):
        pytest.skip("a tag stands before MP3 only")
    parts = [sndfile_bytes(part, kind) for part in (speech, -0.5 * speech[:, :50001])]
    expected = []
    for number, part in enumerate(parts):
        (tmp_path / f"{number}.bin").write_bytes(part)
        expected.append(read_audio(tmp_path / f"{number}.bin")[0])
    (tmp_path / "joined").write_bytes(parts[0] + between + parts[1])
    samples, _ = read_audio(tmp_path / "joined")
    assert np.array_equal(samples, np.concatenate(expected, axis=1))


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_is_read_whole(speech: Samples, tmp_path: Path, subtype: str) -> None:
    parts = [sndfile_bytes(part, "OGG", subtype) for part in (speech, speech[:, :50001], speech)]
    (tmp_path / "chain.ogg").write_bytes(b"".join(parts))
    samples, _ = read_audio(tmp_path / "chain.ogg")
    assert samples.shape[1] == 2 * speech.shape[1] + 50001
    start = speech.shape[1] + 50001
    assert lag_samples(samples[0, start:], speech[0]) == 0


@pytest.mark.parametrize("links", [1, 2])
def test_an_ogg_without_its_last_page_is_doubted(
    speech: Samples, tmp_path: Path, links: int
) -> None:
    whole = sndfile_bytes(speech, "OGG", "VORBIS")
    for content, doubtful in ((whole, False), (whole[: whole.rindex(b"OggS")], True)):
        with AudioReader(io.BytesIO(whole * (links - 1) + content)) as reader:
            read = sum(block.shape[1] for block in reader.blocks())
            assert ("perhaps cut off" in reader.doubt) == doubtful
        assert (read < links * speech.shape[1]) == doubtful


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8"])
def test_a_voc_is_refused_when_cut(speech: Samples, tmp_path: Path, subtype: str) -> None:
    content = sndfile_bytes(speech, "VOC", subtype, rate=16000)
    assert read_audio(io.BytesIO(content))[0].shape == speech.shape
    (tmp_path / "a.voc").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(AudioFileError, match=r"a\.voc: .*cut off"):
        read_audio(tmp_path / "a.voc")


def test_blocks_run_on_over_a_seam(speech: Samples, tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(2 * sndfile_bytes(speech, "MP3"))
    with AudioReader(tmp_path / "a.mp3") as reader:
        sizes = [block.shape[1] for block in reader.blocks(7000)]
    assert set(sizes[:-1]) == {7000}
    assert sum(sizes) == 2 * speech.shape[1]


def test_joined_files_of_different_rates_are_refused(speech: Samples, tmp_path: Path) -> None:
    parts = [sndfile_bytes(speech, "OGG", rate=rate) for rate in (48000, 44100)]
    (tmp_path / "a.ogg").write_bytes(b"".join(parts))
    with pytest.raises(AudioFileError, match=r"a\.ogg: .*48000 Hz.*44100 Hz.*split it"):
        read_audio(tmp_path / "a.ogg")


# --- Sizes that are wrong ------------------------------------------------------------------------


def with_flac_total(content: bytes, frames: int) -> bytes:
    """Write another number of samples into the header of a FLAC file."""
    head = bytearray(content)
    head[21] &= 0xF0
    head[22:26] = struct.pack(">I", frames)
    return bytes(head)


@pytest.mark.parametrize("tail", [b"", ID3V1])
@pytest.mark.parametrize("frames", [8000, 90000])
def test_a_flac_header_that_promises_too_little(
    speech: Samples, tmp_path: Path, frames: int, tail: bytes
) -> None:
    content = sndfile_bytes(speech, "FLAC")
    (tmp_path / "a.flac").write_bytes(with_flac_total(content, frames) + tail)
    samples, _ = read_audio(tmp_path / "a.flac")
    assert np.abs(samples - speech).max() <= 2.0**-16 + 1e-9
    assert samples.shape == speech.shape


@pytest.mark.parametrize("tail", [ID3V1, bytes(3000), b"junk" * 1000])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "AIFF"])
def test_a_tail_is_no_sound(speech: Samples, tmp_path: Path, kind: str, tail: bytes) -> None:
    (tmp_path / "a").write_bytes(sndfile_bytes(speech, kind) + tail)
    assert read_audio(tmp_path / "a")[0].shape == speech.shape


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "RF64", "AU"])
def test_a_size_of_zero_means_to_the_end(speech: Samples, tmp_path: Path, kind: str) -> None:
    content = bytearray(sndfile_bytes(speech, kind, "PCM_16"))
    if kind == "AU":
        content[8:12] = bytes(4)
    elif kind == "RF64":
        ds64 = content.index(b"ds64") + 8
        content[ds64 : ds64 + 24] = bytes(24)
    else:
        sound = content.index(b"data" if kind == "WAV" else b"SSND") + 4
        content[4:8] = content[sound : sound + 4] = bytes(4)
    (tmp_path / "a").write_bytes(content)
    samples, _ = read_audio(tmp_path / "a")
    assert samples.shape == speech.shape
    assert np.abs(samples - speech).max() <= 2.0**-15


def test_a_wav_header_that_was_written_too_early(speech: Samples, tmp_path: Path) -> None:
    """Recorders bring it up to date now and then, until the battery is empty."""
    content = bytearray(sndfile_bytes(speech, "WAV", "PCM_16"))
    content[4:8], content[40:44] = struct.pack("<I", 36 + 16000), struct.pack("<I", 16000)
    (tmp_path / "a.wav").write_bytes(content)
    assert read_audio(tmp_path / "a.wav")[0].shape == speech.shape


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "W64", "RF64", "CAF", "AU", "OGG"])
def test_a_file_without_samples_is_an_error(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.wav").write_bytes(sndfile_bytes(np.zeros((1, 0), np.float32), kind))
    with pytest.raises(AudioFileError, match=r"a\.wav: holds no samples"):
        read_audio(tmp_path / "a.wav")


def test_chunks_after_no_samples_are_not_samples(tmp_path: Path) -> None:
    empty = bytearray(sndfile_bytes(np.zeros((1, 0), np.float32), "WAV", "PCM_16"))
    empty += b"LIST" + struct.pack("<I", 4000) + b"INFO" + bytes(3996)
    empty[4:8] = struct.pack("<I", len(empty) - 8)
    (tmp_path / "a.wav").write_bytes(empty)
    with pytest.raises(AudioFileError, match="holds no samples"):
        read_audio(tmp_path / "a.wav")


# --- Cut short -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mka", "libopus"),
        ("a.webm", "libopus"),
        ("a.wv", "wavpack"),
        ("a.tta", "tta"),
        ("g722.wav", "g722"),
        ("g726.wav", "g726"),
        ("a.avi", "mp2"),
        ("a.oga", "flac"),
        ("a.aac", "aac"),
    ],
)
def test_what_ffmpeg_reads_is_refused_when_cut(
    speech: Samples, tmp_path: Path, name: str, codec: str
) -> None:
    rate = {"g722": 16000, "g726": 8000}.get(codec, RATE)
    kind = "ogg" if name.endswith("oga") else None
    bit_rate = 32000 if codec == "g726" else None
    path = encode(tmp_path / name, speech, codec, rate, kind=kind, bit_rate=bit_rate)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(AudioFileError, match=rf"{name}: .*cut off"):
        read_audio(path)


def test_an_m4a_with_its_index_in_front_is_refused_when_cut(
    speech: Samples, tmp_path: Path
) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(speech), "fltp", "mono")
        frame.sample_rate, frame.pts = RATE, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    path.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(AudioFileError, match=r"a\.m4a: .*cut off at 1\.\d+ s"):
        read_audio(path)


@pytest.mark.parametrize(
    ("codec", "kind"), [("ac3", "ac3"), ("eac3", "eac3"), ("mp2", "mp2"), ("mp2", "mpegts")]
)
def test_a_stream_of_frames_that_ends_within_one_is_cut(speech, tmp_path, codec, kind) -> None:
    whole = encode(tmp_path / "whole", speech, codec, kind=kind, bit_rate=128_000)
    assert seconds(whole) == pytest.approx(speech.shape[1] / RATE, abs=0.05)
    content = whole.read_bytes()
    (tmp_path / "cut").write_bytes(content[: len(content) * 3 // 5 + 7])
    with pytest.raises(AudioFileError, match="it ends too soon"):
        read_audio(tmp_path / "cut")


@pytest.mark.parametrize("first", [1, 2])
def test_mono_and_stereo_streams_in_one_file_take_the_channels_of_the_first(
    speech: Samples, tmp_path: Path, first: int
) -> None:
    parts = [np.repeat(speech, channels, axis=0) for channels in (first, 3 - first)]
    content = b"".join(sndfile_bytes(part, "OGG", "VORBIS") for part in parts)
    (tmp_path / "chained.ogg").write_bytes(content)
    samples, _ = read_audio(tmp_path / "chained.ogg")
    assert samples.shape == (first, 2 * speech.shape[1])
    alone, _ = read_audio(io.BytesIO(sndfile_bytes(parts[1], "OGG", "VORBIS")))
    np.testing.assert_allclose(
        samples[:, speech.shape[1] :].mean(axis=0), alone.mean(axis=0), atol=1e-6
    )
