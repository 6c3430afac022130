"""Enhancing arrays, files and folders with a model, on onnxruntime and numpy alone."""

from overtone.inference.enhancer import Enhancer, FileReport, enhance
from overtone.inference.info import ModelInfo
from overtone.inference.live import StreamEnhancer
from overtone.inference.model import Model, list_models, load_model

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
