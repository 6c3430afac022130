"""What ``overtone --version -v`` says: what to name when something goes wrong."""

from __future__ import annotations

import platform
import re
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path


def describe() -> Iterator[str]:
    """Yield a line each for the system, the packages, where models run, and where things lie."""
    import onnxruntime
    import soundfile

    from overtone.inference.model import PRETRAINED_FOLDER, list_models

    yield f"Python {platform.python_version()} on {platform.platform()}"
    needed = [one for one in metadata.requires("overtone") or [] if 'extra == "dev"' not in one]
    names = {re.split(r"[^\w.-]", one)[0] for one in needed} - {"overtone"}
    found = []
    for name in sorted(names, key=str.lower):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue  # of an extra that is not there
    yield ", ".join(found)
    yield f"libsndfile {soundfile.__libsndfile_version__}"
    yield f"onnxruntime computes on: {', '.join(onnxruntime.get_available_providers())}"
    yield f"models in {PRETRAINED_FOLDER}: {', '.join(info.name for info in list_models())}"
    yield f"temporary files in {tempfile.gettempdir()}"
    yield f"overtone in {Path(__file__).parents[1]}"
