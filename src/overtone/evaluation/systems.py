"""Systems to compare: the classic ways up, and models, behind one call.

A system brings a low recording to a higher rate. Baselines know nothing but the samples; models
get the recording as a user's file, and find the cutoff themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from overtone import __version__
from overtone.evaluation.baselines import BASELINES, soxr, upsample
from overtone.files import sha256_of
from overtone.inference.enhancer import Enhancer

FloatArray = NDArray[np.float32]

# A model fits recordings that end within this ratio of the cutoffs it was trained for.
TOLERATED_RATIO = 1.25


def always(rate_in: float, rate_out: float) -> bool:
    """Say that a system fits whatever the rates."""
    del rate_in, rate_out
    return True


@dataclass(frozen=True)
class System:
    """A way up: ``upsample(low [channels, n], rate_in, rate_out) -> [channels, m]``.

    ``identity`` tells two systems of one name apart: the SHA-256 of a model's file, or for a
    baseline the version of overtone that holds it. Rates are in Hz; ``m`` is
    ``round(n * rate_out / rate_in)``. ``fits(rate_in, rate_out)`` says whether it is made for
    such recordings; it can be run on others.
    """

    name: str
    identity: str
    upsample: Callable[[FloatArray, float, float], FloatArray]
    fits: Callable[[float, float], bool] = always


def find_system(name: str, *, threads: int | None = 1) -> System:
    """A baseline (``spline``, ``soxr``, ``copy-up``), a shipped model, or an ``.onnx`` file.

    A model's name may end in ``@`` and the fidelity it is asked for: ``speech@1``.

    Raises:
        ModelError: no baseline or model of that name.
        InvalidInputError: a fidelity out of range, or of a model that knows none.
    """
    if name in BASELINES:
        return System(
            name,
            f"overtone {__version__}",
            lambda low, rate_in, rate_out: upsample(name, low, rate_in, rate_out),
        )
    model, suffix, fidelity = _split_fidelity(name)
    enhancer = Enhancer(model, device="cpu", threads=threads, fidelity=fidelity)
    info = enhancer.model.info

    def enhance(low: FloatArray, rate_in: float, rate_out: float) -> FloatArray:
        if rate_in != round(rate_in):
            # No file has such a rate: what a user could have is the recording resampled.
            low, rate_in = soxr(low, rate_in, rate_out), rate_out
        high, _ = enhancer.enhance(low, round(rate_in), output_rate=round(rate_out))
        return high

    def fits(rate_in: float, rate_out: float) -> bool:
        cutoff_hz = rate_in / 2
        return (
            info.sample_rate >= rate_out
            and info.min_cutoff_hz <= cutoff_hz * TOLERATED_RATIO
            and cutoff_hz <= info.max_cutoff_hz * TOLERATED_RATIO
        )

    return System(f"{info.name}{suffix}", sha256_of(enhancer.model.path), enhance, fits)


def _split_fidelity(name: str) -> tuple[str, str, float | None]:
    """``speech@0.5`` as ``speech``, ``@0.5`` and 0.5; no fidelity where none is said."""
    model, _, number = name.rpartition("@")
    try:
        fidelity = float(number)
    except ValueError:  # an @ of a file's own name, or none
        return name, "", None
    return (model, f"@{number}", fidelity) if model else (name, "", None)


def find_systems(names: Sequence[str], *, threads: int | None = 1) -> list[System]:
    """Several systems, each under a name of its own: two models of one name get their hash's head.

    Naming one twice gives it once.

    Raises:
        ModelError: no baseline or model of one of the names.
    """
    opened = [find_system(name, threads=threads) for name in names]
    found = {(one.name, one.identity): one for one in opened}
    names_found = [name for name, _ in found]
    return [
        replace(one, name=f"{name} {identity[:8]}") if names_found.count(name) > 1 else one
        for (name, identity), one in found.items()
    ]
