"""Bring the deep levels of a trained TFiLM network to work, where rectifiers have cut them off.

    python tools/wake_levels.py CHECKPOINT OUT --data-root archives

SNR does not need the levels below the outer two: their recurrences know what came before. So
channels of the outermost way up that they lead into die, and what lies below learns nothing more.
Here the deep levels begin anew, at a gain that keeps steps of an optimiser from drowning them; they
lead into the dead channels alone, and are trained alone, with more weight on the spectrum: what the
outer levels do stays as it is. Then train all of them:

    overtone train RECIPE --data-root archives --warm-start OUT

``tools/levels.py`` shows what each level is good for.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from overtone.data.archive import PatchArchive
from overtone.models.tfilm import TFiLM, TFiLMUNet
from overtone.models.unet import TimeConv
from overtone.training.checkpoint import load_model, save_weights
from overtone.training.losses import PatchLossConfig, patch_losses
from overtone.training.waveform import WaveformRecipe, open_archive

OUTER_LEVELS = 2
GAIN = 16.0
PROBED_PATCHES, BATCH, LEARNING_RATE = 48, 8, 1e-3
# The weight of the spectrum; and the share of examples that do without a deep skip connection,
# so that what lies below it is heard.
LOG_SPECTRUM, DROPPED = 0.1, 0.3
# What dead channels get from below, against torch's own start; and what the last convolution of
# them, so that the network is nearly what it was.
LOUDER, LAST_STD = 3.0, 0.01
LSTM = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def outermost(network: TFiLMUNet) -> tuple[TimeConv, TFiLM]:
    """Return the last convolution on the way up, and its modulation."""
    up, modulation = network.up[-1], network.after_shuffle[-1]
    assert isinstance(up, TimeConv)
    assert isinstance(modulation, TFiLM)
    return up, modulation


@torch.no_grad()
def dead_channels(network: TFiLMUNet, low: Tensor) -> tuple[Tensor, Tensor]:
    """Return which channels of the outermost way up never pass, and the mean of its factors."""
    alive, factors = [], []
    up, modulation = outermost(network)
    hooks = [
        up.register_forward_hook(lambda _m, _i, out: alive.append(out > 0)),
        modulation.register_forward_hook(
            lambda _m, seen, _out: factors.append(modulation.factors(seen[0]))
        ),
    ]
    for patch in low:
        network(patch[None])
    for hook in hooks:
        hook.remove()
    passing = torch.cat(alive).any(0).any(0).unflatten(0, (network.config.stride, -1)).any(0)
    return ~passing, torch.cat(factors).mean((0, 1))


@torch.no_grad()
def graft(network: TFiLMUNet, fresh: TFiLMUNet, dead: Tensor, factors: Tensor) -> None:
    """Begin the deep levels anew; they lead into the ``dead`` channels, and nothing else does."""
    new = fresh.state_dict()
    for name, parameter in network.named_parameters():
        if deep(name, network):
            parameter.copy_(new[name])
    rows = dead.repeat(network.config.stride)
    (up, modulation), last, top = outermost(network), network.last, len(network.up) - 1
    below = network.config.filters[1]
    up.weight[:, :below] = 0
    up.weight[rows, :below] = LOUDER * new[f"up.{top}.weight"][rows, :below]
    up.weight[rows, below:] = 0
    up.bias[rows] = 0
    last.weight[:, : len(dead)][:, dead] = LAST_STD * torch.randn_like(
        last.weight[:, : len(dead)][:, dead]
    )
    # The recurrence of living channels keeps what it had of the dead, as a constant.
    lstm, gates = dict(modulation.lstm.named_parameters()), dead.repeat(4)
    heard = lstm["weight_hh_l0"] @ (factors * dead)
    lstm["bias_hh_l0"][~gates] += heard[~gates]
    for name in LSTM:
        weight = lstm[name]
        weight[gates] = new[f"after_shuffle.{top}.lstm.{name}"][gates]
        if weight.ndim == 2:
            weight[(~gates).nonzero(), dead.nonzero()[:, 0]] = 0


@torch.no_grad()
def amplify(network: TFiLMUNet, factor: float) -> None:
    """Make the network the same for a ``gain`` that is ``factor`` times as much."""
    for name, parameter in network.named_parameters():
        if "lstm.weight_ih" in name:
            parameter.div_(factor)
        elif name.endswith(".bias"):
            parameter.mul_(factor)


def deep(name: str, network: TFiLMUNet) -> bool:
    """Whether a parameter belongs to the levels below the outer ones."""
    part, _, rest = name.partition(".")
    at, levels = rest.partition(".")[0], network.config.levels
    return (
        part == "bottleneck"
        or (part == "down" and int(at) >= OUTER_LEVELS)
        or (part in ("up", "after_shuffle") and int(at) < levels - 1)
    )


def freeze(network: TFiLMUNet, dead: Tensor) -> None:
    """Leave only the deep levels, and what ``dead`` channels make of them, to learn."""
    rows, gates = dead.repeat(network.config.stride).float(), dead.repeat(4).float()
    below = network.config.filters[1]
    up, modulation = outermost(network)
    columns = (torch.arange(up.weight.shape[1]) < below).float()
    of_last = torch.cat([dead.float(), torch.zeros(network.last.weight.shape[1] - len(dead))])
    masks = {
        up.weight: rows[:, None, None] * columns[:, None],
        up.bias: rows,
        network.last.weight: of_last[:, None],
        **{
            getattr(modulation.lstm, name): gates.view(-1, *[1] * name.startswith("weight"))
            for name in LSTM
        },
    }
    for name, parameter in network.named_parameters():
        if parameter in masks:
            parameter.register_hook(lambda gradient, mask=masks[parameter]: gradient * mask)
        elif not deep(name, network):
            parameter.requires_grad_(False)


def drop_deep_skips(network: TFiLMUNet) -> None:
    """Take deep skip connections from some examples while the network trains."""

    def drop(module: TimeConv, inputs: tuple[Tensor]) -> Tensor | None:
        (x,) = inputs
        if not module.training:
            return None
        below, skip = x.chunk(2, dim=2)
        kept = torch.rand(len(x), 1, 1) >= DROPPED
        return torch.cat([below, skip * kept], dim=2)

    for convolve in network.up[1 : network.config.levels - OUTER_LEVELS + 1]:
        convolve.register_forward_pre_hook(drop)


def batch(archive: PatchArchive, at: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the inputs and targets of these patches, ``[patches, samples]`` each."""
    pairs = [archive[int(index)] for index in at]
    low, high = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
    return low, high


