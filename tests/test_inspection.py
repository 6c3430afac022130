"""A file's claims are set against what it holds: by known codecs, resamplers, levels."""

import io
import json

import numpy as np
import pytest
import soundfile
import soxr
from scipy import signal

from overtone.degrade.codecs import mp3_roundtrip
from overtone.errors import AudioFileError
from overtone.inspection import EXCERPT_S, EXCERPTS, inspect_file, inspect_files, rails

RATE = 48000


@pytest.fixture(scope="module")
def speech(examples_dir):
    return soundfile.read(examples_dir / "speech_en_48k.flac", dtype="float32")[0]


def saved(samples, rate=RATE, subtype="PCM_16", **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC", subtype=subtype, **options)
    file.seek(0)
    return file


def test_a_full_band_recording_is_what_it_claims(speech):
    found = inspect_file(saved(speech))
    assert (found.info.sample_rate, found.info.channels, found.bits) == (RATE, 1, "16")
    assert found.duration_s == found.analysed_s == len(speech) / RATE
    assert (found.cutoff.verdict, found.cause, found.codec_edge_hz) == ("full band", "", None)
    assert found.peak_dbfs == pytest.approx(20 * np.log10(np.abs(speech).max()), abs=0.01)
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


def test_an_mp3_in_a_flac_file_is_false_lossless(speech):
    found = inspect_file(saved(mp3_roundtrip(speech, RATE, 64)))
    assert found.cause == "MP3 64k"
    assert found.codec_edge_hz == pytest.approx(16_300, rel=0.04)
    assert found.cutoff.cutoff_hz == pytest.approx(16_300, rel=0.07)


def test_a_file_that_says_it_is_coded_lies_about_nothing(speech, tmp_path):
    soundfile.write(tmp_path / "a.mp3", speech, RATE, format="MP3", compression_level=0.7)
    assert inspect_file(tmp_path / "a.mp3").cause == "its own codec"


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
@pytest.mark.parametrize("tool", ["soxr", "scipy"])
def test_what_was_upsampled_names_its_old_rate(speech, rate, tool):
    low = soxr.resample(speech, RATE, rate)
    up = signal.resample_poly(low, RATE // rate, 1) if tool == "scipy" else None
    found = inspect_file(saved(soxr.resample(low, rate, RATE) if up is None else up))
    assert found.cause == f"upsampled from {rate // 1000} kHz"
    assert found.codec_edge_hz is None


def test_a_gentle_low_pass_is_one(speech):
    low = signal.sosfilt(signal.butter(10, 5000, fs=RATE, output="sos"), speech)
    assert inspect_file(saved(low)).cause == "low-pass"


def test_a_low_rate_is_no_fault(examples_dir):
    found = inspect_file(examples_dir / "speech_en_8k.flac")
    assert found.cutoff.cutoff_hz == pytest.approx(3800, rel=0.05)
    assert found.cause == ""


def test_clipped_samples_are_counted_wherever_the_peak_is(speech):
    loud = np.clip(8 * speech, -0.5, 0.5)
    flat = np.abs(loud) == 0.5
    runs = np.split(flat, np.flatnonzero(np.diff(flat)) + 1)
    wanted = sum(run.size for run in runs if run[0] and run.size >= 3)
    assert wanted > 100
    assert inspect_file(saved(loud)).clipped_samples == wanted
    assert inspect_file(saved(speech)).clipped_samples == 0
    assert inspect_file(saved(loud / 4, subtype="PCM_24")).clipped_samples == wanted


def test_rails_are_of_each_channel_and_side():
    block = np.array([[0.5, 0.5, 0.5, 0, -0.2], [0.3, 0.3, -0.9, -0.9, -0.9]], np.float32)
    top, count = rails(block)
    np.testing.assert_allclose(top, [0.5, 0.3, 0.2, 0.9])
    assert count.tolist() == [3, 0, 0, 3]


def test_a_very_soft_recording_has_its_band(speech):
    low = soxr.resample(soxr.resample(speech, RATE, 8000), 8000, RATE)
    found = inspect_file(saved(10 ** (-75 / 20) / np.abs(low).max() * low, subtype="PCM_24"))
    assert found.cutoff.cutoff_hz == pytest.approx(3800, rel=0.05)


def test_silence_is_silent():
    found = inspect_file(saved(np.zeros(RATE)))
    assert (found.level_dbfs, found.peak_dbfs, found.clipped_samples) == (None, None, 0)
    assert (found.cutoff.verdict, found.cause) == ("unsure", "")


class CountingFile(io.BytesIO):
    """A file that counts the bytes read from it."""

    taken = 0

    def read(self, size=-1):
        data = super().read(size)
        self.taken += len(data)
        return data


@pytest.mark.parametrize("file_format", ["WAV", "FLAC"])
def test_a_long_file_is_sampled_from_end_to_end(speech, file_format):
    minutes = np.tile(speech, 1 + 300 * RATE // len(speech))[: 300 * RATE]
    whole = io.BytesIO()
    soundfile.write(whole, minutes, RATE, format=file_format)
    file = CountingFile(whole.getvalue())
    found = inspect_file(file)
    assert (found.duration_s, found.analysed_s) == (300, EXCERPTS * EXCERPT_S)
    assert found.cutoff.verdict == "full band"
    assert file.taken < 0.2 * len(whole.getvalue())


def test_many_files_are_inspected_and_bad_ones_named(speech, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.flac").write_bytes(saved(speech[: RATE // 2]).getvalue())
    (tmp_path / "1.flac").write_bytes(b"This is not audio.")
    told, seen = [], []
    results = inspect_files(
        [tmp_path, tmp_path / "gone.wav"],
        jobs=2,
        on_result=told.append,
        progress=lambda done, files: seen.append((done, files)),
    )
    assert [result.path.name for result in results] == ["gone.wav", "0.flac", "1.flac", "2.flac"]
    assert "no such file" in results[0].error
    assert "1.flac: is not audio" in results[2].error
    assert results[1].inspection.cutoff == results[3].inspection.cutoff
    assert sorted(told, key=str) == sorted(results, key=str)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_damaged_file_is_an_error(speech):
    with pytest.raises(AudioFileError, match="damaged or cut off"):
        inspect_file(io.BytesIO(saved(speech).getvalue()[:-20_000]))


def test_a_bandwidth_that_changes_is_told_by_stretch(speech, tmp_path):
    phone = soxr.resample(soxr.resample(speech, RATE, 8000), 8000, RATE)[: len(speech)]
    minute = 60 * RATE
    both = np.concatenate([np.resize(phone, minute), np.resize(speech, minute)])
    for seconds in (12, 120):
        middle, half = len(both) // 2, seconds * RATE // 2
        found = inspect_file(saved(both[middle - half : middle + half]))
        first, second = found.stretches
        assert first.cutoff_hz == pytest.approx(3800, rel=0.1)
        assert second.cutoff.verdict == "full band"
        # Of a long file, as well as the pieces that are read tell.
        apart_s = 1 if seconds == 12 else seconds / (EXCERPTS - 1)
        assert second.start_s == pytest.approx(seconds / 2, abs=apart_s)
        assert second.end_s == pytest.approx(seconds, abs=0.3)
