"""``overtone stream``: what goes in comes out enhanced, however the pipe ends."""

import io
import os
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from overtone.audio.pcm import PcmFormat, read_wav_header
from overtone.audio.reader import read_audio
from overtone.cli import main
from overtone.cli import stream as stream_command
from overtone.errors import AudioFileError
from overtone.inference import Enhancer, StreamEnhancer
from overtone.inference.planning import ANALYSIS_S

COMMAND = [sys.executable, "-c", "from overtone.cli import main; main()", "stream"]


@pytest.fixture
def call(examples_dir):
    samples, _ = read_audio(examples_dir / "speech_en_8k.flac")
    return np.round(samples[:, :8000] * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def enhancer():
    return Enhancer(device="cpu", threads=1)


@pytest.fixture
def stream(monkeypatch):
    """Run the command here on bytes; return the exit code, the bytes written, and stderr."""

    def run(data, *arguments):
        out, err = io.BytesIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", ["overtone", "stream", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code, out.getvalue(), err.getvalue()

    return run


def enhanced(enhancer, samples, **settings):
    stream = StreamEnhancer(8000, len(samples), enhancer=enhancer, **settings)
    return np.concatenate([stream.push(samples), stream.flush()], axis=1)


RAW = ("--format", "s16le", "--input-rate", "8k", "--channels", "1")


def test_raw_in_raw_out(stream, enhancer, call):
    code, out, err = stream(call.T.tobytes(), *RAW)
    assert (code, err) == (0, "")
    found = np.frombuffer(out, "<i2") / 32768
    np.testing.assert_allclose(found, enhanced(enhancer, call)[0], atol=0.6 / 32768)


@pytest.mark.parametrize("block_ms", ["0.2", "7.3", "10000"])
def test_the_block_size_does_not_change_the_sound(stream, call, block_ms):
    call = call[:, :2000]
    floats = (call / 32768).astype("<f4")
    arguments = ("--format", "f32le", "--input-rate", "8k", "--channels", "1")
    _, usual, _ = stream(floats.tobytes(), *arguments)
    _, out, _ = stream(floats.tobytes(), *arguments, "--block-ms", block_ms)
    found = np.frombuffer(out, "<f4")
    np.testing.assert_allclose(found, np.frombuffer(usual, "<f4"), atol=1e-5)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_wav_keeps_rate_channels_and_format(stream, enhancer, call, subtype):
    stereo = np.concatenate([call, call[:, ::-1]])[:, :3000] / 32768
    file = io.BytesIO()
    soundfile.write(file, stereo.T, 8000, format="WAV", subtype=subtype)
    code, out, err = stream(file.getvalue(), "-r", "44.1k")
    assert (code, err) == (0, "")
    pcm, length = read_wav_header(io.BytesIO(out), "out")
    assert (pcm.sample_rate, pcm.channels, length) == (44100, 2, None)
    found, rate = soundfile.read(io.BytesIO(out), dtype="float32")
    assert rate == 44100
    wanted = enhanced(enhancer, stereo, output_rate=44100)
    np.testing.assert_allclose(found.T, wanted, atol=0.6 / 32768)


def test_chunks_before_and_after_the_samples_are_not_heard(stream, call):
    pcm = PcmFormat("s16", 8000, 1)
    header, data = pcm.wav_header(), call[:, :1000].T.tobytes()
    plain = stream(header + data)[1]
    listed = header[:12] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + header[12:-4]
    listed += struct.pack("<I", len(data)) + data + b"LIST" + struct.pack("<I", 4) + b"tail"
    assert stream(listed)[1] == plain


def test_analysing_gives_what_enhancing_the_file_gives(stream, enhancer, call):
    code, out, _ = stream(call.T.tobytes(), *RAW, "--analysis", "45")
    assert code == 0
    wanted, _ = enhancer.enhance(call, 8000)
    np.testing.assert_allclose(np.frombuffer(out, "<i2") / 32768, wanted[0], atol=0.6 / 32768)


def test_input_that_ends_within_a_sample(stream, call):
    data = call[:, :1000].T.tobytes()
    code, out, err = stream(data + b"\1", *RAW)
    assert code == 0
    assert out == stream(data, *RAW)[1]
    assert err == "overtone: standard input ended within a sample; its last 1 bytes are left out\n"


def test_no_input_is_no_output(stream):
    assert stream(b"", *RAW) == (0, b"", "")
    assert stream(b"") == (1, b"", "overtone: standard input: is empty\n")


@pytest.mark.parametrize(
    ("data", "arguments", "words"),
    [
        (b"abc" * 100, [], "does not start as WAV"),
        (b"RIFF\0\0\0\0WAVE", [], "ends within its WAV header"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", [], "without a format"),
        (b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\x7f", [], "damaged"),
        (b"", ["--format", "f32le", "--input-rate", "48k", "--channels", "1"], "cutoff"),
        (b"", [*RAW, "--cutoff", "7k"], "cutoff 7000 Hz"),
        (np.full(9, np.nan, "<f4").tobytes(), ["--format", "f32le", *RAW[2:]], "NaN"),
    ],
)
def test_what_cannot_be_streamed_is_one_clear_line(stream, data, arguments, words):
    code, out, err = stream(data, *arguments)
    assert (code, out) == (1, b"")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "s16le"], "--input-rate and --channels"),
        (["--format", "wav", "--input-rate", "8k"], "leave them out"),
        ([*RAW, "--level", "1"], "'--level'"),
        ([*RAW, "--analysis", "46"], "'--analysis'"),
    ],
)
def test_options_that_fit_no_stream_are_wrong_usage(stream, arguments, words):
    code, out, err = stream(b"", *arguments)
    assert (code, out) == (2, b"")
    assert words in err


