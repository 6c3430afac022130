"""Time a training step of the lineage's networks: forward, loss, backward, for each patch.

    python tools/measure_step.py
    python tools/measure_step.py --network audiounet --filters 16 32 64 64 --batch 16

"plain" is how the papers' programs are written: channels before time, one-dimensional convolutions,
the modulation's tensors copied into blocks and back. "channels last" is overtone's own layout.
Core-seconds of the process are counted, so that what else the machine does matters little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overtone.models import tfilm
from overtone.models.audiounet import AudioUNet, AudioUNetConfig
from overtone.models.tfilm import TFiLMConfig, TFiLMUNet
from overtone.models.unet import TimeConv

SAMPLES = 8192


def plain_convolution(self: TimeConv, x: Tensor) -> Tensor:
    """``TimeConv`` on contiguous ``[batch, channels, time]``."""
    y = F.conv1d(
        x.transpose(1, 2).contiguous(),
        self.weight,
        self.bias,
        stride=self.stride,
        padding=self.padding,
        dilation=self.dilation,
    )
    return y.transpose(1, 2).contiguous()


def plain_modulation(x: Tensor, factors: Tensor) -> Tensor:
    """Blocks by repeating the factors along time."""
    return x * factors.repeat_interleave(x.shape[1] // factors.shape[1], dim=1)


@contextmanager
def layout(name: str) -> Iterator[None]:
    """Run what is inside in the named layout."""
    if name == "channels last":
        yield
        return
    with (
        patch.object(TimeConv, "forward", plain_convolution),
        patch.object(tfilm, "modulate", plain_modulation),
    ):
        yield


def step_seconds(
    model: nn.Module, run: Callable[[Tensor], Tensor], batch: int, *, bfloat16: bool, steps: int
) -> tuple[float, float]:
    """Core-seconds of the first step, compilation included, and of the quickest one after it."""
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(batch, SAMPLES, generator=generator) * 0.05
    seconds = []
    for _ in range(steps + 1):
        model.zero_grad(set_to_none=True)
        begun = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            high = run(low)
        (high.float() - low).square().mean().backward()
        seconds.append(time.process_time() - begun)
    return seconds[0], min(seconds[1:])


def main() -> None:
    """Print a row for each layout, number format and way to run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--network", choices=["tfilm", "audiounet"], default="tfilm")
    parser.add_argument("--filters", type=int, nargs=4, default=[128, 256, 512, 512])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    options = parser.parse_args()
    torch.set_num_threads(1)
    filters = tuple(options.filters)
    model: nn.Module = (
        TFiLMUNet(TFiLMConfig(filters=filters))
        if options.network == "tfilm"
        else AudioUNet(AudioUNetConfig(filters=filters))
    )
    print(f"{options.network}, filters {filters}, batch {options.batch}, one thread")
    print("| layout | format | run | core-s a patch | first step, core-s |")
    print("|---|---|---|---:|---:|")
    ways = [("plain", False), ("channels last", False)]
    ways += [("channels last", True)] if options.compile else []
    for name, compiled in ways:
        for bfloat16 in (False, True):
            with layout(name):
                torch.compiler.reset()
                run = torch.compile(model) if compiled else model
                first, best = step_seconds(
                    model, run, options.batch, bfloat16=bfloat16, steps=options.steps
                )
            row = [
                name,
                "bfloat16" if bfloat16 else "float32",
                "compiled" if compiled else "eager",
                f"{best / options.batch:.2f}",
                f"{first:.0f}",
            ]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
