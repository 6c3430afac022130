"""Arguments of the public calls, checked once: arrays, rates, cutoffs, fidelity."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.audio.formats import MAX_MAGNITUDE
from overtone.errors import InvalidInputError

if TYPE_CHECKING:
    from overtone.inference.family import ModelInfo

FloatArray = NDArray[np.float32]

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 384_000
MAX_CHANNELS = 64
# Up to so many channels may be longer than their recording.
WIDEST = 8
GUESS = "guess"
"""In place of a cutoff: where none can be found for sure, take the best guess."""
Times = Sequence[tuple[float, float]]
"""Selections, each from a start to an end in seconds."""
LOWEST_LUFS, HIGHEST_LUFS = -70.0, -5.0
SHORTEST_SELECTION_S = 0.1  # room for a crossfade at either end
MAX_STRENGTH_DB = 40.0
# The perceptual end: there ViSQOL is highest, and held-out LSD as low as anywhere.
DEFAULT_FIDELITY = 0.0


def as_channels(samples: ArrayLike) -> FloatArray:
    """Return ``[channels, samples]`` float32 with full scale 1."""
    if isinstance(samples, (str, os.PathLike)):
        raise InvalidInputError(
            f"samples are {os.fspath(samples)!r}, a name; files are for Enhancer.enhance_file and"
            " enhance_files"
        )
    try:
        array = np.asarray(samples)
    except ValueError as error:
        raise InvalidInputError(
            f"samples are not an array ({error}); give [samples] or [channels, samples]"
        ) from error
    if array.ndim not in (1, 2):
        raise InvalidInputError(
            f"samples have shape {array.shape}; give [samples] or [channels, samples]"
        )
    if array.ndim == 2 and not 1 <= array.shape[0] <= MAX_CHANNELS:
        raise InvalidInputError(
            f"samples have shape {array.shape}, that is {array.shape[0]} channels; give"
            " [channels, samples], channels first (samples.T)"
        )
    if np.issubdtype(array.dtype, np.signedinteger):
        array = array.astype(np.float64) / -float(np.iinfo(array.dtype).min)
    elif array.dtype == np.uint8:
        array = (array.astype(np.float64) - 128) / 128
    elif not np.issubdtype(array.dtype, np.floating):
        raise InvalidInputError(f"samples are of type {array.dtype}; give floats or integers")
    if not (np.abs(array) < MAX_MAGNITUDE).all():
        raise InvalidInputError(
            "samples hold NaN or infinite values, or 1e18 and more; repair them first"
        )
    return np.atleast_2d(array).astype(np.float32)


def as_recording(samples: ArrayLike) -> FloatArray:
    """Return :func:`as_channels` of a recording, which is not empty and longer than wide."""
    channels = as_channels(samples)
    if not channels.shape[1]:
        raise InvalidInputError("samples are empty; give at least one")
    if len(channels) > max(channels.shape[1], WIDEST):
        raise InvalidInputError(
            f"samples have shape {channels.shape}, more channels than samples; give"
            " [channels, samples], channels first (samples.T)"
        )
    return channels


def whole_rate(rate: float, what: str = "sample rate") -> int:
    """Return the rate in Hz as an integer; refuse text, fractions, and what is out of range."""
    number = as_number(rate, what)
    if number != int(number) or not MIN_RATE_HZ <= number <= MAX_RATE_HZ:
        raise InvalidInputError(
            f"{what} {rate} Hz; it must be a whole number from {MIN_RATE_HZ} to {MAX_RATE_HZ}"
        )
    return int(number)


def as_number(value: float, what: str) -> float:
    """Return a real, finite number as a float; refuse everything else, text above all."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InvalidInputError(f"{what} must be a number, not {value!r}")
    return float(value)


def check_channels(channels: int, name: str) -> None:
    """Refuse a recording of more than 64 channels; each takes memory of its own."""
    if channels > MAX_CHANNELS:
        raise InvalidInputError(
            f"{name}: {channels} channels; at most {MAX_CHANNELS} can be enhanced at once: split it"
        )


def check_cutoff(cutoff_hz: float | str | None, sample_rate: int) -> None:
    """Refuse a cutoff that is not above 0 and at most half the rate; None is none.

    ``"guess"`` is no frequency, but may be asked for.
    """
    if isinstance(cutoff_hz, str):
        if cutoff_hz != GUESS:
            raise InvalidInputError(f"cutoff_hz must be a number or {GUESS!r}, not {cutoff_hz!r}")
    elif cutoff_hz is not None and not 0 < as_number(cutoff_hz, "cutoff_hz") <= sample_rate / 2:
        raise InvalidInputError(
            f"cutoff {cutoff_hz:g} Hz: must be above 0 and at most half the sample rate,"
            f" {sample_rate / 2:g} Hz"
        )


def checked_fidelity(info: ModelInfo, fidelity: float | None) -> float:
    """Return the fidelity that a model is asked for, 0 to 1; None is the default.

    Raises InvalidInputError for one out of range, or for a model that knows one answer only.
    """
    if fidelity is None:
        return DEFAULT_FIDELITY if info.has_fidelity else 0.0
    if not (isinstance(fidelity, Real) and 0 <= fidelity <= 1):
        raise InvalidInputError(f"fidelity must be within 0 to 1, not {fidelity!r}")
    if not info.has_fidelity:
        raise InvalidInputError(
            f"model {info.name!r} gives one answer and knows no fidelity: leave it out, or use"
            " another model"
        )
    return fidelity


def check_strength(info: ModelInfo, strength_db: float) -> None:
    """Refuse a strength out of range, or of a model whose prediction is not apart."""
    if not -MAX_STRENGTH_DB <= as_number(strength_db, "strength_db") <= MAX_STRENGTH_DB:
        raise InvalidInputError(
            f"strength_db must be within -{MAX_STRENGTH_DB:g} to {MAX_STRENGTH_DB:g},"
            f" not {strength_db:g}"
        )
    if strength_db and not info.has_strength:
        raise InvalidInputError(
            f"model {info.name!r} cannot change its strength: leave strength_db out, or use"
            " another model"
        )


def check_loudness(target_lufs: float | None, select: Times) -> None:
    """Raise InvalidInputError for a loudness that cannot be asked for."""
    if target_lufs is None:
        return
    if not LOWEST_LUFS <= as_number(target_lufs, "target_lufs") <= HIGHEST_LUFS:
        raise InvalidInputError(
            f"target_lufs is {target_lufs:g}; give {LOWEST_LUFS:g} to {HIGHEST_LUFS:g}, such as -16"
        )
    if select:
        raise InvalidInputError(
            "target_lufs changes the whole file, and select keeps what lies outside: give only one"
        )


def check_suffix(suffix: str | None) -> None:
    """Refuse a suffix of names that no file can have."""
    if suffix is not None and (not suffix or {"/", os.sep, "\0"} & set(suffix)):
        raise InvalidInputError(f"suffix {suffix!r}: cannot be part of a file's name")


def checked_times(select: Times) -> list[tuple[float, float]]:
    """Return selections in order of time; raise InvalidInputError for what cannot be one."""
    found = sorted((float(start), float(end)) for start, end in select)
    for start, end in found:
        if not (0 <= start < math.inf and end - start >= SHORTEST_SELECTION_S):
            raise InvalidInputError(
                f"select {start:g} to {end:g} s: must end {SHORTEST_SELECTION_S:g} s or more after"
                " its start"
            )
    for (_, end), (start, _) in pairwise(found):
        if start < end:
            raise InvalidInputError(f"select: two selections overlap at {start:g} s; join them")
    return found
