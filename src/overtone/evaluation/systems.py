"""Systems that upsample: baselines, models and other people's checkpoints, behind one call.

A system brings a low recording to a higher rate. Baselines know nothing but the samples. A model is
run as on a user's file, and finds the cutoff itself; or, for the figures that the papers of the
AudioUNet family print, as the bare network, which gets the cubic spline at the full rate.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone import __version__
from overtone.errors import InvalidInputError, MissingExtraError, ModelError
from overtone.evaluation.baselines import BASELINES, soxr, upsample
from overtone.files import sha256_of
from overtone.inference.enhancer import Enhancer
from overtone.inference.model import load_model, model_path

FloatArray = NDArray[np.float32]

# The baseline that bare networks start from, and are compared with.
SPLINE = "spline"
# A model fits recordings that end within this ratio of the cutoffs it was trained for.
TOLERATED_RATIO = 1.25
# Rates that differ by less are near enough for a network: GTZAN's 22050 Hz, and the 22000 Hz of its
# published archives.
NEAR_RATE = 0.01
# Long recordings pass a bare network in pieces, so that memory is bounded; what a piece gets beyond
# its ends and throws away is one of the patches that the networks are trained on.
PIECE_SAMPLES, MARGIN_SAMPLES = 1 << 18, 1 << 13


def always(rate_in: float, rate_out: float) -> bool:
    """Say that a system fits whatever the rates."""
    del rate_in, rate_out
    return True


@dataclass(frozen=True)
class System:
    """A system: ``run(samples [channels, n], rate_in, rate_out) -> [channels, m]``.

    ``identity`` tells two systems of one name apart: the SHA-256 of a model's file, or for a
    baseline the version of overtone that holds it. Rates are in Hz; ``m`` is
    ``round(n * rate_out / rate_in)``. ``fits(rate_in, rate_out)`` says whether it is made for
    such recordings; it can be run on others. A bare network (``takes_spline``) gets the spline in
    place of the low samples, and runs only at the ``(rate, scale)`` that it is ``made_for``, or
    near it. It cannot tell: what it hears is then off in pitch by less than :data:`NEAR_RATE`. (To
    resample to its own rate and back is worse: the ends of patches ring.)
    """

    name: str
    identity: str
    run: Callable[[FloatArray, float, float], FloatArray]
    fits: Callable[[float, float], bool] = always
    takes_spline: bool = False
    made_for: tuple[int, int] | None = None

    def upsample(
        self, low: FloatArray, rate_in: float, rate_out: float, spline: FloatArray | None = None
    ) -> FloatArray:
        """Bring one recording to ``rate_out``; ``spline``, if known, is it at that rate."""
        if spline is None:
            if not self.takes_spline:
                return self.run(low, rate_in, rate_out)
            spline = upsample(SPLINE, low, rate_in, rate_out)
        if self.takes_spline:
            return self.run(spline, rate_in, rate_out)
        return self.run(low, rate_in, rate_out)[:, : spline.shape[1]]

    def note(self, rate: int) -> str:
        """Return what has to be said of a run at ``rate``: that it is not its own, or nothing."""
        if self.made_for is None or self.made_for[0] == rate:
            return ""
        return f"{self.name}: made for {self.made_for[0]} Hz, run at {rate} Hz as if it were that"

    def require(self, rate: int, scale: int) -> None:
        """Raise :class:`~overtone.errors.InvalidInputError` for a rate that it cannot run at."""
        if self.made_for is None:
            return
        made_rate, made_scale = self.made_for
        if scale != made_scale or abs(rate / made_rate - 1) > NEAR_RATE:
            raise InvalidInputError(
                f"{self.name}: made for {made_rate} Hz from {made_rate / made_scale:g} Hz, not for"
                f" {rate} Hz from {rate / scale:g} Hz; take another model, or recordings at rate"
                f" {made_rate} with scale {made_scale}"
            )


def find_system(name: str, *, threads: int | None = 1) -> System:
    """Return a baseline (``spline``, ``soxr``, ``copy-up``), a shipped model, or an ``.onnx`` file.

    A model's name may end in ``@`` and the fidelity it is asked for: ``speech@1``.

    Raises:
        ModelError: no baseline or model of that name.
        InvalidInputError: a fidelity out of range, or of a model that knows none.
    """
    if name in BASELINES:
        return System(
            name,
            f"overtone {__version__}",
            partial(upsample, name),
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
    """Return ``speech@0.5`` as ``speech``, ``@0.5`` and 0.5; no fidelity where none is said."""
    model, _, number = name.rpartition("@")
    try:
        fidelity = float(number)
    except ValueError:  # an @ of a file's own name, or none
        return name, "", None
    return (model, f"@{number}", fidelity) if model else (name, "", None)


def find_bare_system(name: str) -> System:
    """As :func:`find_system`, but waveform networks bare; also a checkpoint's folder of one.

    Raises:
        ModelError: nothing of that name, or a file that is no model.
        ConfigError: a folder that is no checkpoint, or a damaged one.
        InvalidInputError: a checkpoint of another kind of network.
        MissingExtraError: a checkpoint, and torch is not installed.
    """
    if name == SPLINE:
        identity = f"overtone {__version__}"
        return System(SPLINE, identity, lambda spline, *_: spline, takes_spline=True)
    if name in BASELINES:
        return find_system(name)
    try:
        path = model_path(name)
    except ModelError as error:
        if Path(name).is_dir():
            return _checkpoint(Path(name))
        raise ModelError(
            f"no system {name!r}: give a baseline ({', '.join(BASELINES)}), a name that"
            " 'overtone models' lists, an .onnx file, or a folder that 'overtone train' wrote"
        ) from error
    model: Any = load_model(name, device="cpu")  # what `run` takes depends on its kind
    if model.info.kind != "waveform":
        return find_system(name)
    made_for = model.info.sample_rate, model.info.scale
    return _bare(model.info.name, sha256_of(path), made_for, model.run)


def _checkpoint(folder: Path) -> System:
    try:
        import torch

        from overtone.training.checkpoint import load_model as load_checkpoint
    except ModuleNotFoundError as error:
        raise MissingExtraError("running a checkpoint", "train") from error
    module, recipe, _ = load_checkpoint(folder)
    config: Any = recipe.model
    if not hasattr(config, "scale"):
        raise InvalidInputError(
            f"{folder}: not a network that runs on patches; export it with 'overtone export"
            f" {folder} -o X.onnx' and give that file"
        )

    def run(spline: FloatArray) -> FloatArray:
        with torch.inference_mode():
            high: FloatArray = module(torch.tensor(spline)).numpy()
        return high

    # A run keeps several checkpoints, which one recipe made.
    own = folder.resolve().name
    name = recipe.name if own == recipe.name else f"{recipe.name}/{own}"
    identity = sha256_of(folder / "model.safetensors")
    return _bare(name, identity, (config.sample_rate, config.scale), run)


def _bare(
    name: str, identity: str, made_for: tuple[int, int], run: Callable[[FloatArray], FloatArray]
) -> System:
    return System(
        name,
        identity,
        lambda spline, *_: in_pieces(run, spline),
        takes_spline=True,
        made_for=made_for,
    )


def in_pieces(run: Callable[[FloatArray], FloatArray], samples: FloatArray) -> FloatArray:
    """Return ``run(samples)`` for ``[channels, samples]`` of any length, in bounded memory."""
    length = samples.shape[1]
    if length <= PIECE_SAMPLES + MARGIN_SAMPLES:
        return run(samples)
    out = np.empty(samples.shape, np.float32)
    for start in range(0, length, PIECE_SAMPLES):
        stop = min(start + PIECE_SAMPLES, length)
        first, last = max(0, start - MARGIN_SAMPLES), min(length, stop + MARGIN_SAMPLES)
        out[:, start:stop] = run(samples[:, first:last])[:, start - first : stop - first]
    return out


def find_systems(names: Sequence[str]) -> list[System]:
    """Return several systems, each once and under a name of its own.

    Raises:
        ModelError: no baseline or model of one of the names.
    """
    return distinct(find_system(name) for name in names)


def distinct(systems: Iterable[System]) -> list[System]:
    """Return each once, and under a name of its own: two of one name get their identity's head."""
    found = list({(one.name, one.identity): one for one in systems}.values())
    names = [one.name for one in found]
    return [
        replace(one, name=f"{one.name} {one.identity[:8]}") if names.count(one.name) > 1 else one
        for one in found
    ]
