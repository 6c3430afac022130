"""Give a source-filter checkpoint the mixture of another, by least squares in place of training.

    python tools/fit_mixture.py CHECKPOINT LIKE OUT --data-root FOLDER --cache FOLDER

While the envelope alone is learned, what lies below the heads changes, and the mixture drifts with
it. Its head is linear: on training crops it is fitted to the logarithms of LIKE's shares, and the
last tenth of the crops says how well.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from overtone.data.corpora import SampleStore
from overtone.data.crops import CropSampler
from overtone.models.source_filter import SourceFilterExtender
from overtone.models.stft import frames, power
from overtone.training.checkpoint import load_model, save_weights
from overtone.training.excitation import running_level
from overtone.training.source_filter import SourceFilterRecipe

BATCHES, BATCH = 40, 12
# Steps so far are not what training was drawn by.
FIRST_STEP = 10_000_000
# The first frames know no past; neighbours say nearly the same.
SKIPPED_FRAMES, EACH_FRAMES = 20, 2
RIDGE = 1e-3


def centred(mixture: Tensor, model: SourceFilterExtender) -> Tensor:
    """Return logits ``[..., excitations * bands]`` whose mean over excitations is 0."""
    shaped = mixture.unflatten(-1, (len(model.config.excitations), model.bands))
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


def main() -> None:
    """Fit, and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("checkpoint", "like", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--data-root", type=Path, default=Path())
    parser.add_argument("--cache", type=Path, required=True, help="as overtone train's")
    parser.add_argument("--batches", type=int, default=BATCHES)
    arguments = parser.parse_args()
    new, recipe, progress = load_model(arguments.checkpoint)
    old = load_model(arguments.like)[0]
    if not (isinstance(recipe, SourceFilterRecipe) and isinstance(new, SourceFilterExtender)):
        parser.error(f"{arguments.checkpoint}: not a source-filter extender")
    if not isinstance(old, SourceFilterExtender) or old.config != new.config:
        parser.error(f"{arguments.like}: not of the same shape as {arguments.checkpoint}")
    c = recipe.model
    store = SampleStore.build(arguments.cache, recipe.corpora, arguments.data_root, c.sample_rate)
    crop_samples = c.window_samples + (recipe.optimiser.crop_frames - 1) * c.hop_samples
    sampler = CropSampler(
        store,
        recipe.corpora,
        recipe.degrade,
        sample_rate=c.sample_rate,
        crop_samples=crop_samples,
        seed=recipe.seed,
    )
    inputs, outputs = recorded(new.norm), recorded(old.mixture)
    with torch.no_grad():
        for n in range(arguments.batches):
            batch = sampler.batch(FIRST_STEP + n, range(BATCH))
            spectrum = frames(torch.from_numpy(batch.low), c.window_samples, c.hop_samples)
            cutoff_hz = torch.from_numpy(batch.cutoff_hz)
            level = running_level(spectrum, cutoff_hz, c)
            relative = power(spectrum[..., : c.visible_bins]) / level[..., None]
            ahead = F.pad(relative, (0, 0, 0, c.lookahead_frames))
            for model in (new, old):
                model.eval()(ahead, cutoff_hz, *model.initial_state(BATCH))
    features, wanted = torch.cat(inputs), centred(torch.cat(outputs), old)
    train = int(0.9 * len(features))
    weight, bias = fit(features[:train], wanted[:train])
    error = features[train:] @ weight.T + bias - wanted[train:]
    spread = wanted[train:] - wanted[train:].mean(0)
    print(f"R2 {1 - error.square().sum() / spread.square().sum():.3f} on the last tenth")
    mixture = {"mixture.weight": weight.float(), "mixture.bias": bias.float()}
    save_weights(arguments.out, recipe, new.state_dict() | mixture, progress)


if __name__ == "__main__":
    main()
