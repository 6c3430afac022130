"""Files in and out: faithful round trips, one clear line for bad input, whole output or none."""

import io
import os
import struct
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from overtone.audio import formats, writer
from overtone.audio.formats import OUTPUT_FORMATS
from overtone.audio.reader import AudioReader, probe, read_audio
from overtone.audio.writer import AudioWriter
from overtone.errors import AudioFileError, InvalidInputError

Samples = NDArray[np.float32]
LOSSLESS_DEPTHS = [
    (extension, subtype)
    for extension, output in OUTPUT_FORMATS.items()
    for subtype in output.subtypes
    if subtype not in ("VORBIS", "OPUS", "MPEG_LAYER_III")
]
NEEDS_PERMISSIONS = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write everything"
)
LOSSY = [".mp3", ".ogg", ".opus"]


@pytest.fixture(scope="module")
def recording(examples_dir: Path) -> tuple[Samples, int]:
    """Two seconds of real speech in two unlike channels, an odd number of samples."""
    samples, rate = read_audio(examples_dir / "speech_en_48k.flac")
    mono = samples[:, : 2 * rate + 1]
    return np.concatenate([mono, -0.5 * mono]), rate


def write(path: Path, samples: Samples, rate: int, **options: object) -> AudioWriter:
    with AudioWriter(path, rate, len(samples), **options) as writer:
        writer.write(samples)
    return writer


def lag_samples(signal: Samples, reference: Samples) -> int:
    """How many samples ``signal`` comes late, from the peak of the cross-correlation."""
    size = 2 * max(len(signal), len(reference))
    spectrum = np.fft.rfft(signal, size) * np.conj(np.fft.rfft(reference, size))
    peak = int(np.argmax(np.fft.irfft(spectrum)))
    return peak if peak < size // 2 else peak - size


# --- Round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("extension", "subtype"), LOSSLESS_DEPTHS)
def test_lossless_round_trip_errs_by_half_a_step_at_most(
    recording: tuple[Samples, int], tmp_path: Path, extension: str, subtype: str
) -> None:
    samples, rate = recording
    path = tmp_path / f"out{extension}"
    write(path, samples, rate, subtype=subtype)
    back, back_rate = read_audio(path)
    assert back_rate == rate
    assert back.shape == samples.shape
    assert back.dtype == np.float32
    bits = formats.INTEGER_BITS.get(subtype)
    half_step = 0.5 / 2 ** (bits - 1) if bits else 0.0
    # 32 bit integers hold more than float32 does: libsndfile cuts there instead of rounding.
    assert np.abs(back - samples).max() <= (2 * half_step if bits == 32 else half_step)


@pytest.mark.parametrize(("extension", "subtype"), LOSSLESS_DEPTHS)
def test_a_second_round_trip_changes_nothing(
    recording: tuple[Samples, int], tmp_path: Path, extension: str, subtype: str
) -> None:
    first, second = tmp_path / f"1{extension}", tmp_path / f"2{extension}"
    write(first, recording[0], recording[1], subtype=subtype)
    once, rate = read_audio(first)
    write(second, once, rate, like=probe(first))
    assert np.array_equal(read_audio(second)[0], once)
    assert probe(second).subtype == subtype


@pytest.mark.parametrize("name", ["piano_44k.flac", "speech_en_8k.flac", "speech_nl_male_24k.flac"])
def test_a_real_recording_comes_back_bit_for_bit(
    examples_dir: Path, tmp_path: Path, name: str
) -> None:
    source = probe(examples_dir / name)
    samples, rate = read_audio(examples_dir / name)
    write(tmp_path / "copy.wav", samples, rate, like=source)
    copy = probe(tmp_path / "copy.wav")
    assert (copy.subtype, copy.frames, copy.sample_rate) == (
        source.subtype,
        source.frames,
        source.sample_rate,
    )
    original, _ = soundfile.read(examples_dir / name, dtype="int16", always_2d=True)
    written, _ = soundfile.read(tmp_path / "copy.wav", dtype="int16", always_2d=True)
    assert np.array_equal(written, original)


@pytest.mark.parametrize("extension", LOSSY)
def test_lossy_round_trip_keeps_length_alignment_and_most_of_the_sound(
    recording: tuple[Samples, int], tmp_path: Path, extension: str
) -> None:
    samples, rate = recording
    write(tmp_path / f"out{extension}", samples, rate)
    back, back_rate = read_audio(tmp_path / f"out{extension}")
    assert back_rate == rate
    assert back.shape == samples.shape
    for channel in range(2):
        assert lag_samples(back[channel], samples[channel]) == 0
        error = np.sum((back[channel] - samples[channel]) ** 2)
        assert 10 * np.log10(np.sum(samples[channel] ** 2) / error) > 15


