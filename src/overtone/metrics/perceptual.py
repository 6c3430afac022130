"""Scores that model a listener: ViSQOL, PESQ, STOI and DNSMOS (extra ``metrics``).

``nan`` here means that the model found too little sound to judge.
"""

import functools
import importlib.util
import math
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from overtone.errors import MissingExtraError
from overtone.metrics.signals import Channel, Floats, as_float64, channel_mean, mean

# PESQ's C code holds 50 utterances and crashes beyond: 16 s cannot contain that many.
PESQ_PIECE_S = 16
DNSMOS_RATE, DNSMOS_WINDOW_S = 16000, 9.01
# From the network's outputs to opinion scores, as speechmos has it: highest power first.
_DNSMOS_POLYNOMIALS = {
    "signal": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
    "overall": (-0.06766283, 1.11546468, 0.04602535),
}


def require_perceptual() -> None:
    """Raise :class:`~overtone.errors.MissingExtraError` unless all four scores can be taken."""
    packages = "visqol", "pesq", "pystoi", "speechmos"
    if not all(importlib.util.find_spec(package) for package in packages):
        raise MissingExtraError("scoring with ViSQOL, PESQ, STOI and DNSMOS", "metrics")


def visqol_mos(
    reference: ArrayLike,
    estimate: ArrayLike,
    sample_rate: int,
    *,
    mode: Literal["auto", "speech", "audio"] = "auto",
) -> float:
    """Return ViSQOL's mean opinion score, 1 to 5 (Chinen et al. 2020; extra ``metrics``).

    ``speech`` listens at 16 kHz up to 8 kHz, with the polynomial mapping from similarity to MOS;
    ``audio`` listens at 48 kHz up to 15 kHz. ``auto`` takes speech for rates up to 16 kHz. Other
    rates are resampled with soxr VHQ. About half a second or less of sound gives ``nan``.
    """
    if mode == "auto":
        mode = "speech" if sample_rate <= 16000 else "audio"
    api = _visqol(mode)
    rate = 16000 if mode == "speech" else 48000

    def score(y: Channel, x: Channel) -> float:
        y, x = _resample(y, sample_rate, rate), _resample(x, sample_rate, rate)
        if not np.any(y):
            return math.nan
        try:
            with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
                return float(api.measure_from_arrays(y, x, rate).moslqo)
        except (ValueError, IndexError):  # how visqol-python answers to too few frames
            return math.nan

    return channel_mean(score, reference, estimate)


def pesq_mos(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Return the PESQ score (ITU-T P.862.2, speech only; extra ``metrics``).

    Wideband at 16 kHz; narrowband at 8 kHz when ``sample_rate`` is below 16 kHz. Other rates are
    resampled with soxr VHQ. A signal over 16 s is scored in equal pieces, whose mean is returned;
    pieces in which PESQ finds no speech are left out.
    """
    try:
        import pesq
    except ImportError as error:
        raise MissingExtraError("PESQ", "metrics") from error
    rate, band = (16000, "wb") if sample_rate >= 16000 else (8000, "nb")

    def piece_score(y: Floats, x: Floats) -> float:
        if not (np.any(y) and np.any(x)):
            return math.nan
        try:
            return float(pesq.pesq(rate, y, x, band))
        except pesq.PesqError:  # too short, or nobody speaks
            return math.nan

    def score(y: Channel, x: Channel) -> float:
        y, x = _resample(y, sample_rate, rate), _resample(x, sample_rate, rate)
        pieces = max(math.ceil(y.size / (PESQ_PIECE_S * rate)), 1)
        split = zip(np.array_split(y, pieces), np.array_split(x, pieces), strict=True)
        return mean(piece_score(*piece) for piece in split)

    return channel_mean(score, reference, estimate)


def stoi(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Return the short-time objective intelligibility, 0 to 1 (Taal et al. 2011; ``metrics``).

    pystoi resamples to 10 kHz by itself and hears nothing above 4.3 kHz, so this says whether
    speech was damaged, not whether its high band came back. Under 0.4 s of speech gives ``nan``.
    """
    try:
        import pystoi
    except ImportError as error:
        raise MissingExtraError("STOI", "metrics") from error

    def score(y: Channel, x: Channel) -> float:
        if not np.any(y):
            return math.nan
        try:
            with warnings.catch_warnings(action="error", category=RuntimeWarning):
                return float(pystoi.stoi(as_float64(y), as_float64(x), sample_rate))
        except (RuntimeWarning, ValueError, IndexError):  # too few frames of speech
            return math.nan

    return channel_mean(score, reference, estimate)


def dnsmos_mos(
    samples: ArrayLike,
    sample_rate: int,
    *,
    scale: Literal["signal", "background", "overall"] = "overall",
) -> float:
    """Return the opinion of a recording of speech, 1 to 5, without a reference (``metrics``).

    DNSMOS P.835 (Reddy et al. 2022), by the model in the package ``speechmos`` and its protocol:
    windows of 9.01 s, a second apart, a shorter recording repeated. Rates other than 16 kHz are
    resampled with soxr VHQ, so nothing above 8 kHz counts. Silence gives ``nan``. Never alone: it
    was trained on noise suppressors, and does not know what the recording should be.
    """
    session = _dnsmos()
    polynomial = _DNSMOS_POLYNOMIALS[scale]
    column = list(_DNSMOS_POLYNOMIALS).index(scale)
    size = int(DNSMOS_WINDOW_S * DNSMOS_RATE)

    def score(_: Channel, x: Channel) -> float:
        x = _resample(x, sample_rate, DNSMOS_RATE)
        if not np.any(x):
            return math.nan
        while x.size < size:
            x = np.append(x, x)
        windows = [x[start : start + size] for start in range(0, x.size - size + 1, DNSMOS_RATE)]
        raw = [
            session.run(None, {"input_1": window[None].astype(np.float32)})[0][0, column]
            for window in windows
        ]
        return mean(np.polyval(polynomial, np.array(raw, np.float64)))

    return channel_mean(score, samples, samples)


def _resample(samples: Channel, rate_in: int, rate_out: int) -> Floats:
    import soxr

    resampled = soxr.resample(as_float64(samples), rate_in, rate_out, quality="VHQ")
    return np.asarray(resampled, dtype=np.float64)


@functools.cache
def _visqol(mode: str) -> Any:
    try:
        from visqol import VisqolApi
    except ImportError as error:
        raise MissingExtraError("ViSQOL", "metrics") from error
    api = VisqolApi()
    # Named, because the default mapping depends on what else happens to be installed.
    api.create(mode=mode, use_lattice_model=False)
    return api


@functools.cache
def _dnsmos() -> Any:
    import onnxruntime

    # The package itself imports librosa, for another model of the family: only its file is used.
    spec = importlib.util.find_spec("speechmos")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("DNSMOS", "metrics")
    model = Path(spec.submodule_search_locations[0], "dnsmos_models", "sig_bak_ovr.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
