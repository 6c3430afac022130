"""Only a part is enhanced: outside it every sample is the source's, in the source's own format."""

import math

import numpy as np
import pytest
import soundfile
import soxr

from overtone.dsp.resample import resample
from overtone.errors import InvalidInputError
from overtone.inference import Enhancer, enhance_files

RATE = 48000


@pytest.fixture(scope="module")
def enhancer():
    return Enhancer("speech", device="cpu", threads=1)


@pytest.fixture(scope="module")
def call(examples_dir):
    """A telephone call stored at 48 kHz, in double precision: all its bits differ."""
    wide, _ = soundfile.read(examples_dir / "speech_nl_48k.flac", frames=4 * RATE)
    return soxr.resample(soxr.resample(wide, RATE, 8000), 8000, RATE, quality="VHQ")


def stored(path):
    """The numbers that a file holds, whole."""
    integer = soundfile.info(path).subtype.startswith("PCM")
    return soundfile.read(path, dtype="int32" if integer else "float64")[0]


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        *(("wav", subtype) for subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
        ("flac", "PCM_16"),
        ("flac", "PCM_24"),
        ("aiff", "PCM_32"),
    ],
)
def test_the_rest_is_untouched_bit_for_bit(enhancer, call, tmp_path, name, subtype):
    source, out = tmp_path / f"call.{name}", tmp_path / f"out.{name}"
    soundfile.write(source, call, RATE, subtype)
    report = enhancer.enhance_file(source, out, select=[(2.5, 3.0), (0.75, 1.8)])
    assert report.selected == ((0.75, 1.8), (2.5, 3.0))
    assert soundfile.info(out).subtype == subtype
    before, after = stored(source), stored(out)
    assert len(before) == len(after)
    changed = np.flatnonzero(before != after) / RATE
    assert changed.min() >= 0.75
    assert changed.max() < 3.0
    assert not ((changed >= 1.8) & (changed < 2.5)).any()
    for start, end in report.selected:
        within = (start <= changed) & (changed < end)
        assert within.sum() > 0.8 * (end - start) * RATE


def test_the_handover_is_smooth(enhancer, call, tmp_path):
    """What is added begins and ends at nothing, and is all there in between."""
    source, out = tmp_path / "call.wav", tmp_path / "out.wav"
    soundfile.write(source, call, RATE, "FLOAT")
    enhancer.enhance_file(source, tmp_path / "all.wav", cutoff_hz=3800.0)
    enhancer.enhance_file(source, out, select=[(1, 2)], cutoff_hz=3800.0)
    added = stored(out) - stored(source)
    whole = stored(tmp_path / "all.wav") - stored(source)
    loudest = np.abs(whole).max()
    for edge in (added[RATE : RATE + 48], added[2 * RATE - 48 : 2 * RATE]):
        assert np.abs(edge).max() < 0.1 * loudest
    inner = slice(RATE + 1200, 2 * RATE - 1200)
    similar = np.std(added[inner]) / np.std(whole[inner])
    assert 0.7 < similar < 1.4  # they differ in what was there before


def test_each_part_is_analysed_alone(enhancer, call, tmp_path):
    """A telephone call after a full-band recording has a cutoff of its own."""
    noise = 0.05 * np.random.default_rng(1).standard_normal(4 * RATE)
    source = tmp_path / "mixed.wav"
    soundfile.write(source, np.concatenate([noise, call]), RATE, "PCM_16")
    report = enhancer.enhance_file(source, tmp_path / "out.wav", select=[(4, math.inf)])
    assert report.cutoff.cutoff_hz == pytest.approx(4000, rel=0.1)
    assert report.changed
    assert report.to_dict()["selected"] == [[4.0, None]]
    nothing = enhancer.enhance_file(source, tmp_path / "same.wav", select=[(0.5, 3)])
    assert (nothing.changed, nothing.action) == (False, "copied")


def test_at_another_rate_the_rest_is_resampled(enhancer, call, tmp_path):
    narrow = soxr.resample(call, RATE, 8000).astype(np.float32)
    source, out = tmp_path / "narrow.wav", tmp_path / "out.wav"
    soundfile.write(source, narrow, 8000, "FLOAT")
    enhancer.enhance_file(source, out, select=[(0, 1)])
    plain, after = resample(narrow[None], 8000, RATE)[0], stored(out)
    assert len(after) == len(plain)
    assert np.abs(after - plain)[RATE:].max() < 1e-6
    assert np.abs(after - plain)[:RATE].max() > 1e-3


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ([(2, 1)], "2 to 1 s"),
        ([(-1, 1)], "-1 to 1 s"),
        ([(1, 1.05)], "0.1 s or more"),
        ([(1, 3), (2, 4)], "overlap at 2 s"),
        ([(math.nan, 1)], "nan to 1 s"),
    ],
)
def test_what_cannot_be_selected_is_refused_before_any_work(select, said, tmp_path):
    with pytest.raises(InvalidInputError, match=said):
        enhance_files(tmp_path / "gone.wav", select=select)


def test_a_selection_behind_the_end_names_the_file(enhancer, call, tmp_path):
    soundfile.write(tmp_path / "call.wav", call, RATE)
    with pytest.raises(InvalidInputError, match=r"call\.wav: ends before the selection from 60 s"):
        enhancer.enhance_file(tmp_path / "call.wav", tmp_path / "out.wav", select=[(60, 70)])
    assert not (tmp_path / "out.wav").exists()
