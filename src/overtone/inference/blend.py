"""Two models as one: the natural one, and the faithful one that takes over as fidelity rises.

Texture that is made cannot also be the recording's own waveform. So a model that makes it names a
companion that predicts the waveform, and fidelity says how much of the residual is whose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone.errors import ModelError
from overtone.inference.family import Model, ResidualStream
from overtone.inference.spectral import FrameModel

FloatArray = NDArray[np.float32]


class BlendedModel(Model):
    """``(1 - fidelity)`` of the natural model's residual and ``fidelity`` of the faithful one's.

    Raises:
        ModelError: the models run at different rates, or are not of frames.
    """

    def __init__(self, natural: Model, faithful: Model, fidelity: float) -> None:
        if not isinstance(natural, FrameModel) or not isinstance(faithful, FrameModel):
            raise ModelError(f"{natural.path}: its companion {faithful.path} does not fit it")
        a, b = natural.info, faithful.info
        if a.sample_rate != b.sample_rate:
            raise ModelError(
                f"{faithful.path}: runs at {b.sample_rate} Hz, its companion at {a.sample_rate}"
            )
        self.path, self._parts = natural.path, ((natural, 1 - fidelity), (faithful, fidelity))
        # As late as the later one.
        late = -(-(b.latency_samples - a.window_samples) // a.hop_samples)
        self.info = a.model_copy(
            update={"lookahead_frames": max(a.lookahead_frames, late), "has_fidelity": True}
        )

    def residual_stream(
        self, channels: int, gain: float, conditions: Mapping[str, float], **options: Any
    ) -> BlendedResidual:
        """Start both streams, the faithful one at its most faithful."""
        return BlendedResidual(
            [
                (
                    model.residual_stream(
                        channels, gain, {**conditions, "fidelity": 1.0}, **options
                    ),
                    w,
                )
                for model, w in self._parts
                if w
            ],
            channels,
        )


class BlendedResidual:
    """A weighted sum of residual streams, as far as all are known."""

    def __init__(self, parts: list[tuple[ResidualStream, float]], channels: int) -> None:
        self._parts = parts
        self._held = [np.zeros((channels, 0), np.float32) for _ in parts]

    def push(self, block: FloatArray) -> FloatArray:
        """Return what of the residual is known after ``block [channels, n]``."""
        return self._sum([stream.push(block) for stream, _ in self._parts])

    def flush(self) -> FloatArray:
        """Return the rest; the stream is over."""
        return self._sum([stream.flush() for stream, _ in self._parts])

    def _sum(self, new: list[FloatArray]) -> FloatArray:
        held = [np.concatenate(pair, axis=1) for pair in zip(self._held, new, strict=True)]
        known = min(part.shape[1] for part in held)
        self._held = [part[:, known:] for part in held]
        weighted = (
            np.float32(weight) * part[:, :known]
            for (_, weight), part in zip(self._parts, held, strict=True)
        )
        return np.asarray(sum(weighted), np.float32)
