"""All metrics of a pair at once, and what must be printed beside each of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from numpy.typing import ArrayLike

from overtone.metrics.perceptual import PESQ_PIECE_S, dnsmos_mos, pesq_mos, stoi, visqol_mos
from overtone.metrics.ratios import (
    KULESHOV_PATCH_SAMPLES,
    KULESHOV_STRIDE_SAMPLES,
    kuleshov_snr_db,
    si_sdr_db,
    snr_db,
)
from overtone.metrics.signals import check_cutoff, mean
from overtone.metrics.spectral import (
    BAND_WIDTH_HZ,
    FFT_SAMPLES,
    HOP_SAMPLES,
    band_bins,
    band_edges_hz,
    kuleshov_lsd,
    lsd_of_bins,
)
from overtone.metrics.stereo import LIMIT_DB, is_stereo, side_mid_db
from overtone.metrics.texture import texture_scores

OF_REFERENCE = "reference_"
"""Before the name of a metric of one recording: the reference's own figure."""


@dataclass(frozen=True, slots=True)
class Metric:
    """How to print a metric: its name, unit, direction, decimals, and the settings behind it.

    ``higher_is_better`` is None where the reference's own figure is the best.
    """

    name: str
    unit: str
    higher_is_better: bool | None
    decimals: int
    settings: str

    @property
    def label(self) -> str:
        """The head of its column: name, unit, and an arrow towards better."""
        arrow = {True: "↑", False: "↓", None: ""}[self.higher_is_better]
        words = (self.name, self.unit, arrow)
        return " ".join(word for word in words if word)


_STFT = f"Hann {FFT_SAMPLES}, hop {HOP_SAMPLES}, centred, reflect padding"

METRICS: Mapping[str, Metric] = {
    "snr_db": Metric("SNR", "dB", True, 2, "10 log10(sum y^2 / sum (y - x)^2), whole file"),
    "si_sdr_db": Metric("SI-SDR", "dB", True, 2, "Le Roux 2019, whole file, mean not removed"),
    "lsd": Metric(
        "LSD",
        "",
        False,
        3,
        f"{_STFT}; log10 of max(|S|^2, 1e-8); root mean square over frequency, mean over time",
    ),
    "lsd_hf": Metric("LSD-HF", "", False, 3, "LSD over the bins at or above the cutoff"),
    "lsd_lf": Metric("LSD-LF", "", False, 3, "LSD over the bins below the cutoff"),
    "lsd_band": Metric("LSD by band", "", False, 3, "LSD over the bins of each 4 kHz"),
    "side_mid_db": Metric(
        "side/mid",
        "dB",
        False,
        2,
        "difference of the two recordings' 10 log10(side energy / mid energy), each kept within "
        f"{LIMIT_DB:g} dB of 0, over the bins at or above the cutoff; {_STFT}",
    ),
    "envelope_db": Metric(
        "envelope",
        "dB",
        False,
        2,
        "root mean square error in dB of the power in bands of a sixth of an octave, at least 200 "
        "Hz, above the cutoff; Hann 1024, hop 256; frames within 35 dB of the loudest",
    ),
    "grain_db": Metric(
        "grain",
        "dB",
        None,
        2,
        "spread of the log magnitude around its mean over 9 bins by 5 frames, from 1.1 times the "
        "cutoff to 16 kHz; Hann 1024, hop 256; the reference's own is best",
    ),
    "harmonics": Metric(
        "harmonics",
        "",
        None,
        2,
        "autocorrelation of the log spectrum above the cutoff at the pitch of the reference, over "
        "voiced frames; Hann 2048, hop 512; the reference's own is best",
    ),
    "pulses_db": Metric(
        "pulses",
        "dB",
        None,
        2,
        "modulation of the Hilbert envelope of the 6 kHz above the cutoff at 80 to 400 Hz, in "
        "windows of 40 ms; the reference's own is best",
    ),
    "kuleshov_snr_db": Metric(
        "SNR (Kuleshov)",
        "dB",
        True,
        2,
        f"mean over patches of {KULESHOV_PATCH_SAMPLES} samples, stride {KULESHOV_STRIDE_SAMPLES}, "
        "1e-6 added inside the mean square of the error",
    ),
    "kuleshov_lsd": Metric(
        "LSD (Kuleshov)",
        "",
        False,
        2,
        f"{_STFT}; natural log of |S|^2 + 1e-8; root mean square over time, mean over frequency, "
        "10 at most",
    ),
    "visqol_mos": Metric(
        "ViSQOL",
        "",
        True,
        2,
        "visqol-python; speech mode (polynomial mapping) at 16 kHz for rates up to 16 kHz, "
        "otherwise audio mode at 48 kHz; resampled by soxr VHQ",
    ),
    "pesq_mos": Metric(
        "PESQ",
        "",
        True,
        2,
        "P.862.2 wideband at 16 kHz (narrowband at 8 kHz for rates below 16 kHz), resampled by "
        f"soxr VHQ, mean over equal pieces of at most {PESQ_PIECE_S} s",
    ),
    "stoi": Metric("STOI", "", True, 3, "Taal 2011; pystoi, its own resampling to 10 kHz"),
    "dnsmos_mos": Metric(
        "DNSMOS",
        "",
        True,
        2,
        "P.835 overall, by the model of speechmos, without the reference; resampled to 16 kHz by "
        "soxr VHQ, mean over windows of 9.01 s",
    ),
}
"""Every metric of :func:`evaluate_pair`; ``lsd_band`` stands for all its bands."""


