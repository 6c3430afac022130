"""Round trips through lossy codecs: length, alignment, bit rate, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from overtone.degrade import codecs
from overtone.degrade.codecs import (
    mp3_roundtrip,
    opus_roundtrip,
    telephone_roundtrip,
    vorbis_roundtrip,
)
from overtone.errors import InvalidInputError


@pytest.fixture(scope="module")
def piano(examples_dir: Path) -> np.ndarray:
    """Stereo piano at 44.1 kHz, ``[2, samples]``."""
    samples, _ = soundfile.read(examples_dir / "piano_44k.flac", dtype="float32")
    return samples.T


def at_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    return soxr.resample(samples.T, 44100, rate).T


def lag_samples(x: np.ndarray, y: np.ndarray) -> int:
    """How much later than ``x`` ``y`` is, by the peak of the circular cross-correlation."""
    correlation = np.fft.irfft(np.fft.rfft(y) * np.conj(np.fft.rfft(x)), len(x))
    peak = int(np.argmax(correlation))
    return peak if peak < len(x) // 2 else peak - len(x)


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
@pytest.mark.parametrize("bitrate_kbps", [32, 48, 64])
def test_mp3_keeps_length_and_place(piano: np.ndarray, rate: int, bitrate_kbps: int) -> None:
    x = at_rate(piano[0], rate)[:-7]
    y = mp3_roundtrip(x, rate, bitrate_kbps)
    assert y.shape == x.shape
    assert abs(lag_samples(x, y)) <= 1
    assert np.corrcoef(x, y)[0, 1] > 0.99


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
@pytest.mark.parametrize("bitrate_kbps", [16, 32, 64])
def test_opus_keeps_length_and_place(piano: np.ndarray, rate: int, bitrate_kbps: int) -> None:
    x = at_rate(piano[0], rate)[:-7]
    y = opus_roundtrip(x, rate, bitrate_kbps)
    assert y.shape == x.shape
    assert abs(lag_samples(x, y)) <= 1 + rate // 16000
    assert np.corrcoef(x, y)[0, 1] > 0.97


def test_vorbis_keeps_length_and_place_and_gains_with_quality(piano: np.ndarray) -> None:
    errors = []
    for quality in (0, 5, 10):
        y = vorbis_roundtrip(piano, 44100, quality)
        assert y.shape == piano.shape
        assert lag_samples(piano[0], y[0]) == 0
        errors.append(np.mean((y - piano) ** 2))
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("codec", [mp3_roundtrip, opus_roundtrip])
def test_stereo_stays_stereo_in_order(piano: np.ndarray, codec) -> None:
    x = np.stack([piano[0], 0.1 * piano[1]])
    y = codec(x, 44100, 96)
    assert y.shape == x.shape
    for channel in range(2):
        assert np.corrcoef(x[channel], y[channel])[0, 1] > 0.95
    assert np.std(y[0]) > 5 * np.std(y[1])


@pytest.mark.parametrize(("rate", "bitrate_kbps"), [(48000, 32), (44100, 64), (16000, 24)])
def test_mp3_bit_rate_is_the_nominal_one(
    piano: np.ndarray, rate: int, bitrate_kbps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded_bytes = coded_sizes(monkeypatch)
    x = np.tile(at_rate(piano, rate), 3)
    mp3_roundtrip(x, rate, bitrate_kbps)
    seconds = x.shape[1] / rate
    assert coded_bytes[0] * 8e-3 / seconds == pytest.approx(bitrate_kbps, rel=0.03)


@pytest.mark.parametrize("bitrate_kbps", [16, 32, 96])
def test_opus_bit_rate_counts_all_channels(
    piano: np.ndarray, bitrate_kbps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded_bytes = coded_sizes(monkeypatch)
    for channels in (1, 2):
        x = np.tile(at_rate(piano, 48000)[:channels], 3)
        opus_roundtrip(x, 48000, bitrate_kbps)
        seconds = x.shape[1] / 48000
        # The Ogg container adds about 1 kbit/s.
        assert coded_bytes[-1] * 8e-3 / seconds == pytest.approx(bitrate_kbps + 1, rel=0.15)


def coded_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Watch the encoder: the list fills with the size of each coded stream."""
    sizes: list[int] = []
    encode = codecs._encode

    def watched(*arguments) -> bytes:
        coded = encode(*arguments)
        sizes.append(len(coded))
        return coded

    monkeypatch.setattr(codecs, "_encode", watched)
    return sizes


def test_a_low_mp3_rate_removes_the_top(rng: np.random.Generator) -> None:
    noise = 0.1 * rng.standard_normal(48000 * 2).astype(np.float32)
    kept = np.abs(np.fft.rfft(mp3_roundtrip(noise, 48000, 32))) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / 48000)
    assert kept[hz > 16000].mean() < 1e-4 * kept[hz < 4000].mean()


def test_a_long_vorbis_write_survives(rng: np.random.Generator) -> None:
    minutes = 0.01 * rng.standard_normal(44100 * 90).astype(np.float32)
    assert vorbis_roundtrip(minutes, 44100, 0).shape == minutes.shape


def test_nothing_in_nothing_out() -> None:
    assert mp3_roundtrip(np.zeros(0), 48000, 64).shape == (0,)
    assert opus_roundtrip(np.zeros((2, 0)), 44100, 64).shape == (2, 0)


def test_refusals_name_the_value() -> None:
    second = np.zeros(48000)
    with pytest.raises(InvalidInputError, match="96000"):
        mp3_roundtrip(second, 96000, 64)
    with pytest.raises(InvalidInputError, match="not 7"):
        mp3_roundtrip(second, 48000, 7)
    with pytest.raises(InvalidInputError, match="600"):
        opus_roundtrip(second, 48000, 600)
    with pytest.raises(InvalidInputError, match="11"):
        vorbis_roundtrip(second, 48000, 11)
    with pytest.raises(InvalidInputError, match=r"\(3, 100\)"):
        mp3_roundtrip(np.zeros((3, 100)), 48000, 64)


@pytest.mark.parametrize(("codec", "least_snr_db"), [("GSM", 5), ("mu-law", 30), ("A-law", 30)])
@pytest.mark.parametrize("samples", [1, 8000, 12_345])
def test_telephones_keep_length_and_place(
    piano: np.ndarray, codec: str, least_snr_db: float, samples: int
) -> None:
    x = at_rate(piano[0], 8000)[:samples]
    y = telephone_roundtrip(x, codec)
    assert y.shape == x.shape
    if samples > 1:
        assert 10 * np.log10(np.sum(x**2) / np.sum((y - x) ** 2)) > least_snr_db


def test_telephones_refuse_what_they_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match=r"'AMR'; known: GSM, mu-law, A-law"):
        telephone_roundtrip(np.zeros(160), "AMR")
    with pytest.raises(InvalidInputError, match=r"not \(2, 160\)"):
        telephone_roundtrip(np.zeros((2, 160)), "GSM")
    monkeypatch.setattr(codecs.soundfile, "available_subtypes", lambda _: {"PCM_16": ""})
    with pytest.raises(InvalidInputError, match="no GSM"):
        telephone_roundtrip(np.zeros(160), "GSM")
