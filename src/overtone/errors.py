"""The exceptions overtone raises on purpose; every message names the value and the cure.

The command line prints the message of an :class:`OvertoneError` as one line and exits non-zero;
anything else is a defect and keeps its traceback.
"""


class OvertoneError(Exception):
    """Base of every error overtone raises on purpose."""


class InvalidInputError(OvertoneError, ValueError):
    """An argument, array or option has a value that cannot be used."""


class AudioFileError(OvertoneError):
    """An audio file cannot be opened, decoded, created or written."""


class ModelError(OvertoneError):
    """A model cannot be found, is damaged, or is not an overtone model."""


class ConfigError(OvertoneError):
    """A training configuration or checkpoint cannot be used."""


class MissingExtraError(OvertoneError):
    """An optional dependency is needed; the message says which extra to install.

    ``feature`` is what the user asked for, ``extra`` the name in ``pip install 'overtone[extra]'``.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional part: pip install 'overtone[{extra}]'")
        self.extra = extra
