"""What -v adds: the log of this process and of those it starts, on standard error."""

import logging

LOGGER = logging.getLogger("overtone")


def printable(text: str) -> str:
    r"""Return ``text`` with what a terminal would obey escaped.

    Example:
        >>> print(printable("call\x1b[2J.wav"))
        call\x1b[2J.wav
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def show() -> None:
    """Show the log, once."""
    if not LOGGER.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_Line("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
        LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)


def shown() -> bool:
    """Tell whether it is."""
    return LOGGER.isEnabledFor(logging.INFO)
