"""Enhancing arrays, files and folders with a model, on onnxruntime and numpy alone."""

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
