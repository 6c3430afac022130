"""The conditions of the robustness matrix: how a recording can lose its high band or be damaged.

A condition takes a full-band clip and returns what a user would have of it, together with what it
is to be compared with. Filters have zero phase, so that SNR speaks of what was lost, not of delay.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from overtone.degrade.codecs import (
    aac_roundtrip,
    mp3_roundtrip,
    opus_roundtrip,
    telephone_roundtrip,
)
from overtone.degrade.lowpass import LowPass, apply
from overtone.dsp.resample import resample

Samples = NDArray[np.float32]

LOW_PASS, CODEC, HIGH_PASS = "low-pass", "codec", "high-pass"
NOISE, CLIPPING, LEVEL = "noise", "clipping", "level"
"""The groups of conditions."""
CUTOFFS_HZ = (1000, 2000, 3000, 4000, 6000, 8000, 11000, 14000)
HIGHEST_PART_OF_NYQUIST = 0.75
"""Cutoffs beyond this leave too little above them to measure."""
FILTERS: dict[str, LowPass] = {
    **{f"Butterworth {n}": LowPass("butterworth", 1.0, order=n) for n in (2, 4, 6, 8, 10)},
    "Chebyshev I 6, 1 dB": LowPass("chebyshev", 1.0, order=6, ripple_db=1.0),
    "Chebyshev I 8, 0.05 dB": LowPass("chebyshev", 1.0, order=8, ripple_db=0.05),
    "elliptic 6, 60 dB": LowPass("elliptic", 1.0, order=6, ripple_db=0.5, stop_db=60.0),
    "elliptic 8, 80 dB": LowPass("elliptic", 1.0, order=8, ripple_db=0.1, stop_db=80.0),
    "Bessel 8": LowPass("bessel", 1.0, order=8),
    "FFT brick wall": LowPass("brickwall", 1.0),
}
"""By name; each is used at every cutoff."""
USUAL_FILTER = "Chebyshev I 8, 0.05 dB"
MP3_KBPS = (16, 24, 32, 48, 64, 96, 128)
OPUS_KBPS = (6, 8, 12, 16, 24, 32)
AAC_KBPS = (16, 24, 32, 48, 64, 96, 128)
TELEPHONE_KBPS = {"GSM": 13, "mu-law": 64}
LOWEST_FULL_RATE_MP3_KBPS = 32
"""MP3 from 32 kHz up starts here; what is smaller is coded at half the rate."""
HIGH_PASSES_HZ = (150, 300)
"""Below them a telephone passes nothing; 300 Hz is the classic lower edge."""
SNRS_DB = (40, 30, 20, 10)
CLIPPED_PERCENT = (1, 5, 10)
PEAKS_DBFS = (-60, -50, -40, -30, -20, -10, 0)
USUAL_CUTOFF_HZ = 4000.0
"""Of the low-pass after a high-pass, noise, clipping or a change of level."""


@dataclass(frozen=True)
class DegradedClip:
    """``samples [n]`` at ``sample_rate``, and the ``reference [m]`` at the clip's own rate.

    ``gain`` is how many times louder the samples are than the reference.
    """

    samples: Samples
    sample_rate: int
    reference: Samples
    gain: float = 1.0


Degrade = Callable[[Samples, int, np.random.Generator], DegradedClip]


@dataclass(frozen=True)
class Condition:
    """One condition: its group, row and column, and what happens to a clip there.

    ``cutoff_hz`` is the filter's; None for codecs, whose edge is found by comparison.
    """

    group: str
    row: str
    column: str
    degrade: Degrade
    cutoff_hz: float | None = None

    @property
    def name(self) -> str:
        """Row and column in a line."""
        return f"{self.row}, {self.column} {UNITS[self.group]}"


UNITS = {
    LOW_PASS: "kHz",
    CODEC: "kbit/s",
    HIGH_PASS: "Hz",
    NOISE: "dB SNR",
    CLIPPING: "%",
    LEVEL: "dBFS",
}


def matrix(sample_rate: int, usual_cutoff_hz: float = USUAL_CUTOFF_HZ) -> list[Condition]:
    """Return all conditions for clips at ``sample_rate`` or more, group by group, row by row."""
    highest_hz = HIGHEST_PART_OF_NYQUIST * sample_rate / 2
    cutoffs_hz = [hz for hz in CUTOFFS_HZ if hz <= highest_hz]
    usual_hz = min(usual_cutoff_hz, highest_hz)
    return [*_low_pass_conditions(cutoffs_hz), *_codec_conditions(), *_usual_conditions(usual_hz)]


def _low_pass_conditions(cutoffs_hz: list[int]) -> list[Condition]:
    filters = [
        Condition(
            LOW_PASS, row, f"{hz / 1000:g}", partial(_filtered, replace(low_pass, cutoff_hz=hz)), hz
        )
        for row, low_pass in FILTERS.items()
        for hz in cutoffs_hz
    ]
    resamplers = [
        Condition(LOW_PASS, row, f"{hz / 1000:g}", partial(_resampled, hz, back), hz)
        for row, back in (("soxr, brought back", True), ("soxr, left at low rate", False))
        for hz in cutoffs_hz
    ]
    return [*filters, *resamplers]


def _codec_conditions() -> list[Condition]:
    return [
        *(Condition(CODEC, "MP3", str(kbps), partial(_mp3, kbps)) for kbps in MP3_KBPS),
        *(
            Condition(CODEC, "Opus", str(kbps), partial(_coded, opus_roundtrip, kbps))
            for kbps in OPUS_KBPS
        ),
        *(
            Condition(CODEC, "AAC", str(kbps), partial(_coded, aac_roundtrip, kbps))
            for kbps in AAC_KBPS
        ),
        *(
            Condition(CODEC, f"{name}, 8 kHz", str(kbps), partial(_telephone, name))
            for name, kbps in TELEPHONE_KBPS.items()
        ),
    ]


def _usual_conditions(cutoff_hz: float) -> list[Condition]:
    def condition(group: str, row: str, value: float, degrade: Degrade) -> Condition:
        return Condition(group, row, str(value), degrade, cutoff_hz)

    low_pass = replace(FILTERS[USUAL_FILTER], cutoff_hz=cutoff_hz)
    return [
        *(
            condition(HIGH_PASS, "telephone band", hz, partial(_high_passed, hz, low_pass))
            for hz in HIGH_PASSES_HZ
        ),
        *(condition(NOISE, "white noise", snr, partial(_noisy, snr, low_pass)) for snr in SNRS_DB),
        *(
            condition(CLIPPING, "clipped", part, partial(_clipped, part, low_pass))
            for part in CLIPPED_PERCENT
        ),
        *(
            condition(LEVEL, "peak", peak, partial(_at_level, peak, low_pass))
            for peak in PEAKS_DBFS
        ),
    ]


# Functions of a module, not closures: conditions travel to other processes.


def _filtered(low_pass: LowPass, x: Samples, rate: int, _: np.random.Generator) -> DegradedClip:
    return DegradedClip(apply(x, rate, low_pass), rate, x)


def _resampled(
    cutoff_hz: int, back: bool, x: Samples, rate: int, _: np.random.Generator
) -> DegradedClip:
    low = resample(x[None], rate, 2 * cutoff_hz)
    if back:
        return DegradedClip(resample(low, 2 * cutoff_hz, rate)[0], rate, x)
    return DegradedClip(low[0], 2 * cutoff_hz, x)


def _coded(
    roundtrip: Callable[[Samples, int, float], Samples],
    kbps: int,
    x: Samples,
    rate: int,
    _: np.random.Generator,
) -> DegradedClip:
    return DegradedClip(roundtrip(x, rate, kbps), rate, x)


def _mp3(kbps: int, x: Samples, rate: int, _: np.random.Generator) -> DegradedClip:
    if rate >= 32_000 and kbps < LOWEST_FULL_RATE_MP3_KBPS:
        half = resample(x[None], rate, rate // 2)[0]
        return DegradedClip(mp3_roundtrip(half, rate // 2, kbps), rate // 2, x)
    return DegradedClip(mp3_roundtrip(x, rate, kbps), rate, x)


def _telephone(codec: str, x: Samples, rate: int, _: np.random.Generator) -> DegradedClip:
    low = resample(x[None], rate, 8000)[0]
    return DegradedClip(telephone_roundtrip(low, codec), 8000, x)


def _high_passed(
    low_hz: float, low_pass: LowPass, x: Samples, rate: int, _: np.random.Generator
) -> DegradedClip:
    # The low frequencies are lost to the reference, too: nobody promises to give them back.
    sos = signal.butter(4, low_hz, "highpass", fs=rate, output="sos")
    padding = min(x.size - 1, rate // 10)
    high = signal.sosfiltfilt(sos, x, padlen=padding).astype(np.float32)
    return DegradedClip(apply(high, rate, low_pass), rate, high)


def _noisy(
    snr_db: float, low_pass: LowPass, x: Samples, rate: int, rng: np.random.Generator
) -> DegradedClip:
    rms = np.sqrt(np.mean(x.astype(np.float64) ** 2))
    noise = rms * 10 ** (-snr_db / 20) * rng.standard_normal(x.size)
    noisy = (x + noise).astype(np.float32)
    return DegradedClip(apply(noisy, rate, low_pass), rate, noisy)


def _clipped(
    percent: float, low_pass: LowPass, x: Samples, rate: int, _: np.random.Generator
) -> DegradedClip:
    most = np.quantile(np.abs(x), 1 - percent / 100)
    clipped = np.clip(x, -most, most).astype(np.float32)
    return DegradedClip(apply(clipped, rate, low_pass), rate, clipped)


def _at_level(
    peak_dbfs: float, low_pass: LowPass, x: Samples, rate: int, _: np.random.Generator
) -> DegradedClip:
    gain = float(10 ** (peak_dbfs / 20) / np.abs(x).max())
    return DegradedClip((gain * apply(x, rate, low_pass)).astype(np.float32), rate, x, gain)
