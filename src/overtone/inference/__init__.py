"""Enhancing arrays, files and folders with a model, on onnxruntime and numpy alone."""

from overtone.inference.enhancer import Enhancer, FileReport, enhance
from overtone.inference.family import Model, ModelInfo
from overtone.inference.model import list_models, load_model
from overtone.inference.streaming import StreamEnhancer

__all__ = [
    "Enhancer",
    "FileReport",
    "Model",
    "ModelInfo",
    "StreamEnhancer",
    "enhance",
    "list_models",
    "load_model",
]
