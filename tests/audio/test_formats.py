"""The tables of formats: what is refused, and how many bits are kept."""

from pathlib import Path

import pytest
import soundfile

from overtone.audio.formats import (
    INPUT_EXTENSIONS,
    OUTPUT_FORMATS,
    AudioInfo,
    check_limits,
    choose_subtype,
    output_format,
)
from overtone.errors import AudioFileError


def info(subtype: str) -> AudioInfo:
    return AudioInfo(Path("in.wav"), 48000, 1, 10, "WAV", subtype)


@pytest.mark.parametrize("extension", OUTPUT_FORMATS)
def test_libsndfile_can_write_every_subtype_in_the_table(extension: str) -> None:
    output = OUTPUT_FORMATS[extension]
    assert output.default_subtype in output.subtypes
    for subtype in output.subtypes:
        assert soundfile.check_format(output.container, subtype)


def test_whatever_is_written_is_found_again_in_a_folder() -> None:
    assert set(OUTPUT_FORMATS) <= INPUT_EXTENSIONS


def test_the_extension_decides_in_either_case() -> None:
    assert output_format(Path("A.FLAC")).container == "FLAC"


@pytest.mark.parametrize("name", ["a.m4a", "a.txt", "a", ".wav", "a."])
def test_an_extension_that_cannot_be_written_is_refused_with_those_that_can(name: str) -> None:
    with pytest.raises(AudioFileError, match=r"cannot write .*\.wav, \.flac"):
        output_format(Path(name))


@pytest.mark.parametrize(
    ("extension", "source", "kept"),
    [
        (".wav", "PCM_16", "PCM_16"),
        (".wav", "PCM_24", "PCM_24"),
        (".wav", "PCM_32", "PCM_32"),
        (".wav", "FLOAT", "FLOAT"),
        (".wav", "DOUBLE", "DOUBLE"),
        (".wav", "PCM_S8", "PCM_U8"),
        (".flac", "PCM_U8", "PCM_S8"),
        (".flac", "PCM_16", "PCM_16"),
        (".flac", "PCM_32", "PCM_24"),
        (".flac", "FLOAT", "PCM_24"),
        (".caf", "ALAC_16", "ALAC_16"),
        (".caf", "ALAC_32", "PCM_32"),
        (".wav", "ALAC_16", "PCM_16"),
        (".aiff", "ALAC_20", "PCM_24"),
        # Nothing to keep: lossy and companded sources, lossy targets.
        (".wav", "VORBIS", "PCM_24"),
        (".wav", "ULAW", "PCM_24"),
        (".flac", "AAC", "PCM_24"),
        (".ogg", "PCM_16", "VORBIS"),
        (".mp3", "FLOAT", "MPEG_LAYER_III"),
    ],
)
def test_the_source_depth_is_kept_where_the_format_can_hold_it(
    extension: str, source: str, kept: str
) -> None:
    path = Path(f"out{extension}")
    assert choose_subtype(path, OUTPUT_FORMATS[extension], None, info(source)) == kept


def test_an_explicit_subtype_wins_over_the_source() -> None:
    chosen = choose_subtype(Path("a.wav"), OUTPUT_FORMATS[".wav"], "pcm_16", info("FLOAT"))
    assert chosen == "PCM_16"


@pytest.mark.parametrize(
    ("extension", "subtype"), [(".flac", "FLOAT"), (".wav", "VORBIS"), (".mp3", "PCM_16")]
)
def test_a_subtype_the_format_lacks_is_refused_with_those_it_has(
    extension: str, subtype: str
) -> None:
    output = OUTPUT_FORMATS[extension]
    with pytest.raises(AudioFileError, match=f"{subtype}.*{output.subtypes[0]}"):
        choose_subtype(Path(f"a{extension}"), output, subtype, None)


@pytest.mark.parametrize(
    ("extension", "rate", "channels", "message"),
    [
        (".flac", 48000, 9, "1 to 8 channels, not 9"),
        (".mp3", 48000, 3, "1 to 2 channels, not 3"),
        (".wav", 48000, 0, "not 0"),
        (".opus", 44100, 1, "choose 8000, 12000, 16000, 24000, 48000 Hz"),
        (".mp3", 96000, 1, "96000 Hz"),
        (".flac", 655360, 1, "655350 Hz"),
        (".flac", 96001, 1, "multiple of 10 Hz"),
        # libsndfile would crash the process.
        (".ogg", 384000, 2, "192000 Hz"),
        (".wav", 0, 1, "not 0"),
    ],
)
def test_a_rate_or_channel_count_the_format_lacks_is_refused_with_a_cure(
    extension: str, rate: int, channels: int, message: str
) -> None:
    output = OUTPUT_FORMATS[extension]
    with pytest.raises(AudioFileError, match=message):
        check_limits(Path(f"a{extension}"), output, output.default_subtype, rate, channels)


def test_apple_lossless_holds_eight_channels() -> None:
    caf = OUTPUT_FORMATS[".caf"]
    check_limits(Path("a.caf"), caf, "PCM_16", 48000, 32)
    with pytest.raises(AudioFileError, match="1 to 8 channels"):
        check_limits(Path("a.caf"), caf, "ALAC_16", 48000, 9)
