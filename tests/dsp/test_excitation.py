"""The excitations against signals whose answer is known, and against any cutting into blocks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.dsp.excitation import (
    COPIES,
    NAMES,
    WAVES,
    ExcitationConstants,
    Excitations,
    TrailingMean,
    local_mean,
    white_noise,
)
from overtone.dsp.stft import StreamOverlapAdd, StreamStft, hann

RATE, WINDOW, HOP, CUTOFF_HZ = 48000, 1024, 256, 4000.0
LATE = WINDOW // HOP - 1


def excite(
    samples: NDArray[np.float32],
    cuts: list[int] | None = None,
    first_bin: int = 0,
    names: tuple[str, ...] = WAVES,
    constants: ExcitationConstants | None = None,
) -> NDArray[np.complex64]:
    """All excitation frames of ``[channels, n]``, aligned with the recording's."""
    window = hann(WINDOW)
    spectrum = StreamStft(len(samples), window / np.sqrt(np.sum(window**2)), HOP).push(samples)
    excitations = Excitations(
        constants or ExcitationConstants(),
        names,
        sample_rate=RATE,
        window_samples=WINDOW,
        hop_samples=HOP,
        channels=len(samples),
        cutoff_hz=CUTOFF_HZ,
        first_bin=first_bin,
    )
    parts = np.split(spectrum, cuts or [], axis=1)
    return np.concatenate([excitations.push(part) for part in parts], axis=2)[:, :, LATE:]


def voice(
    seconds: float = 1.0, pitch_hz: float = 187.5, phases: float | NDArray[np.float64] = 0.0
) -> NDArray[np.float32]:
    """A steady voice below the cutoff: harmonics, every fourth bin."""
    t = np.arange(int(seconds * RATE)) / RATE
    partials = np.arange(1, int(3800 / pitch_hz) + 1)
    wave = np.sum(np.cos(2 * np.pi * pitch_hz * partials[:, None] * t + phases), axis=0)
    return (0.05 * wave / wave.std()).astype(np.float32)[None]


