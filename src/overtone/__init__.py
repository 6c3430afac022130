"""overtone: audio super-resolution that keeps the given band and predicts what lies above it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# overtone calls nobody. onnxruntime from 1.32 on would, when imported: it writes a device id and a
# database of events under the user's cache folder, and reports them to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

__all__ = [
    "Enhancer",
    "StreamEnhancer",
    "__version__",
    "enhance",
    "enhance_files",
    "list_models",
    "load_model",
    "stream_tts",
]

# For users' type checkers and editors: at run time the names are looked up below.
if TYPE_CHECKING:
    from overtone.inference import (
        Enhancer,
        StreamEnhancer,
        enhance,
        enhance_files,
        list_models,
        load_model,
        stream_tts,
    )


def __getattr__(name: str) -> Any:
    """Import the public names when first used, so that ``import overtone`` costs nothing."""
    if name in __all__:
        import overtone.inference

        return getattr(overtone.inference, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