@pytest.mark.parametrize("extension", [".mp3", ".ogg"])
def test_lossy_files_keep_the_top_of_the_band(
    make_noise: Callable[..., Samples], tmp_path: Path, extension: str
) -> None:
    noise = make_noise(48000, duration_s=2)
    write(tmp_path / f"out{extension}", noise, 48000)
    power = np.abs(np.fft.rfft(read_audio(tmp_path / f"out{extension}")[0][0])) ** 2
    top, middle = power[2 * 20000 : 2 * 21000].mean(), power[2 * 5000 : 2 * 6000].mean()
    assert 10 * np.log10(top / middle) > -6


@pytest.mark.parametrize("extension", OUTPUT_FORMATS)
@pytest.mark.parametrize("frames", [1, 2, 1000])
def test_very_short_files_keep_their_length(tmp_path: Path, extension: str, frames: int) -> None:
    write(tmp_path / f"out{extension}", np.full((1, frames), 0.25, np.float32), 48000)
    assert read_audio(tmp_path / f"out{extension}")[0].shape == (1, frames)


@pytest.mark.parametrize("extension", [".wav", ".aiff", ".w64", ".rf64", ".caf", ".au", ".ogg"])
def test_a_file_of_no_samples_can_be_written_but_not_read(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"out{extension}"
    write(path, np.zeros((2, 0), np.float32), 48000)
    assert probe(path).frames == 0
    assert probe(path).duration_s == 0
    with AudioReader(path) as reader, pytest.raises(AudioFileError, match="holds no samples"):
        list(reader.blocks())


@pytest.mark.parametrize("extension", [".flac", ".mp3", ".opus"])
def test_a_format_that_cannot_hold_no_samples_says_so(tmp_path: Path, extension: str) -> None:
    with pytest.raises(AudioFileError, match=r"0 samples; write \.wav"):
        write(tmp_path / f"out{extension}", np.zeros((1, 0), np.float32), 48000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", [1000, 7919, 44100, 192000, 384000])
@pytest.mark.parametrize("extension", [".wav", ".flac", ".aiff", ".w64", ".caf", ".au"])
def test_any_rate_survives(tmp_path: Path, extension: str, rate: int) -> None:
    path = tmp_path / f"out{extension}"
    write(path, np.zeros((1, 100), np.float32), rate)
    assert probe(path).sample_rate == rate
    assert probe(path).duration_s == pytest.approx(100 / rate)


@pytest.mark.parametrize("extension", [".wav", ".aiff", ".w64", ".rf64", ".caf", ".au", ".ogg"])
def test_thirty_two_channels_stay_apart(tmp_path: Path, extension: str) -> None:
    levels = np.linspace(-0.8, 0.8, 32, dtype=np.float32)[:, None]
    write(tmp_path / f"out{extension}", np.repeat(levels, 4096, axis=1), 48000)
    back = read_audio(tmp_path / f"out{extension}")[0]
    assert np.abs(back.mean(axis=1) - levels[:, 0]).max() < 0.02


@pytest.mark.parametrize("name", ["-", "-rf.wav", "two words.wav", "naïve 音声.wav", "a.b.c.wav"])
def test_any_file_name_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("made.wav"), np.full((1, 10), 0.5, np.float32), 8000)
    Path("made.wav").rename(name)
    assert read_audio(name)[0].shape == (1, 10)
    if name.endswith(".wav"):
        write(Path(name), np.full((1, 20), 0.5, np.float32), 8000, overwrite=True)
        assert probe(name).frames == 20


# --- Reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [".wav", ".flac", *LOSSY])
def test_block_size_does_not_change_the_samples(
    recording: tuple[Samples, int], tmp_path: Path, extension: str
) -> None:
    path = tmp_path / f"out{extension}"
    write(path, recording[0], recording[1])
    whole = read_audio(path)[0]
    with AudioReader(path) as reader:
        for block_frames in (997, 48000, 10**6):
            blocks = list(reader.blocks(block_frames))
            assert all(block.shape[1] == block_frames for block in blocks[:-1])
            assert np.abs(np.concatenate(blocks, axis=1) - whole).max() < 1e-6


def test_reading_and_writing_take_memory_for_a_block_not_for_the_file(tmp_path: Path) -> None:
    second = np.zeros((2, 48000), np.float32)
    path = tmp_path / "long.wav"
    tracemalloc.start()
    try:
        with AudioWriter(path, 48000, 2) as writer:
            for _ in range(60):
                writer.write(second)
        with AudioReader(path) as reader:
            assert sum(block.shape[1] for block in reader.blocks()) == 60 * 48000
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 6 * second.nbytes


def test_probe_reports_what_the_header_says(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((441, 3)), 44100, "PCM_24")
    info = probe(tmp_path / "a.wav")
    assert (info.sample_rate, info.channels, info.frames) == (44100, 3, 441)
    assert info.subtype == "PCM_24"
    assert info.duration_s == 0.01
    assert info.path == tmp_path / "a.wav"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match=r"gone\.wav: no such file"):
        probe(tmp_path / "gone.wav")
    with pytest.raises(AudioFileError, match="cannot be opened"):
        probe(tmp_path / ("x" * 300 + ".wav"))


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioFileError, match=r"folder\.wav: is a folder"):
        probe(tmp_path / "folder.wav")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioFileError, match=r"empty\.wav: is empty"):
        probe(tmp_path / "empty.wav")


