"""Texture has known answers: clicks pulse and ripple, noise has grain, a smooth mean has none."""

import math

import numpy as np
import pytest
import soundfile

from overtone.errors import InvalidInputError
from overtone.metrics import envelope_db, grain_db, harmonics, pulses_db, texture, texture_scores

RATE = 48000
CUTOFF_HZ = 4000.0
RAYLEIGH_DB = 5.57  # of the log magnitude of Gaussian noise


@pytest.fixture
def noise(rng):
    return 0.1 * rng.standard_normal(2 * RATE)


def clicks(pitch_hz, rate=RATE, seconds=2):
    samples = np.zeros(seconds * rate)
    samples[:: round(rate / pitch_hz)] = 0.5
    return samples


class TestEnvelope:
    @pytest.mark.parametrize("gain_db", [-20, -3.01, 0, 6])
    def test_a_gain_costs_itself(self, noise, gain_db):
        louder = noise * 10 ** (gain_db / 20)
        assert envelope_db(noise, louder, RATE, CUTOFF_HZ) == pytest.approx(abs(gain_db), abs=0.01)

    def test_other_grain_in_the_same_envelope_costs_little(self, rng, noise):
        other = 0.1 * rng.standard_normal(noise.size)
        assert 1 < envelope_db(noise, other, RATE, CUTOFF_HZ) < 4

    def test_what_lies_below_the_cutoff_does_not_count(self, noise):
        tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(noise.size) / RATE)
        assert envelope_db(noise, noise + tone, RATE, CUTOFF_HZ) < 0.1

    def test_pauses_do_not_count(self, noise):
        paused = np.concatenate([noise, 1e-5 * noise])
        other = np.concatenate([noise, 1e-3 * noise])
        assert envelope_db(paused, other, RATE, CUTOFF_HZ) < 0.5


class TestGrain:
    def test_noise_has_that_of_its_distribution(self, noise):
        # The local mean takes a part of the spread with it.
        assert 5.2 < grain_db(noise, RATE, CUTOFF_HZ) < RAYLEIGH_DB

    def test_level_and_rate_do_not_matter(self, noise):
        assert grain_db(noise / 10, RATE, CUTOFF_HZ) == pytest.approx(
            grain_db(noise, RATE, CUTOFF_HZ), abs=0.02
        )
        assert grain_db(noise, 16000, 2000) == pytest.approx(grain_db(noise, RATE, 6000), abs=0.15)

    def test_a_smooth_spectrum_has_little_and_resolved_harmonics_much(self):
        single = np.zeros(RATE)
        single[256 * 90] = 0.5  # flat in every frame that holds it
        assert grain_db(single, RATE, CUTOFF_HZ) < 3.5
        assert grain_db(clicks(RATE / 256), RATE, CUTOFF_HZ) > 6

    def test_active_frames_are_the_references(self, noise):
        gap = noise.copy()
        gap[RATE:] = 0
        assert grain_db(gap, RATE, CUTOFF_HZ, reference=gap) < 6
        assert grain_db(gap, RATE, CUTOFF_HZ, reference=noise) != pytest.approx(
            grain_db(gap, RATE, CUTOFF_HZ), abs=0.1
        )


class TestHarmonics:
    @pytest.mark.parametrize(("rate", "pitch_hz"), [(16000, 125), (48000, 200), (48000, 300)])
    def test_a_click_train_is_all_harmonics(self, rate, pitch_hz):
        assert harmonics(clicks(pitch_hz, rate), rate, 3500) > 0.7

    def test_a_high_band_of_noise_has_none(self, noise):
        voiced = clicks(200)

        def low(samples):
            spectrum = np.fft.rfft(samples)
            spectrum[np.fft.rfftfreq(samples.size, 1 / RATE) > CUTOFF_HZ] = 0
            return np.fft.irfft(spectrum)

        foggy = low(voiced) + 0.1 * (noise - low(noise))
        assert abs(harmonics(foggy, RATE, CUTOFF_HZ, reference=voiced)) < 0.1

    def test_another_pitch_is_not_the_references(self):
        wrong = harmonics(clicks(150), RATE, CUTOFF_HZ, reference=clicks(200))
        assert wrong < 0.3

    def test_unvoiced_sound_has_no_figure(self, noise):
        assert math.isnan(harmonics(noise, RATE, CUTOFF_HZ))