def evaluate_pair(
    reference: ArrayLike,
    estimate: ArrayLike,
    sample_rate: int,
    *,
    cutoff_hz: float | None = None,
    perceptual: bool = False,
) -> dict[str, float]:
    """Return every metric of one pair, by name, in the order to print them.

    The names are those of :data:`METRICS`, with ``lsd_0_4khz``, ``lsd_4_8khz`` and so on for
    ``lsd_band`` (the topmost band ends at Nyquist); :func:`describe` explains each. ``cutoff_hz``
    adds LSD-HF and LSD-LF, side/mid for two channels, and the texture above it; it must lie between
    0 Hz and Nyquist. ``perceptual`` adds ViSQOL, PESQ, STOI and DNSMOS (extra ``metrics``), and
    about a second of computing for a second of audio. What is measured of one recording stands
    beside the reference's own, as in ``grain_db`` and ``reference_grain_db``.
    """
    bands = {"lsd": slice(None)}
    if cutoff_hz is not None:
        check_cutoff(cutoff_hz, sample_rate)
        bands["lsd_hf"] = band_bins(sample_rate, cutoff_hz, math.inf)
        bands["lsd_lf"] = band_bins(sample_rate, 0.0, cutoff_hz)
    for lo_hz, hi_hz in band_edges_hz(sample_rate, BAND_WIDTH_HZ):
        name = f"lsd_{lo_hz / 1000:g}_{(lo_hz + BAND_WIDTH_HZ) / 1000:g}khz"
        bands[name] = band_bins(sample_rate, lo_hz, hi_hz)
    distances = lsd_of_bins(reference, estimate, list(bands.values()))

    scores = {"snr_db": snr_db(reference, estimate), "si_sdr_db": si_sdr_db(reference, estimate)}
    scores |= zip(bands, distances, strict=True)
    if cutoff_hz is not None and is_stereo(reference):
        scores["side_mid_db"] = side_mid_db(reference, estimate, sample_rate, cutoff_hz)
    if cutoff_hz is not None:
        scores |= texture_scores(reference, estimate, sample_rate, cutoff_hz)
    scores["kuleshov_snr_db"] = kuleshov_snr_db(reference, estimate)
    scores["kuleshov_lsd"] = kuleshov_lsd(reference, estimate)
    if perceptual:
        scores["visqol_mos"] = visqol_mos(reference, estimate, sample_rate)
        scores["pesq_mos"] = pesq_mos(reference, estimate, sample_rate)
        scores["stoi"] = stoi(reference, estimate, sample_rate)
        scores["dnsmos_mos"] = dnsmos_mos(estimate, sample_rate)
        scores["reference_dnsmos_mos"] = dnsmos_mos(reference, sample_rate)
    return scores


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over files; ``nan`` and missing values are left out."""
    # The file of the highest rate has every band, in order.
    names = max(scores, key=len, default={})
    return {name: mean(score.get(name, math.nan) for score in scores) for name in names}


def describe(name: str) -> Metric:
    """Return how to print a metric that :func:`evaluate_pair` returns under ``name``."""
    if name in METRICS:
        return METRICS[name]
    if name.startswith(OF_REFERENCE):
        own = describe(name.removeprefix(OF_REFERENCE))
        return replace(own, name=f"{own.name} of the reference", unit="", higher_is_better=None)
    _, lo, hi = name.removesuffix("khz").split("_")
    return replace(METRICS["lsd_band"], name=f"LSD {lo}-{hi}k")


def settings_lines(names: Iterable[str]) -> list[str]:
    """Return a line of settings for each metric in ``names``, one for all the bands."""
    plain = (name.removeprefix(OF_REFERENCE) for name in names)
    known = dict.fromkeys(name if name in METRICS else "lsd_band" for name in plain)
    return [f"{METRICS[name].name}: {METRICS[name].settings}" for name in known]