def test_a_device_is_not_a_file() -> None:
    with pytest.raises(AudioFileError, match="not a regular file"):
        probe("/dev/null")


@pytest.mark.parametrize("name", ["notes.wav", "notes.flac", "notes.mp3", "notes.au", "notes.raw"])
def test_text_under_an_audio_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("This is not a recording.\n" * 1000)
    with pytest.raises(AudioFileError, match=f"{name}: is not audio"):
        probe(tmp_path / name)


@NEEDS_PERMISSIONS
def test_a_file_without_read_permission(tmp_path: Path) -> None:
    write(tmp_path / "secret.wav", np.zeros((1, 10), np.float32), 8000)
    (tmp_path / "secret.wav").chmod(0)
    with pytest.raises(AudioFileError, match=r"secret\.wav.*Permission denied"):
        probe(tmp_path / "secret.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_named_with_its_time(tmp_path: Path, value: float) -> None:
    samples = np.zeros((30000, 2), np.float32)
    samples[20000, 1] = value
    soundfile.write(tmp_path / "nan.wav", samples, 8000, "FLOAT")
    with (
        AudioReader(tmp_path / "nan.wav") as reader,
        pytest.raises(AudioFileError, match=r"nan\.wav: .*NaN or Inf.* at 2\.5000 s"),
    ):
        list(reader.blocks(7000))


@pytest.mark.parametrize("extension", [".wav", ".flac", ".aiff", ".w64", ".rf64", ".au"])
def test_a_cut_off_file_is_named_with_the_time_it_ends(
    recording: tuple[Samples, int], tmp_path: Path, extension: str
) -> None:
    path = tmp_path / f"cut{extension}"
    write(path, recording[0], recording[1])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(AudioFileError, match=rf"cut{extension}: .*cut off at 1\.\d+ s"):
        read_audio(path)


@pytest.mark.parametrize("subtype", ["PCM_24", "ALAC_16"])
def test_a_cut_off_caf_file_is_refused(
    recording: tuple[Samples, int], tmp_path: Path, subtype: str
) -> None:
    path = tmp_path / "cut.caf"
    write(path, recording[0], recording[1], subtype=subtype)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(AudioFileError, match=r"cut\.caf: .*damaged"):
        read_audio(path)


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shrinking.wav"
    write(path, np.zeros((1, 80000), np.float32), 8000, subtype="PCM_16")
    with AudioReader(path) as reader:
        blocks = reader.blocks(8000)
        next(blocks)
        os.truncate(path, 100000)
        with pytest.raises(AudioFileError, match=r"shrinking\.wav: .*cut off at 6\.\d+ s"):
            list(blocks)


@pytest.mark.parametrize("extension", LOSSY)
def test_a_cut_off_lossy_file_is_refused(
    recording: tuple[Samples, int], tmp_path: Path, extension: str
) -> None:
    path = tmp_path / f"cut{extension}"
    write(path, recording[0], recording[1])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(AudioFileError, match=rf"cut{extension}: .*cut off at \d\.\d+ s"):
        read_audio(path)


def test_an_ogg_stream_that_ends_with_a_page_is_whole(
    recording: tuple[Samples, int], tmp_path: Path
) -> None:
    """Nothing in Ogg says how long a stream is to be."""
    path = tmp_path / "stream.ogg"
    write(path, recording[0], recording[1])
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"OggS")])
    assert 0 < read_audio(path)[0].shape[1] < recording[0].shape[1]


