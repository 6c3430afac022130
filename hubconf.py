"""Models for ``torch.hub.load("OWNER/overtone", NAME)``; they run on onnxruntime all the same."""

import sys
from pathlib import Path
from typing import Any

dependencies = ["numpy", "onnxruntime", "pydantic", "soundfile", "soxr"]

# torch.hub takes the repository as it is; the package lies below src.
sys.path.insert(0, str(Path(__file__).parent / "src"))


def speech(**options: Any) -> Any:
    """Return an ``overtone.Enhancer`` of the speech model; ``options`` are the enhancer's."""
    from overtone import Enhancer

    return Enhancer("speech", **options)


def music(**options: Any) -> Any:
    """Return an ``overtone.Enhancer`` of the music model; ``options`` are the enhancer's."""
    from overtone import Enhancer

    return Enhancer("music", **options)
