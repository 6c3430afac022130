"""The listener models: rates, silence, length; the models themselves are other people's."""

import math
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import soundfile
import soxr

from overtone.errors import MissingExtraError
from overtone.metrics import dnsmos_mos, pesq_mos, require_perceptual, stoi, visqol_mos


@pytest.fixture(scope="module")
def speech(examples_dir):
    """Return two seconds of real speech at 16 kHz."""
    samples, rate = soundfile.read(examples_dir / "speech_en_48k.flac")
    return soxr.resample(samples, rate, 16000)[:32000]


@pytest.fixture
def noisy(speech, rng):
    return speech + 0.01 * rng.standard_normal(speech.size)


class TestVisqol:
    @pytest.fixture(autouse=True)
    def _needs_visqol(self):
        pytest.importorskip("visqol")

    def test_dull_speech_scores_lower_than_bright(self, speech):
        def limited(rate):
            low = soxr.resample(soxr.resample(speech, 16000, rate), rate, 16000)
            return visqol_mos(speech, low, 16000)

        same = visqol_mos(speech, speech, 16000)
        assert 4.9 < same <= 5
        assert same > limited(8000) + 0.3 > limited(4000) + 0.6

    @pytest.mark.parametrize(
        ("sample_rate", "mode", "used"),
        [
            (8000, "auto", ("speech", 16000)),
            (16000, "auto", ("speech", 16000)),
            (22050, "auto", ("audio", 48000)),
            (48000, "auto", ("audio", 48000)),
            (48000, "speech", ("speech", 16000)),
            (16000, "audio", ("audio", 48000)),
        ],
    )
    def test_each_mode_listens_at_its_own_rate(self, monkeypatch, rng, sample_rate, mode, used):
        from overtone.metrics import perceptual

        calls = []

        class Api:
            def __init__(self, chosen):
                self.mode = chosen

            def measure_from_arrays(self, reference, estimate, rate):
                calls.append((self.mode, rate, reference.size / rate, estimate.size / rate))
                return SimpleNamespace(moslqo=3.5)

        monkeypatch.setattr(perceptual, "_visqol", Api)
        noise = rng.standard_normal((2, sample_rate))
        assert visqol_mos(*noise, sample_rate, mode=mode) == 3.5
        assert calls == [(*used, 1.0, 1.0)]

    def test_audio_mode_hears_a_missing_top(self, speech):
        bright = soxr.resample(speech[:20000], 16000, 48000)
        dull = soxr.resample(soxr.resample(bright, 48000, 6000), 6000, 48000)
        assert 1 <= visqol_mos(bright, dull, 48000) < 4

    def test_too_little_sound_has_no_score(self, speech):
        assert math.isnan(visqol_mos(np.zeros(16000), speech[:16000], 16000))
        assert math.isnan(visqol_mos(speech[:1], speech[:1], 16000))
        assert math.isnan(visqol_mos(speech[8000:12000], speech[8000:12000], 16000))
        assert math.isnan(visqol_mos(speech[8000:12000], speech[8000:12000], 16000, mode="audio"))


class TestPesq:
    @pytest.fixture(autouse=True)
    def _needs_pesq(self):
        pytest.importorskip("pesq")

    def test_wideband_at_16_khz(self, speech, noisy):
        from pesq import pesq

        assert pesq_mos(speech, noisy, 16000) == pytest.approx(pesq(16000, speech, noisy, "wb"))

    def test_narrowband_below_16_khz(self, speech, noisy):
        from pesq import pesq

        low, low_noisy = (soxr.resample(s, 16000, 8000, "VHQ") for s in (speech, noisy))
        expected = pesq(8000, low, low_noisy, "nb")
        assert pesq_mos(low, low_noisy, 8000) == pytest.approx(expected)

    def test_long_speech_is_scored_in_equal_pieces(self, speech, noisy, rng):
        long_speech, long_noisy = np.tile(speech, 9), np.tile(noisy, 9)
        long_noisy[: 9 * 16000] += 0.02 * rng.standard_normal(9 * 16000)
        half = long_speech.size // 2
        each = [
            pesq_mos(long_speech[part], long_noisy[part], 16000)
            for part in (slice(half), slice(half, None))
        ]
        assert each[1] > each[0] + 0.1
        assert pesq_mos(long_speech, long_noisy, 16000) == pytest.approx(sum(each) / 2)

    def test_too_little_speech_has_no_score(self, speech):
        assert math.isnan(pesq_mos(np.zeros(16000), speech[:16000], 16000))
        assert math.isnan(pesq_mos(speech[:16000], np.zeros(16000), 16000))
        assert math.isnan(pesq_mos(speech[:1000], speech[:1000], 16000))
        assert math.isnan(pesq_mos(speech[:1], speech[:1], 48000))


class TestStoi:
    @pytest.fixture(autouse=True)
    def _needs_pystoi(self):
        pytest.importorskip("pystoi")

    def test_agrees_with_pystoi(self, speech, noisy):
        import pystoi

        expected = pystoi.stoi(speech, noisy, 16000)
        assert stoi(speech, noisy, 16000) == pytest.approx(expected)
        assert 0.5 < expected < stoi(speech, speech, 16000) == pytest.approx(1)

    def test_too_little_speech_has_no_score(self, speech):
        assert math.isnan(stoi(np.zeros(16000), speech[:16000], 16000))
        assert math.isnan(stoi(speech[8000:11000], speech[8000:11000], 16000))
        assert math.isnan(stoi(speech[:1], speech[:1], 16000))


class TestDnsmos:
    @pytest.fixture(autouse=True)
    def _needs_speechmos(self):
        pytest.importorskip("speechmos")

    def test_agrees_with_speechmos(self, speech, monkeypatch):
        for package in ("librosa", "requests"):  # for another score than this
            monkeypatch.setitem(sys.modules, package, MagicMock())
        dnsmos = pytest.importorskip("speechmos.dnsmos")
        mel = np.zeros((900, 120))
        monkeypatch.setattr(dnsmos.DNSMOS, "audio_melspec", lambda *_, **__: mel)
        long = np.tile(speech, 6)[: 11 * 16000].astype(np.float32)
        for samples in (speech.astype(np.float32), long):
            theirs = dnsmos.run(samples, 16000)
            for scale, name in (("overall", "ovrl"), ("signal", "sig"), ("background", "bak")):
                assert dnsmos_mos(samples, 16000, scale=scale) == pytest.approx(
                    theirs[f"{name}_mos"], abs=1e-4
                )

    def test_noise_costs(self, speech, rng):
        loud = speech + 0.1 * rng.standard_normal(speech.size)
        assert dnsmos_mos(speech, 16000) > dnsmos_mos(loud, 16000) + 0.5

    def test_silence_has_no_score(self):
        assert math.isnan(dnsmos_mos(np.zeros(16000), 16000))

    def test_a_missing_package_names_the_extra(self, monkeypatch):
        from overtone.metrics import perceptual

        perceptual._dnsmos.cache_clear()
        monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match=r"overtone\[metrics\]"):
            dnsmos_mos(np.ones(100), 16000)


@pytest.mark.parametrize(
    ("metric", "package"), [(visqol_mos, "visqol"), (pesq_mos, "pesq"), (stoi, "pystoi")]
)
def test_a_missing_package_names_the_extra(metric, package, monkeypatch):
    from overtone.metrics import perceptual

    perceptual._visqol.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"overtone\[metrics\]"):
        metric(np.ones(100), np.ones(100), 16000)


def test_missing_packages_are_noticed_before_any_work(monkeypatch):
    from overtone.metrics import perceptual

    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"overtone\[metrics\]"):
        require_perceptual()
