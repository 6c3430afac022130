"""A recording with nothing to do: copied bit for bit, or left where it is."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from overtone.cli import main
from overtone.errors import AudioFileError
from overtone.inference import Enhancer

RATE = 48000


@pytest.fixture(scope="module")
def enhancer():
    return Enhancer(device="cpu", threads=1)


@pytest.fixture
def noise():
    """Full band."""
    return (0.1 * np.random.default_rng(0).standard_normal(3 * RATE)).astype(np.float32)


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "ogg", "opus", "aiff", "caf"])
def test_a_full_band_file_is_copied_bit_for_bit(enhancer, noise, tmp_path, extension):
    source, out = tmp_path / f"a.{extension}", tmp_path / f"b.{extension}"
    subtype = {"opus": "OPUS", "wav": "PCM_24"}.get(extension)
    kind = {"opus": "OGG", "ogg": "OGG"}.get(extension)
    options = {"compression_level": 0.0} if extension in ("mp3", "ogg") else {}
    soundfile.write(source, noise, RATE, subtype, format=kind, **options)
    report = enhancer.enhance_file(source, out)
    assert (report.changed, report.action) == (False, "copied")
    assert report.duration_s == pytest.approx(3)
    assert out.read_bytes() == source.read_bytes()
    skipped = enhancer.enhance_file(source, tmp_path / f"c.{extension}", skip_unchanged=True)
    assert (skipped.action, skipped.destination) == ("skipped", "")
    assert not (tmp_path / f"c.{extension}").exists()


def test_whatever_is_asked_for_beyond_a_copy_is_written(enhancer, noise, tmp_path):
    source = tmp_path / "a.wav"
    soundfile.write(source, noise, RATE, "PCM_16")
    for number, (name, options) in enumerate(
        [
            ("b.flac", {}),
            ("b.wav", {"output_rate": 44100}),
            ("b.wav", {"subtype": "PCM_24"}),
            ("b.wav", {"tags": False}),
        ]
    ):
        out = tmp_path / f"{number}{name}"
        report = enhancer.enhance_file(source, out, skip_unchanged=True, **options)
        assert (report.changed, report.action) == (False, "written")
        assert out.exists()


def test_a_format_that_cannot_be_written_is_copied_under_its_own_name(enhancer, noise, tmp_path):
    source = tmp_path / "a.caf"
    soundfile.write(source, noise, RATE)
    report = enhancer.enhance_file(source, tmp_path / "b.flac", copy_to=tmp_path / "b.m4a")
    assert report.destination == str(tmp_path / "b.m4a")
    assert (tmp_path / "b.m4a").read_bytes() == source.read_bytes()
    assert not (tmp_path / "b.flac").exists()


def test_a_copy_replaces_nothing_unasked_and_keeps_the_mode(enhancer, noise, tmp_path):
    source, out = tmp_path / "a.wav", tmp_path / "b.wav"
    soundfile.write(source, noise, RATE)
    out.write_bytes(b"precious")
    out.chmod(0o640)
    with pytest.raises(AudioFileError, match="already exists"):
        enhancer.enhance_file(source, out)
    assert out.read_bytes() == b"precious"
    enhancer.enhance_file(source, out, overwrite=True)
    assert out.read_bytes() == source.read_bytes()
    assert out.stat().st_mode & 0o777 == 0o640


def test_a_damaged_file_is_not_copied(enhancer, noise, tmp_path):
    source = tmp_path / "a.flac"
    soundfile.write(source, noise, RATE)
    source.write_bytes(source.read_bytes()[:-5000])
    with pytest.raises(AudioFileError, match="cut off"):
        enhancer.enhance_file(source, tmp_path / "b.flac")
    assert not (tmp_path / "b.flac").exists()


def test_the_command_says_what_it_did(noise, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", noise, RATE)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["overtone", "enhance", "a.wav", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        assert exit_.value.code == 0
        return capsys.readouterr().out

    assert "copied, unchanged: full band already" in run()
    assert Path("a.enhanced.wav").read_bytes() == Path("a.wav").read_bytes()
    assert "a.wav: 48 -> 48 kHz" in run("--skip-unchanged", "-f")
    assert json.loads(run("--skip-unchanged", "-f", "--json"))["action"] == "skipped"
