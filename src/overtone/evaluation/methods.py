"""Ways up at one rate and scale: what a name on the command line stands for.

The lineage's networks get the recording already brought to the full rate by the cubic spline;
everything else gets the low samples themselves. A :class:`Method` hides the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone import __version__
from overtone.errors import InvalidInputError, MissingExtraError, ModelError
from overtone.evaluation.baselines import BASELINES
from overtone.evaluation.systems import find_system
from overtone.files import sha256_of
from overtone.inference.model import load_model, model_path

FloatArray = NDArray[np.float32]
Run = Callable[[FloatArray], FloatArray]

# The baseline that every method is compared with, and what the lineage's networks start from.
SPLINE = "spline"
# Long recordings pass a network in pieces, so that memory is bounded; what a piece gets beyond
# its ends and throws away is one of the patches that the networks are trained on.
PIECE_SAMPLES, MARGIN_SAMPLES = 1 << 18, 1 << 13


@dataclass(frozen=True)
class Method:
    """A way up from ``sample_rate / scale`` to ``sample_rate``, found by :func:`open_method`.

    ``identity`` tells two methods of one name apart: the SHA-256 of the weights' file, or for a
    baseline the version of overtone. ``takes_low`` says that it hears the channels it is given as
    one recording at the low rate, so unrelated patches must be given one by one.
    """

    name: str
    identity: str
    takes_low: bool
    run: Run

    def upsample(self, low: FloatArray, base: FloatArray) -> FloatArray:
        """One recording at the full rate, ``[channels, samples]``.

        ``low`` is ``[channels, ceil(samples / scale)]``, ``base`` its cubic spline at the full
        rate, ``[channels, samples]``.
        """
        return self.run(low)[:, : base.shape[1]] if self.takes_low else self.run(base)


def find_method(name: str, sample_rate: int, scale: int) -> Method:
    """The method of that name, for recordings at ``sample_rate`` (Hz) from a ``scale``-th of it.

    Raises as :func:`open_method` and what that returns.
    """
    return open_method(name)(sample_rate, scale)


def open_method(name: str) -> Callable[[int, int], Method]:
    """Load what ``name`` stands for; the result, given a full rate and a scale, is the method.

    ``name`` is a baseline (``spline``, ``soxr``, ``copy-up``), a shipped model, an ``.onnx`` file,
    or a checkpoint folder of a lineage network that ``overtone train`` wrote. What is returned
    raises :class:`~overtone.errors.InvalidInputError` for a network made for another rate or scale.

    Raises:
        ModelError: nothing of that name, or a file that is no model.
        ConfigError: a folder that is no checkpoint, or a damaged one.
        InvalidInputError: a checkpoint of another kind of network.
        MissingExtraError: a checkpoint, and torch is not installed.
    """
    if name == SPLINE:
        spline = Method(SPLINE, f"overtone {__version__}", False, lambda base: base)
        return lambda *_: spline
    if name in BASELINES:
        return _from_low(name)
    try:
        path = model_path(name)
    except ModelError as error:
        if Path(name).is_dir():
            return _checkpoint(Path(name))
        raise ModelError(
            f"no method {name!r}: give a baseline ({', '.join(BASELINES)}), a name that"
            " 'overtone models' lists, an .onnx file, or a folder that 'overtone train' wrote"
        ) from error
    model: Any = load_model(name, device="cpu")  # what `run` takes depends on its kind
    if model.info.kind != "waveform":
        return _from_low(name)
    made_for = model.info.sample_rate, model.info.scale
    return _network(model.info.name, sha256_of(path), made_for, model.run)


def _from_low(name: str) -> Callable[[int, int], Method]:
    system = find_system(name)

    def fit(sample_rate: int, scale: int) -> Method:
        rate_in = sample_rate / scale
        return Method(
            system.name,
            system.identity,
            True,
            lambda low: system.upsample(low, rate_in, sample_rate),
        )

    return fit


def _checkpoint(folder: Path) -> Callable[[int, int], Method]:
    try:
        import torch

        from overtone.training.checkpoint import load_model as load_checkpoint
    except ModuleNotFoundError as error:
        raise MissingExtraError("running a checkpoint", "train") from error
    module, recipe, _ = load_checkpoint(folder)
    config: Any = recipe.model
    if not hasattr(config, "scale"):
        raise InvalidInputError(
            f"{folder}: not a network of the lineage; export it with 'overtone export {folder} -o"
            " X.onnx' and give that file"
        )

    def run(base: FloatArray) -> FloatArray:
        with torch.inference_mode():
            high: FloatArray = module(torch.tensor(base)).numpy()
        return high

    # A run keeps several checkpoints, which one recipe made.
    own = folder.resolve().name
    name = recipe.name if own == recipe.name else f"{recipe.name}/{own}"
    identity = sha256_of(folder / "model.safetensors")
    return _network(name, identity, (config.sample_rate, config.scale), run)


def _network(
    name: str, identity: str, made_for: tuple[int, int], run: Run
) -> Callable[[int, int], Method]:
    def fit(sample_rate: int, scale: int) -> Method:
        _check_fit(name, made_for, (sample_rate, scale))
        return Method(name, identity, False, partial(in_pieces, run))

    return fit


def _check_fit(name: str, made_for: tuple[int, int], wanted: tuple[int, int]) -> None:
    if made_for != wanted:
        texts = [f"{rate} Hz from {rate / scale:g} Hz" for rate, scale in (made_for, wanted)]
        raise InvalidInputError(
            f"{name}: made for {texts[0]}, not for {texts[1]}; take another model, or recordings"
            f" at rate {made_for[0]} with scale {made_for[1]}"
        )


def in_pieces(run: Run, base: FloatArray) -> FloatArray:
    """``run(base)`` for ``[channels, samples]`` of any length, in bounded memory."""
    samples = base.shape[1]
    if samples <= PIECE_SAMPLES + MARGIN_SAMPLES:
        return run(base)
    out = np.empty(base.shape, np.float32)
    for start in range(0, samples, PIECE_SAMPLES):
        stop = min(start + PIECE_SAMPLES, samples)
        first, last = max(0, start - MARGIN_SAMPLES), min(samples, stop + MARGIN_SAMPLES)
        out[:, start:stop] = run(base[:, first:last])[:, start - first : stop - first]
    return out