class TestPulses:
    def test_a_click_train_pulses_and_noise_does_not(self, noise):
        assert pulses_db(clicks(120), RATE, CUTOFF_HZ) > pulses_db(noise, RATE, CUTOFF_HZ) + 8

    def test_a_slow_train_is_no_voice(self):
        assert pulses_db(clicks(120), RATE, CUTOFF_HZ) > pulses_db(clicks(1200), RATE, CUTOFF_HZ)

    def test_level_does_not_matter(self, noise):
        assert pulses_db(noise / 10, RATE, CUTOFF_HZ) == pytest.approx(
            pulses_db(noise, RATE, CUTOFF_HZ), abs=1e-3
        )

    def test_pieces_do_not_show(self, noise, monkeypatch):
        whole = pulses_db(noise, RATE, CUTOFF_HZ)
        monkeypatch.setattr(texture, "_PIECE_SAMPLES", 20000)
        assert pulses_db(noise, RATE, CUTOFF_HZ) == pytest.approx(whole, abs=0.01)


class TestAllAtOnce:
    def test_agrees_with_each_alone(self, examples_dir):
        samples, rate = soundfile.read(examples_dir / "speech_en_48k.flac")
        other = 0.7 * np.roll(samples, 100)
        scores = texture_scores(samples, other, rate, CUTOFF_HZ)
        given = {"reference": samples}
        assert scores == pytest.approx(
            {
                "envelope_db": envelope_db(samples, other, rate, CUTOFF_HZ),
                "grain_db": grain_db(other, rate, CUTOFF_HZ, **given),
                "reference_grain_db": grain_db(samples, rate, CUTOFF_HZ),
                "harmonics": harmonics(other, rate, CUTOFF_HZ, **given),
                "reference_harmonics": harmonics(samples, rate, CUTOFF_HZ),
                "pulses_db": pulses_db(other, rate, CUTOFF_HZ),
                "reference_pulses_db": pulses_db(samples, rate, CUTOFF_HZ),
            }
        )
        # What natural speech has.
        assert 5 < scores["reference_grain_db"] < 7
        assert scores["reference_harmonics"] > 0.05
        assert 12 < scores["reference_pulses_db"] < 20

    def test_blocks_do_not_show(self, noise, monkeypatch):
        whole = texture_scores(noise, 0.5 * noise, RATE, CUTOFF_HZ)
        monkeypatch.setattr(texture, "_BLOCK_FRAMES", 37)
        assert texture_scores(noise, 0.5 * noise, RATE, CUTOFF_HZ) == pytest.approx(
            whole, nan_ok=True
        )

    def test_channels_are_averaged(self, noise):
        y = np.stack([noise, noise])
        x = np.stack([noise, noise / 2])
        assert texture_scores(y, x, RATE, CUTOFF_HZ)["envelope_db"] == pytest.approx(3.01, abs=0.01)

    @pytest.mark.parametrize("samples", [1, 100, 700, 3000])
    def test_silence_and_scraps_never_fail(self, samples, rng):
        silence, scrap = np.zeros(samples), 0.1 * rng.standard_normal(samples)
        for y, x in ((silence, scrap), (scrap, silence), (silence, silence), (scrap, scrap)):
            scores = texture_scores(y, x, RATE, CUTOFF_HZ)
            assert not any(math.isinf(score) for score in scores.values())
        assert math.isnan(texture_scores(silence, scrap, RATE, CUTOFF_HZ)["envelope_db"])

    @pytest.mark.parametrize("cutoff_hz", [50, 15500, 23000])
    def test_extreme_cutoffs_give_what_there_is(self, noise, cutoff_hz):
        scores = texture_scores(noise, noise, RATE, cutoff_hz)
        assert math.isnan(scores["grain_db"]) == (cutoff_hz > 15000)
        assert math.isnan(scores["envelope_db"]) == (cutoff_hz > 22000)

    @pytest.mark.parametrize("cutoff_hz", [0, -1, 24000, math.nan])
    def test_a_cutoff_outside_the_band_is_refused(self, noise, cutoff_hz):
        with pytest.raises(InvalidInputError, match="cutoff"):
            texture_scores(noise, noise, RATE, cutoff_hz)
