"""Systems to compare: the classic ways up, and models, behind one call.

A system brings a low recording to a higher rate. Baselines know nothing but the samples; models
get the recording as a user's file, and find the cutoff themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overtone import __version__
from overtone.degrade.baselines import BASELINES, upsample
from overtone.inference.enhancer import Enhancer

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class System:
    """A way up: ``upsample(low [channels, n], rate_in, rate_out) -> [channels, m]``.

    ``identity`` tells two systems of one name apart: the SHA-256 of a model's file, or for a
    baseline the version of overtone that holds it. Rates are in Hz; ``m`` is
    ``round(n * rate_out / rate_in)``.
    """

    name: str
    identity: str
    upsample: Callable[[FloatArray, float, float], FloatArray]


def find_system(name: str, *, threads: int | None = 1) -> System:
    """A baseline (``spline``, ``soxr``, ``copy-up``), a shipped model, or an ``.onnx`` file.

    Raises:
        ModelError: no baseline or model of that name.
    """
    if name in BASELINES:
        return System(
            name,
            f"overtone {__version__}",
            lambda low, rate_in, rate_out: upsample(name, low, rate_in, rate_out),
        )
    enhancer = Enhancer(name, device="cpu", threads=threads)

    def enhance(low: FloatArray, rate_in: float, rate_out: float) -> FloatArray:
        high, _ = enhancer.enhance(low, round(rate_in), output_rate=round(rate_out))
        return high

    return System(enhancer.model.info.name, sha256(enhancer.model.path), enhance)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