@pytest.mark.parametrize("placeholder", [0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_a_wav_file_streamed_through_a_pipe_is_not_taken_for_cut_off(
    tmp_path: Path, placeholder: int
) -> None:
    path = tmp_path / "streamed.wav"
    write(path, np.full((1, 1000), 0.5, np.float32), 8000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    size_at = content.index(b"data") + 4
    content[size_at : size_at + 4] = struct.pack("<I", placeholder)
    path.write_bytes(content)
    assert read_audio(path)[0].shape == (1, 1000)


def test_a_block_size_of_zero_is_refused(examples_dir: Path) -> None:
    with (
        AudioReader(examples_dir / "speech_en_8k.flac") as reader,
        pytest.raises(InvalidInputError, match="block_frames"),
    ):
        next(reader.blocks(0))


# --- Clipping ------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=50),
    subtype=st.sampled_from(["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"]),
)
def test_clipping_policy(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], subtype: str
) -> None:
    path = tmp_path_factory.mktemp("clip") / "out.wav"
    samples = np.array([values], np.float32)
    writer = write(path, samples, 8000, subtype=subtype)
    back = read_audio(path)[0].astype(np.float64)
    assert writer.peak == np.abs(samples).max()
    if subtype == "FLOAT":
        assert np.array_equal(back, samples)
        assert writer.clipped_samples == 0
    else:
        step = 2.0 ** (1 - formats.INTEGER_BITS[subtype])
        limited = np.clip(samples.astype(np.float64), -1, 1 - step)
        assert np.abs(back - limited).max() <= step
        assert writer.clipped_samples == sum(abs(value) > 1 for value in values)


@pytest.mark.parametrize("extension", LOSSY)
def test_lossy_files_are_limited_before_encoding(
    make_tone: Callable[..., Samples], tmp_path: Path, extension: str
) -> None:
    tone = make_tone(440, 48000, amplitude=3.0)
    loud = write(tmp_path / f"loud{extension}", tone, 48000)
    write(tmp_path / f"limited{extension}", np.clip(tone, -1, 1), 48000)
    assert loud.clipped_samples == np.count_nonzero(np.abs(tone) > 1)
    assert loud.peak == pytest.approx(3.0, rel=1e-3)
    back = [read_audio(tmp_path / f"{name}{extension}")[0] for name in ("loud", "limited")]
    assert np.array_equal(back[0], back[1])


# --- Writing -------------------------------------------------------------------------------------


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "mine.wav"
    path.write_bytes(b"precious")
    with pytest.raises(AudioFileError, match=r"mine\.wav: already exists; use overwrite=True"):
        AudioWriter(path, 8000, 1)
    assert path.read_bytes() == b"precious"
    write(path, np.zeros((1, 10), np.float32), 8000, overwrite=True)
    assert probe(path).frames == 10
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "mine.wav"

    def write_meanwhile() -> None:
        with AudioWriter(path, 8000, 1) as writer:
            writer.write(np.zeros((1, 10), np.float32))
            path.write_bytes(b"precious")

    with pytest.raises(AudioFileError, match="already exists"):
        write_meanwhile()
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_can_be_replaced_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "same.wav"
    write(path, np.full((1, 50000), 0.5, np.float32), 8000)
    with AudioReader(path) as reader, AudioWriter(path, 8000, 1, overwrite=True) as writer:
        for block in reader.blocks(1000):
            writer.write(block / 2)
    assert np.array_equal(read_audio(path)[0], np.full((1, 50000), 0.25, np.float32))


def test_writing_through_a_link_replaces_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "target.wav").write_bytes(b"old")
    (tmp_path / "link.wav").symlink_to("target.wav")
    write(tmp_path / "link.wav", np.zeros((1, 10), np.float32), 8000, overwrite=True)
    assert (tmp_path / "link.wav").is_symlink()
    assert probe(tmp_path / "target.wav").frames == 10


