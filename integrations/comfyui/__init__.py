"""overtone as a ComfyUI node: this folder, copied or linked into ``ComfyUI/custom_nodes``.

ComfyUI prints what goes wrong while a node pack is imported; each cause has one line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

try:
    import torch
    from comfy.model_management import throw_exception_if_processing_interrupted
    from comfy.utils import ProgressBar
except ImportError as error:
    raise ImportError(
        f"the overtone node runs inside ComfyUI, which brings torch ({error})"
    ) from None
try:
    from overtone import Enhancer, StreamEnhancer, list_models
except ImportError as error:
    raise ImportError(
        f"overtone is not in ComfyUI's Python: python -m pip install overtone ({error})"
    ) from None

BLOCK_S = 1.0


class OvertoneEnhance:
    """Extend AUDIO, ``{"waveform": tensor [batch, channels, samples], "sample_rate": int}``.

    Each recording of a batch is analysed by itself, then enhanced in blocks of a second, between
    which the bar moves and ComfyUI may interrupt.
    """

    CATEGORY = "audio"
    DESCRIPTION = "Audio super-resolution: restores missing high frequencies, keeps what is there."
    FUNCTION = "enhance"
    RETURN_TYPES = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Return the node's inputs, as ComfyUI asks for them."""
        models = ["auto", *(info.name for info in list_models())]
        cutoff = {"default": 0.0, "min": 0.0, "max": 24.0, "step": 0.1}
        strength = {"default": 0.0, "min": -24.0, "max": 12.0, "step": 0.5}
        return {
            "required": {"audio": ("AUDIO",)},
            "optional": {
                "model": (models, {"tooltip": "auto: music for music, speech for all else"}),
                "cutoff_khz": ("FLOAT", cutoff | {"tooltip": "Where the band ends; 0 finds it"}),
                "strength_db": ("FLOAT", strength | {"tooltip": "How loud the new band is"}),
            },
        }

    def enhance(
        self,
        audio: dict[str, Any],
        model: str = "auto",
        cutoff_khz: float = 0.0,
        strength_db: float = 0.0,
    ) -> tuple[dict[str, Any]]:
        """Return the enhanced audio, at 44.1 or 48 kHz, or its own rate if that is higher."""
        enhancer = Enhancer(model, strength_db=strength_db)
        batch, rate = audio["waveform"].detach().cpu().float().numpy(), int(audio["sample_rate"])
        bar = ProgressBar(batch.shape[0] * batch.shape[2])

        def blocks(samples: Any) -> Iterator[Any]:
            step = round(BLOCK_S * rate)
            for start in range(0, samples.shape[1], step):
                throw_exception_if_processing_interrupted()
                yield samples[:, start : start + step]

        done = []
        for samples in batch:
            plan = enhancer.plan(blocks(samples), rate, cutoff_hz=1000 * cutoff_khz or None)
            stream = StreamEnhancer(rate, len(samples), plan=plan, enhancer=enhancer)
            parts = []
            for block in blocks(samples):
                parts.append(torch.from_numpy(stream.push(block)))
                bar.update(block.shape[1])
            done.append(torch.cat([*parts, torch.from_numpy(stream.flush())], 1))
        return ({"waveform": torch.stack(done), "sample_rate": stream.output_rate},)


NODE_CLASS_MAPPINGS = {"OvertoneEnhance": OvertoneEnhance}
NODE_DISPLAY_NAME_MAPPINGS = {"OvertoneEnhance": "overtone: audio super-resolution"}
