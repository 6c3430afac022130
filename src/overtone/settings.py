"""Tables of settings: read from TOML, frozen, without unknown keys, and old names still read."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from overtone import files
from overtone.errors import ConfigError

MESSAGES = {"extra_forbidden": "unknown key", "missing": "missing"}


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


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        return files.read_toml(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error


def problems(error: ValidationError) -> str:
    """Return one line that names every key at fault, what is wrong with it, and its value."""
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        text = MESSAGES.get(problem["type"], problem["msg"].removeprefix("Value error, "))
        value = problem["input"]
        shown = f", not {value!r}" if problem["type"] not in MESSAGES and _is_plain(value) else ""
        lines.append(f"{key}: {text}{shown}" if key else f"{text}{shown}")
    return "; ".join(lines)


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float | str)
