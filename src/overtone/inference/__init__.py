"""Enhancing arrays, files and folders with a model, on onnxruntime and numpy alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overtone.inference.enhancer import Enhancer, enhance
    from overtone.inference.family import Model, ModelInfo
    from overtone.inference.jobs import Outcome, enhance_files
    from overtone.inference.model import list_models, load_model
    from overtone.inference.reports import Enhanced, EnhanceReport
    from overtone.inference.speaking import stream_tts
    from overtone.inference.streaming import StreamEnhancer

__all__ = [
    "EnhanceReport",
    "Enhanced",
    "Enhancer",
    "Model",
    "ModelInfo",
    "Outcome",
    "StreamEnhancer",
    "enhance",
    "enhance_files",
    "list_models",
    "load_model",
    "stream_tts",
]

_MODULES = {
    "enhancer": ("Enhancer", "enhance"),
    "family": ("Model", "ModelInfo"),
    "jobs": ("Outcome", "enhance_files"),
    "model": ("list_models", "load_model"),
    "reports": ("EnhanceReport", "Enhanced"),
    "speaking": ("stream_tts",),
    "streaming": ("StreamEnhancer",),
}


def __getattr__(name: str) -> Any:
    """Import the public names when first used: who shares out files loads no model."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