@pytest.mark.parametrize("old", [b"precious", None])
def test_an_exception_leaves_no_trace(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "out.wav"
    if old is not None:
        path.write_bytes(old)

    def write_and_stop() -> None:
        with AudioWriter(path, 8000, 1, overwrite=True) as writer:
            writer.write(np.zeros((1, 10), np.float32))
            assert (path.read_bytes() if path.exists() else None) == old
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert [item.read_bytes() for item in tmp_path.iterdir()] == ([old] if old else [])


def test_a_destination_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioFileError, match="is a folder"):
        AudioWriter(tmp_path / "folder.wav", 8000, 1, overwrite=True)
    with pytest.raises(AudioFileError, match=r"folder .*nowhere does not exist"):
        AudioWriter(tmp_path / "nowhere" / "a.wav", 8000, 1)
    with pytest.raises(AudioFileError, match=r"cannot write files ending in \.doc"):
        AudioWriter(tmp_path / "a.doc", 8000, 1)
    with pytest.raises(AudioFileError, match="cannot be written"):
        AudioWriter(tmp_path / ("x" * 300 + ".wav"), 8000, 1)


@NEEDS_PERMISSIONS
def test_a_folder_without_write_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with (
        pytest.raises(AudioFileError, match=r"out\.wav: .*Permission denied"),
        AudioWriter(tmp_path / "out.wav", 8000, 1),
    ):
        pass


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """In every format, at limits met by the header, by a block, and only when closing."""
    pytest.importorskip("resource", reason="needs a limit on the size of files")
    program = """
        import resource, sys
        from pathlib import Path
        import numpy as np
        from overtone.audio.writer import AudioWriter
        from overtone.errors import AudioFileError
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 96000))
        for name in sys.argv[1:]:
            for limit in (10, 5000, 20000):
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                try:
                    with AudioWriter(name, 48000, 2) as writer:
                        writer.write(noise)
                    print("written", name, limit)
                except AudioFileError as error:
                    print("refused", error)
    """
    names = [f"out{extension}" for extension in OUTPUT_FORMATS]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *names],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3 * len(names)
    assert all(line.startswith("refused out.") and "too large" in line for line in lines)
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", OUTPUT_FORMATS)
def test_one_failed_write_among_good_ones_is_enough(
    make_noise: Callable[..., Samples],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    extension: str,
) -> None:
    """A disk may be full for a moment only: encoders that go on regardless leave a gap."""
    calls = []

    def fail_once(self: io.BufferedRandom, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        return io.BufferedRandom.write(self, data)

    class Flaky(io.BufferedRandom):
        write = fail_once

    monkeypatch.setattr(Path, "open", lambda path, mode: Flaky(io.FileIO(path, mode.strip("b"))))
    with pytest.raises(AudioFileError, match=rf"out{extension}: .*No space left on device"):
        write(tmp_path / f"out{extension}", make_noise(48000), 48000)
    assert len(calls) >= 4
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_silently_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system may lose the end of a file without an error; the header check sees it."""
    close = writer.SndfileSink.close

    def close_and_lose_half(self: writer.SndfileSink) -> None:
        close(self)
        os.truncate(self.path, self.path.stat().st_size // 2)

    monkeypatch.setattr(writer.SndfileSink, "close", close_and_lose_half)
    with pytest.raises(AudioFileError, match=r"out\.wav: could not be written completely"):
        write(tmp_path / "out.wav", np.zeros((1, 10000), np.float32), 8000)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rename_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(AudioFileError, match=r"out\.wav: .*No space left on device"):
        write(tmp_path / "out.wav", np.zeros((1, 10), np.float32), 8000)
    assert list(tmp_path.iterdir()) == []


def test_a_wav_file_that_outgrows_32_bits_goes_on_as_rf64(
    recording: tuple[Samples, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, rate = recording
    monkeypatch.setattr("overtone.audio.writer._MAX_32BIT_BYTES", samples.size * 3 // 2)
    path = tmp_path / "long.wav"
    with AudioWriter(path, rate, 2, subtype="PCM_24") as writer:
        for block in np.array_split(samples, 7, axis=1):
            writer.write(block)
    assert path.read_bytes()[:4] == b"RF64"
    assert probe(path).frames == samples.shape[1]
    assert np.abs(read_audio(path)[0] - samples).max() <= 2.0**-24
    assert list(tmp_path.iterdir()) == [path]


def test_a_wav_file_below_32_bits_stays_a_plain_one(tmp_path: Path) -> None:
    write(tmp_path / "short.wav", np.zeros((1, 10), np.float32), 8000, subtype="PCM_16")
    header = (tmp_path / "short.wav").read_bytes()
    assert header[:4] == b"RIFF"
    assert header[20:22] == b"\x01\x00"  # WAVE_FORMAT_PCM, which every program reads


def test_an_aiff_file_that_outgrows_32_bits_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overtone.audio.writer._MAX_32BIT_BYTES", 1000)
    with pytest.raises(AudioFileError, match=r"AIFF files end at 4 GB; write \.wav"):
        write(tmp_path / "long.aiff", np.zeros((1, 1000), np.float32), 8000)
    assert list(tmp_path.iterdir()) == []


def test_a_minute_of_vorbis_in_one_call(tmp_path: Path) -> None:
    """libsndfile crashes on this when it gets the samples all at once."""
    minute = np.random.default_rng(0).uniform(-0.1, 0.1, (1, 60 * 16000)).astype(np.float32)
    write(tmp_path / "long.ogg", minute, 16000)
    assert probe(tmp_path / "long.ogg").frames == minute.shape[1]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (np.zeros(10, np.float32), r"\[2, samples\]"),
        (np.zeros((3, 10), np.float32), r"\[2, samples\]"),
        (np.zeros((2, 10), np.int16), "floats, not int16"),
        (np.full((2, 10), np.nan), "not finite"),
    ],
)
def test_a_block_that_cannot_be_written(
    tmp_path: Path, block: NDArray[np.generic], message: str
) -> None:
    with (
        pytest.raises(InvalidInputError, match=message),
        AudioWriter(tmp_path / "out.wav", 8000, 2) as writer,
    ):
        writer.write(block)
    assert list(tmp_path.iterdir()) == []


def test_writing_outside_the_with_block_is_refused(tmp_path: Path) -> None:
    writer = AudioWriter(tmp_path / "out.wav", 8000, 1)
    with pytest.raises(InvalidInputError, match="inside its 'with' block"):
        writer.write(np.zeros((1, 10), np.float32))
    assert list(tmp_path.iterdir()) == []


class Pipe(io.RawIOBase):
    """A file object that cannot seek."""

    def __init__(self, content=b""):
        self.content = io.BytesIO(content)
        self.written = b""

    def readable(self):
        return True

    def writable(self):
        return True

    def readinto(self, buffer):
        data = self.content.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data):
        self.written += bytes(data)
        return len(data)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg"])
@pytest.mark.parametrize("wrap", [io.BytesIO, Pipe])
def test_a_file_object_is_read_like_the_file(tmp_path, make_noise, name, wrap):
    with AudioWriter(tmp_path / name, 48000, 1) as writer:
        writer.write(make_noise(48000, 0.5))
    wanted, rate = read_audio(tmp_path / name)
    stream = wrap((tmp_path / name).read_bytes())
    found, found_rate = read_audio(stream)
    assert found_rate == rate
    np.testing.assert_array_equal(found, wanted)
    assert not stream.closed


@pytest.mark.parametrize("file_format", ["wav", "flac"])
@pytest.mark.parametrize("make", [io.BytesIO, Pipe])
def test_a_file_object_is_written_like_the_file(tmp_path, make_noise, file_format, make):
    noise, stream, path = make_noise(48000, 0.5), make(), tmp_path / f"a.{file_format}"
    for destination in (path, stream):
        with AudioWriter(destination, 48000, 1, file_format=file_format) as writer:
            writer.write(noise)
    assert (stream.written if make is Pipe else stream.getvalue()) == path.read_bytes()
    assert not stream.closed


def test_after_an_error_a_file_object_got_nothing(make_noise):
    stream = Pipe()

    def fail():
        with AudioWriter(stream, 48000, 1) as writer:
            writer.write(make_noise(48000, 0.1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert stream.written == b""


@pytest.mark.parametrize(("content", "words"), [(b"", "empty"), (b"no sound at all", "not audio")])
def test_a_file_object_without_sound_is_refused(content, words):
    with pytest.raises(AudioFileError, match=words):
        read_audio(io.BytesIO(content))


def test_what_is_neither_a_path_nor_a_binary_file_is_refused(tmp_path):
    (tmp_path / "text.wav").write_text("text")
    with (tmp_path / "text.wav").open() as text, pytest.raises(InvalidInputError, match="as text"):
        AudioReader(text)
    with pytest.raises(InvalidInputError, match="not int"):
        AudioReader(7)
    with pytest.raises(InvalidInputError, match="as text"):
        AudioWriter(io.StringIO(), 8000, 1)
