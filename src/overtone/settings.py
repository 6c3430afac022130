"""The base of every table of settings: frozen, without unknown keys, and old names still read."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator


class Settings(BaseModel):
    """A table of a recipe or of another TOML file.

    Example:
        >>> class Tone(Settings):
        ...     renamed = {"pitch": "frequency_hz"}
        ...     frequency_hz: float = 440.0
        >>> Tone.model_validate({"pitch": 220})
        Tone(frequency_hz=220.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    renamed: ClassVar[dict[str, str]] = {}
    """Old names of keys, and what they are called now: files written before keep loading."""

    @model_validator(mode="before")
    @classmethod
    def _read_old_names(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not cls.renamed.keys() & values.keys():
            return values
        found = {key: value for key, value in values.items() if key not in cls.renamed}
        for old, new in cls.renamed.items():
            if old in values and new in found:
                raise ValueError(f"{old} is the old name of {new}: give {new} alone")
            if old in values:
                found[new] = values[old]
        return found
