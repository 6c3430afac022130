"""The families of models, each one line that names its part in every room.

To add one, write its network in ``models``, its recipe and task in ``training`` and its export in
``export``; its runtime in ``inference``, too, unless another family's reads its files; and a line
here. Parts are looked up when they are needed: what enhances a file imports no torch.
"""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, Literal

Part = Literal["runtime", "network", "recipe", "task", "write"]
ROOMS: dict[Part, str] = {
    "runtime": "inference",
    "network": "models",
    "recipe": "training",
    "task": "training",
    "write": "export",
}


@dataclass(frozen=True)
class ModelFamily:
    """What a family's model files call their kind, and its parts as ``module:name``."""

    kind: str
    runtime: str
    network: str
    recipe: str
    task: str
    write: str

    def load(self, part: Part) -> Any:
        """Return a part: a class, or ``write(network, info, path)``.

        Example:
            >>> FAMILIES["tfilm"].load("runtime").__name__
            'WaveformModel'
        """
        return resolve_name(f"overtone.{ROOMS[part]}.{getattr(self, part)}")


def _waveform(network: str, recipe: str) -> ModelFamily:
    runtime, task, write = "waveform:WaveformModel", "waveform:WaveformTask", "waveform:write"
    return ModelFamily("waveform", runtime, network, recipe, task, write)


FAMILIES: dict[str, ModelFamily] = {
    "extender": ModelFamily(
        "spectral-extender",
        "spectral:SpectralModel",
        "extender:SpectralExtender",
        "spectral:SpectralRecipe",
        "spectral:SpectralTask",
        "spectral:write",
    ),
    "source-filter": ModelFamily(
        "source-filter",
        "source_filter:SourceFilterModel",
        "source_filter:SourceFilterExtender",
        "source_filter:SourceFilterRecipe",
        "source_filter:SourceFilterTask",
        "source_filter:write",
    ),
    "audiounet": _waveform("audiounet:AudioUNet", "waveform:AudioUNetRecipe"),
    "tfilm": _waveform("tfilm:TFiLMUNet", "waveform:TFiLMRecipe"),
    "afilm": _waveform("afilm:AFiLMUNet", "waveform:AFiLMRecipe"),
}
"""By the key ``network`` of a recipe; one without it is the extender's."""