def test_any_chunks_give_the_same(rng: np.random.Generator) -> None:
    samples = rng.normal(0, 0.05, (2, RATE // 2)).astype(np.float32)
    whole = excite(samples, names=NAMES)
    cuts = sorted(rng.integers(0, whole.shape[2], 9).tolist())
    np.testing.assert_allclose(excite(samples, cuts, names=NAMES), whole, atol=1e-4)


def test_bins_below_the_first_are_only_left_out(rng: np.random.Generator) -> None:
    samples = rng.normal(0, 0.05, (1, RATE // 4)).astype(np.float32)
    np.testing.assert_allclose(excite(samples, first_bin=90), excite(samples)[..., 90:], atol=1e-4)


def test_unit_power_at_every_frequency(rng: np.random.Generator) -> None:
    samples = rng.normal(0, 0.05, (1, 2 * RATE)).astype(np.float32)
    power = np.mean(np.abs(excite(samples)[:, 0, 8:]) ** 2, axis=1)
    bands = power[:, 1:-1].reshape(len(WAVES), -1, 73).mean(axis=-1)
    np.testing.assert_allclose(10 * np.log10(bands), 0, atol=0.7)


def test_pulses_have_the_harmonics_of_the_voice_above_the_cutoff() -> None:
    pulses, _, noise = np.mean(np.abs(excite(voice())[:, 0, 20:-4, 96:240]) ** 2, axis=1)
    assert pulses[0::4].mean() > 10 * pulses[2::4].mean()
    assert noise[0::4].mean() == pytest.approx(noise[2::4].mean(), rel=0.2)


def test_modulated_noise_swells_with_the_pulses() -> None:
    """Its power repeats with the pitch, of 256 samples; that of plain noise does not."""
    window = hann(WINDOW)
    spectra = excite(voice())[:, 0]
    spectra[..., :96] = 0
    waves = StreamOverlapAdd(len(WAVES), window, HOP).push(spectra)
    period = 256
    alike = []
    for wave in waves[:, RATE // 8 : -RATE // 8]:
        power = np.convolve(wave**2, np.ones(16), "valid")
        alike.append(np.corrcoef(power[:-period], power[period:])[0, 1])
    assert alike[0] > 0.9
    assert alike[1] > 0.2
    assert abs(alike[2]) < 0.1


def test_a_higher_power_makes_sharper_pulses(rng: np.random.Generator) -> None:
    """By the kurtosis above the cutoff, of a voice whose own pulses are smeared."""
    smeared, sharpness = voice(phases=rng.uniform(0, 2 * np.pi, (20, 1))), []
    for power in (1, 2, 4):
        constants = ExcitationConstants(pulse_power=power)
        spectra = excite(smeared, names=("pulses", "noise"), constants=constants)[:1, 0]
        spectra[..., :96] = 0
        wave = StreamOverlapAdd(1, hann(WINDOW), HOP).push(spectra)[0, RATE // 8 : -RATE // 8]
        sharpness.append(np.mean(wave**4) / np.mean(wave**2) ** 2)
    assert sharpness[0] < sharpness[1] < sharpness[2]


def test_pulses_low_in_frequency_are_delayed_and_keep_their_power() -> None:
    """Each bin by the phase of a delay that falls linearly, found by its slope."""
    dispersed = ExcitationConstants(dispersion_ms=2.0, dispersion_end_hz=8000.0)
    plain, late = excite(voice()), excite(voice(), constants=dispersed)
    np.testing.assert_allclose(np.abs(late), np.abs(plain), atol=1e-4)
    np.testing.assert_array_equal(late[1:], plain[1:])
    hz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    turned = np.mean(late[0, 0] * plain[0, 0].conj(), axis=0)
    delay_s = -np.angle(turned[1:] * turned[:-1].conj()) / (2 * np.pi * RATE / WINDOW)
    wanted_s = 2e-3 * np.maximum(0, 1 - (hz[1:] + hz[:-1]) / 2 / 8000)
    np.testing.assert_allclose(delay_s, wanted_s, atol=2e-5)


def test_dispersion_blunts_sharp_pulses() -> None:
    """By their crest between 2 and 6 kHz."""
    crests = []
    for delay_ms in (0.0, 3.0):
        constants = ExcitationConstants(pulse_power=4, dispersion_ms=delay_ms)
        spectra = excite(voice(pitch_hz=93.75), constants=constants)[:1, 0]
        spectra[..., :43] = spectra[..., 128:] = 0
        wave = StreamOverlapAdd(1, hann(WINDOW), HOP).push(spectra)[0, RATE // 8 : -RATE // 8]
        crests.append(np.max(np.abs(wave)) / wave.std())
    assert crests[1] < 0.8 * crests[0]


def test_a_higher_power_parts_the_copies_bins_and_keeps_their_level(
    rng: np.random.Generator,
) -> None:
    samples = rng.normal(0, 0.05, (1, RATE)).astype(np.float32)
    spread, level = [], []
    for power in (1, 2, 3):
        constants = ExcitationConstants(copy_power=power)
        copies = excite(samples, names=("copy_up",), constants=constants)[0, 0, 8:, 96:480]
        energy = np.abs(copies) ** 2
        spread.append(np.log10(energy + 1e-9).std())
        level.append(10 * np.log10(energy.mean()))
    assert spread[0] + 0.2 < spread[1] < spread[2] - 0.2
    np.testing.assert_allclose(level, level[0], atol=0.5)


def test_a_higher_power_parts_the_waves_bins_and_keeps_their_level() -> None:
    spread, level = [], []
    for power in (1.0, 1.5, 2.0):
        waves = excite(voice(), constants=ExcitationConstants(wave_power=power))[:, 0, 20:-20, 96:]
        energy = np.abs(waves) ** 2
        spread.append(np.log10(energy + 1e-9).std(axis=(1, 2)))
        level.append(10 * np.log10(energy.mean(axis=(1, 2))))
    assert np.all(np.diff(spread, axis=0)[:, 1:] > 0.1)  # a pure voice's pulses have gaps anyway
    np.testing.assert_allclose(level, 0, atol=0.6)


@pytest.mark.parametrize("name", COPIES)
def test_copies_move_a_tone_without_breaks(name: str) -> None:
    """Resynthesised, a moved tone is a tone: its frames agree in phase."""
    tone_hz = 3703.125
    t = np.arange(RATE) / RATE
    tone = np.cos(2 * np.pi * tone_hz * t, dtype=np.float32)[None] * np.float32(0.05)
    spectra = excite(tone, names=(name,))[0]
    spectra[..., :84] = 0
    wave = StreamOverlapAdd(1, hann(WINDOW), HOP).push(spectra)[0, RATE // 4 : RATE // 2]
    power = np.abs(np.fft.rfft(wave * hann(wave.size))) ** 2
    hz = np.fft.rfftfreq(wave.size, 1 / RATE)
    # The band ends before bin 83; it moves by 60, three quarters of that in whole fours.
    moved = [
        2 * 82 - 79 + 60 * (times - 1) if name == "mirror" and times % 2 else 79 + 60 * times
        for times in range(1, 8)
    ]
    near = np.min(np.abs(hz[:, None] - np.array(moved) * RATE / WINDOW), axis=1) < 40
    # Whitening lifts what leaks from the tone to bins far off.
    assert power[near].sum() > 0.5 * power.sum()


def test_loudness_does_not_matter() -> None:
    loud = excite(voice())[0, 0, 20:-4]
    soft = excite(voice() * np.float32(0.03))[0, 0, 20:-4]
    np.testing.assert_allclose(np.abs(soft), np.abs(loud), atol=0.02)


def test_silence_has_no_pulses() -> None:
    pulses, modulated, _ = excite(np.zeros((1, RATE // 4), np.float32))
    assert not pulses.any()
    assert np.abs(modulated).max() < 1e-3


def test_noise_is_white_and_of_unit_variance() -> None:
    noise = white_noise(1, 0, 0, 1 << 16)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(1, abs=0.01)
    power = np.abs(np.fft.rfft(noise)[1:]).astype(float).reshape(32, -1) ** 2 / noise.size
    np.testing.assert_allclose(power.mean(axis=1), 1, atol=0.15)


def test_noise_depends_on_seed_and_channel_only() -> None:
    streams = [white_noise(*key, 0, 4096) for key in ((0, 0), (0, 1), (1, 0), (1, 1))]
    correlation = np.corrcoef(np.stack(streams)) - np.eye(4)
    assert np.abs(correlation).max() < 0.08
    far = (1 << 32) + 5
    assert not np.array_equal(white_noise(0, 0, far, 8), white_noise(0, 0, 5, 8))


def test_noise_is_the_same_everywhere() -> None:
    """Other runtimes repeat the hash in plain integers."""

    def lowbias32(x: int) -> int:
        x ^= x >> 16
        x = x * 0x7FEB352D & 0xFFFFFFFF
        x ^= x >> 15
        x = x * 0x846CA68B & 0xFFFFFFFF
        return x ^ x >> 16

    seed, channel, start = 3, 1, (5 << 32) + 7
    key = lowbias32(seed * 0x9E3779B9 + channel * 0x85EBCA6B & 0xFFFFFFFF)
    high = lowbias32(5 ^ key)
    bits = np.array([lowbias32(n ^ high) for n in range(7, 12)])
    found = white_noise(seed, channel, start, 5)
    np.testing.assert_allclose(found, (bits / 2**32 - 0.5) * np.sqrt(12), atol=1e-6)


@pytest.mark.parametrize("bins", [1, 3, 15])
def test_local_mean(bins: int, rng: np.random.Generator) -> None:
    power = rng.random((2, 40)).astype(np.float32)
    half = bins // 2
    wanted = [power[:, max(0, n - half) : n + half + 1].mean(axis=1) for n in range(40)]
    np.testing.assert_allclose(local_mean(power, bins), np.stack(wanted, axis=1), rtol=1e-5)


def test_trailing_mean(rng: np.random.Generator) -> None:
    samples = rng.random((1, 100)).astype(np.float32)
    mean = TrailingMean(1, 8)
    found = np.concatenate([mean.push(samples[:, :33]), mean.push(samples[:, 33:])], axis=1)
    wanted = np.convolve(samples[0], np.ones(8) / 8)[:100]
    np.testing.assert_allclose(found[0], wanted, rtol=1e-4)
