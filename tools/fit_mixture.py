"""Give a source-filter checkpoint the mixture of another, by least squares in place of training.

    python tools/fit_mixture.py CHECKPOINT LIKE OUT --data-root FOLDER --cache FOLDER

While the envelope alone is learned, what lies below the heads changes, and the mixture drifts with
it. Its head is linear: on training crops it is fitted to the logarithms of LIKE's shares, and the
last tenth of the crops says how well.

``--smooth TIMES`` smooths it over neighbouring bands: mixtures that were learned while logarithms
of shares were interpolated between bands differ too much from one to the next. ``--pulses LOW MID
HIGH`` gives pulses so many dB more against the noises: up to 4 kHz, from 8 to 11, and from 13.
``--envelope LOW HIGH`` makes all of it so many dB louder, up to 4 kHz and from 8.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from overtone.models.source_filter import SourceFilterExtender
from overtone.models.stft import frames
from overtone.training.checkpoint import load_model, save_weights
from overtone.training.families import make_task
from overtone.training.source_filter import SourceFilterTask, network_input
from overtone.training.world import World

BATCHES, BATCH = 40, 12
# Steps so far are not what training was drawn by.
FIRST_STEP = 10_000_000
# The first frames know no past; neighbours say nearly the same.
SKIPPED_FRAMES, EACH_FRAMES = 20, 2
RIDGE = 1e-3
# Of power, which shares are of.
DB_PER_NEPER = 10 / math.log(10)
# Pulses are raised by LOW up to the first of these, by MID between the next, by HIGH from the last.
RAISED_HZ = (4000.0, 8000.0, 11000.0, 13000.0)
LOUDER_HZ = (4000.0, 8000.0)


def centred(mixture: Tensor, model: SourceFilterExtender) -> Tensor:
    """Return logits ``[..., excitations * bands]`` whose mean over excitations is 0."""
    shaped: Tensor = mixture.unflatten(-1, (len(model.config.excitations), model.bands))
    return (shaped - shaped.mean(-2, keepdim=True)).flatten(-2)


def recorded(module: nn.Module) -> list[Tensor]:
    """Return a list that the module's outputs are added to, as ``[rows, features]``."""
    rows: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        rows.append(output[:, SKIPPED_FRAMES::EACH_FRAMES].flatten(0, 1).double())

    module.register_forward_hook(keep)
    return rows


def fit(features: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight ``[outputs, inputs]`` and bias of the linear map, by ridge regression."""
    centre, level = features.mean(0), wanted.mean(0)
    inputs, outputs = features - centre, wanted - level
    square = inputs.T @ inputs
    ridge = RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    weight = torch.linalg.solve(square + ridge, inputs.T @ outputs).T
    return weight, level - weight @ centre


def smoothed(head: Tensor, bands: int) -> Tensor:
    """Return ``[excitations * bands, ...]``, each band half itself and half its neighbours."""
    by_band: Tensor = head.unflatten(0, (-1, bands))
    below = torch.cat([by_band[:, :1], by_band[:, :-1]], 1)
    above = torch.cat([by_band[:, 1:], by_band[:, -1:]], 1)
    return (0.5 * by_band + 0.25 * (below + above)).flatten(0, 1)


def main() -> None:
    """Fit, and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("checkpoint", "like", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--data-root", type=Path, default=Path())
    parser.add_argument("--cache", type=Path, required=True, help="as overtone train's")
    parser.add_argument(
        "--pulses", type=float, nargs=3, default=(0.0, 0.0, 0.0), metavar=("LOW", "MID", "HIGH")
    )
    parser.add_argument(
        "--envelope", type=float, nargs=2, default=(0.0, 0.0), metavar=("LOW", "HIGH")
    )
    parser.add_argument("--smooth", type=int, default=0, metavar="TIMES")
    parser.add_argument("--batches", type=int, default=BATCHES)
    arguments = parser.parse_args()
    new, recipe, progress = load_model(arguments.checkpoint)
    old = load_model(arguments.like)[0]
    if not isinstance(new, SourceFilterExtender):
        parser.error(f"{arguments.checkpoint}: not a source-filter extender")
    if not isinstance(old, SourceFilterExtender) or old.config != new.config:
        parser.error(f"{arguments.like}: not of the same shape as {arguments.checkpoint}")
    task = make_task(
        recipe,
        arguments.data_root,
        cache=arguments.cache,
        device=torch.device("cpu"),
        compile_model=False,
        world=World(),
        log=print,
    )
    assert isinstance(task, SourceFilterTask)
    c = new.config
    inputs, outputs = recorded(new.norm), recorded(old.mixture)
    with torch.no_grad():
        for n in range(arguments.batches):
            batch = task.sampler.batch(FIRST_STEP + n, range(BATCH))
            spectrum = frames(torch.from_numpy(batch.low), c.window_samples, c.hop_samples)
            cutoff_hz = torch.from_numpy(batch.cutoff_hz)
            relative, _ = network_input(spectrum, cutoff_hz, c)
            for model in (new, old):
                model.eval()(relative, cutoff_hz, *model.initial_state(BATCH))
    features, wanted = torch.cat(inputs), centred(torch.cat(outputs), old)
    train = int(0.9 * len(features))
    weight, bias = fit(features[:train], wanted[:train])
    error = features[train:] @ weight.T + bias - wanted[train:]
    spread = wanted[train:] - wanted[train:].mean(0)
    print(f"R2 {1 - error.square().sum() / spread.square().sum():.3f} on the last tenth")
    for _ in range(arguments.smooth):
        weight, bias = (smoothed(head, new.bands) for head in (weight, bias))
    low_db, mid_db, high_db = arguments.pulses
    raised_db = np.interp(c.band_centres_hz, RAISED_HZ, (low_db, mid_db, mid_db, high_db))
    first = c.excitations.index("pulses") * new.bands
    bias[first : first + new.bands] += torch.from_numpy(raised_db / DB_PER_NEPER)
    weights = new.state_dict()
    weights |= {"mixture.weight": weight.float(), "mixture.bias": bias.float()}
    louder_db = np.interp(np.log2(c.band_centres_hz), np.log2(LOUDER_HZ), arguments.envelope)
    # Shares are of power, the envelope is of amplitudes.
    weights["envelope.bias"] += torch.from_numpy(louder_db / (2 * DB_PER_NEPER))
    save_weights(arguments.out, recipe, weights, progress)


if __name__ == "__main__":
    main()