def main() -> None:
    """Graft, train, and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-root", type=Path, default=Path())
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    network, recipe, _ = load_model(arguments.checkpoint)
    if not (isinstance(network, TFiLMUNet) and isinstance(recipe, WaveformRecipe)):
        parser.error(f"{arguments.checkpoint}: not a TFiLM network")
    if network.config.gain < GAIN:
        amplify(network, GAIN / network.config.gain)
        model = network.config.model_copy(update={"gain": GAIN})
        recipe = recipe.model_copy(update={"model": model})
        network.config = model
    archive = open_archive(arguments.data_root / recipe.archives.train, recipe)
    rng = np.random.default_rng(recipe.seed)
    torch.manual_seed(recipe.seed)
    dead, factors = dead_channels(
        network.eval(), batch(archive, rng.choice(len(archive), PROBED_PATCHES))[0]
    )
    print(f"{int(dead.sum())} of {len(dead)} channels of the outermost way up are dead")
    if not dead.any():
        parser.error(f"{arguments.checkpoint}: its levels are all heard, so leave it as it is")
    graft(network, TFiLMUNet(network.config), dead, factors)
    freeze(network, dead)
    drop_deep_skips(network.train())
    weights = PatchLossConfig(mse=0.0, snr=1.0, log_spectrum=LOG_SPECTRUM)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, arguments.steps)
    for step in range(arguments.steps):
        low, high = batch(archive, rng.choice(len(archive), BATCH))
        with torch.autocast("cpu", torch.bfloat16):
            estimate = network(low)
        terms = patch_losses(estimate.float(), high, weights)
        optimiser.zero_grad()
        terms["total"].backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        if step % 20 == 19:
            print(step + 1, *(f"{name} {term.item():.4f}" for name, term in terms.items()))
    save_weights(arguments.out, recipe, network.state_dict(), {"step": 0, "seconds": 0.0})


if __name__ == "__main__":
    main()
