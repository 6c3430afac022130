"""The three standard streams: closed, full, hung up on, or written to by libraries behind our back.

A command may be started with any of them closed, and the first file that is opened would then take
its number: what a decoder has to say would go into somebody's audio.
"""

import os
import sys
import traceback
import warnings
from contextlib import suppress
from typing import TextIO

# Say what libraries say, and where a defect lies.
verbose = False


def prepare() -> None:
    """Open what is closed so that using it fails, and make texts that can be printed anywhere."""
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # the lowest number that is free
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for text in (sys.stdout, sys.stderr):
        if hasattr(text, "reconfigure"):
            text.reconfigure(errors="backslashreplace")  # file names may hold any bytes
    # Pictures are drawn without a window, whatever a notebook has asked for.
    os.environ["MPLBACKEND"] = "agg"


def hush() -> None:
    """Keep off the terminal what libraries write to descriptor 2, and warnings of Python's."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    ours = sys.__stderr__
    if ours is None or sys.stderr is not ours or ours.fileno() != 2:
        return  # someone has replaced it already
    own = os.dup(2)
    sys.stderr = open(  # noqa: SIM115, PTH123
        own, "w", buffering=1, encoding=ours.encoding, errors="backslashreplace"
    )
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def fail(message: str) -> None:
    """Say what went wrong in one line, if there is anywhere to say it."""
    with suppress(OSError, ValueError):
        print(f"overtone: {message}", file=sys.stderr, flush=True)


def fail_over(error: BaseException) -> None:
    """Tell of a defect: one line, or all of it if that is wanted."""
    if verbose:
        with suppress(OSError, ValueError):
            traceback.print_exception(error)
    what = " ".join(f"{type(error).__name__}: {error}".split())
    fail(f"internal error, please report it: {what} ('overtone -v ...' shows where)")


def can_print() -> bool:
    """Whether standard output takes what was written to it: its disk may be full."""
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return True


def leave() -> None:
    """Write out what waits; what cannot be is dropped, so that the interpreter ends in silence."""
    for text in (sys.stdout, sys.stderr):
        try:
            text.flush()
        except (OSError, ValueError):
            _drop(text)


def _drop(text: TextIO) -> None:
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), text.fileno())