def test_the_command_holds_back_as_much_as_the_library():
    assert stream_command.LONGEST_ANALYSIS_S == ANALYSIS_S


@pytest.mark.parametrize("encoding", ["s16", "s24", "s32", "f32"])
def test_pcm_survives_decoding_and_encoding(encoding, rng):
    pcm = PcmFormat(encoding, 8000, 3)
    if encoding == "f32":
        data = rng.standard_normal(30).astype("<f4").tobytes()
    else:
        # 24 significant bits are what float32 holds.
        step = 256 if encoding == "s32" else 1
        most = 2 ** (8 * pcm.sample_bytes - 1)
        integers = rng.integers(-most // step, most // step, 30) * step
        wide = integers.astype("<i4").view(np.uint8).reshape(-1, 4)
        data = wide[:, : pcm.sample_bytes].tobytes()
    samples = pcm.decode(data)
    assert samples.shape == (3, 10)
    assert pcm.encode(samples) == data


def test_integers_are_limited_not_wrapped():
    pcm = PcmFormat("s16", 8000, 1)
    loud = pcm.encode(np.array([[2.0, -2.0]], np.float32))
    assert np.frombuffer(loud, "<i2").tolist() == [32767, -32768]


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW", "PCM_U8"])
def test_telephony_is_streamed_and_comes_back_in_16_bits(stream, enhancer, call, subtype):
    file = io.BytesIO()
    soundfile.write(file, call.T / 32768, 8000, format="WAV", subtype=subtype)
    samples, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
    code, out, err = stream(file.getvalue())
    assert (code, err) == (0, "")
    assert soundfile.info(io.BytesIO(out)).subtype == "PCM_16"
    found, rate = soundfile.read(io.BytesIO(out), dtype="float32")
    assert rate == 48000
    np.testing.assert_allclose(found, enhanced(enhancer, samples[None])[0], atol=0.6 / 32768)


def test_an_encoding_that_cannot_be_streamed_is_named():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(10), 8000, format="WAV", subtype="MS_ADPCM")
    file.seek(0)
    with pytest.raises(AudioFileError, match="0x2 with 4 bits"):
        read_wav_header(file, "call")


def start(*arguments):
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *arguments], stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_writes_what_is_left(call, enhancer):
    process = start(*RAW)
    process.stdin.write(call.T.tobytes())
    process.stdin.flush()
    # When it has written all that is due, it waits for more.
    latency = StreamEnhancer(8000, enhancer=enhancer).latency_samples
    first = process.stdout.read(2 * (6 * call.shape[1] - latency))
    process.send_signal(signal.SIGINT)
    out = first + process.stdout.read()
    assert process.wait(60) == 130
    assert process.stderr.read() == b""
    assert len(out) / 2 == 6 * call.shape[1]
    process.stdin.close()


def test_a_consumer_that_goes_away_ends_it_quietly(call):
    process = start(*RAW)
    process.stdout.close()
    try:
        for _ in range(1000):
            process.stdin.write(call.T.tobytes())
        pytest.fail("it reads on for nobody")
    except BrokenPipeError:
        pass
    assert process.wait(60) == 1
    assert process.stderr.read() == b""


def test_old_names_of_options_are_taken(stream, call):
    data = call[:, :2000].T.tobytes()
    old = stream(data, *RAW, "--output-rate", "16k", "--listen", "1")
    assert old == stream(data, *RAW, "--rate", "16k", "--analysis", "1")
    code, _, err = stream(data, "--format", "s16le", "--rate", "8k", "--channels", "1")
    assert code == 2
    assert "--input-rate" in err
