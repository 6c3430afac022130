"""What each level of a network of the AudioUNet family is good for, by taking levels away.

    python tools/levels.py src/overtone/pretrained/tfilm-speech-x4.onnx --archive archives/X.h5

A level is the part of the network that sees time shortened as often; 0 is the outermost. Where the
convolution that leads into a level gives zeros, that level and all below it are silent. The table
says how much of what the network adds changes then, as a part of its energy, and what is left of
the gain over the spline.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from overtone.data.archive import PatchArchive
from overtone.metrics import kuleshov_lsd, kuleshov_snr_db

Patches = NDArray[np.float32]


def without_levels(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """The network without levels 0 and below, without 1 and below, ..., without the bottleneck."""
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    # As many up as down; the last makes the samples, and the one in the middle is the bottleneck.
    levels = (len(convolutions) - 2) // 2
    made_by = {name: node for node in model.graph.node for name in node.output}
    stored = {tensor.name for tensor in model.graph.initializer}
    for convolution in convolutions[: levels + 1]:
        silent = onnx.ModelProto()
        silent.CopyFrom(model)
        zeroed = set()
        for name in convolution.input[1:]:
            while name not in stored:  # weights may be cast and reshaped first
                name = made_by[name].input[0]
            zeroed.add(name)
        for tensor in silent.graph.initializer:
            if tensor.name in zeroed:
                zeros = np.zeros_like(numpy_helper.to_array(tensor))
                tensor.CopyFrom(numpy_helper.from_array(zeros, tensor.name))
        yield silent


def run(model: onnx.ModelProto, low: Patches) -> Patches:
    """The network's output for ``low [patches, samples]``, patch by patch."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run(None, {"low": patch[None]})[0] for patch in low])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--patches", type=int, default=100, help="so many, evenly spread")
    arguments = parser.parse_args()
    model = onnx.load(arguments.model)
    with PatchArchive(arguments.archive) as archive:
        chosen = np.linspace(0, len(archive) - 1, arguments.patches).astype(int)
        pairs = [archive[int(index)] for index in chosen]
    low, high = (np.stack(side) for side in zip(*pairs, strict=True))

    whole = run(model, low)
    names = ["nothing", "all levels"]
    parts = list(without_levels(model))
    names += [f"level {level} and below" for level in range(1, len(parts) - 1)]
    names += ["the bottleneck"]
    print("| without | of what is added changes | SNR dB, gain | LSD, gain |")
    print("|---|---:|---:|---:|")
    for name, output in zip(names, [whole, *(run(part, low) for part in parts)], strict=True):
        changed = np.square(output - whole).sum() / np.square(whole - low).sum()
        snr_db, lsd = gains(high, low, output)
        print(f"| {name} | {100 * changed:.1f} % | {snr_db:+.2f} | {lsd:+.2f} |")


def gains(high: Patches, low: Patches, output: Patches) -> tuple[float, float]:
    """The means over patches of Kuleshov's SNR and LSD, less those of the spline."""
    scores = [
        [score(y, x) - score(y, z) for score in (kuleshov_snr_db, kuleshov_lsd)]
        for y, x, z in zip(high, output, low, strict=True)
    ]
    snr_db, lsd = np.nanmean(np.array(scores), axis=0)
    return float(snr_db), float(lsd)


if __name__ == "__main__":
    main()
