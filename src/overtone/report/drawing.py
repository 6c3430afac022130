"""What all pictures share: matplotlib, which is an extra, and the same bytes each time."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from overtone.errors import InvalidInputError, MissingExtraError
from overtone.files import atomic_write, refuse_existing

PICTURE_SUFFIXES = (".png", ".pdf", ".svg")
DOTS_PER_INCH = 160
# The same content gives the same bytes: no date inside, and no random names.
_UNDATED: dict[str, Any] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
_STYLE: Any = {"svg.hashsalt": "overtone"}


def check_picture_path(path: Path, *, overwrite: bool = False) -> None:
    """Raise :class:`~overtone.errors.InvalidInputError` unless a picture may be written there."""
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise InvalidInputError(f"{path}: a picture's name ends in {', '.join(PICTURE_SUFFIXES)}")
    refuse_existing(path, overwrite)


def require_matplotlib(what: str = "drawing spectrograms") -> None:
    """Raise :class:`~overtone.errors.MissingExtraError` if nothing can be drawn."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(what, "plot") from error


@contextlib.contextmanager
def picture(
    paths: Sequence[Path],
    size: tuple[float, float],
    style: Any,
    *,
    dots_per_inch: int = DOTS_PER_INCH,
    overwrite: bool = False,
) -> Iterator[Any]:
    """Lend a matplotlib figure of ``size`` in inches; write it to ``paths`` when the block ends.

    ``style`` adds to matplotlib's settings.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE | style):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        for path in paths:
            suffix = path.suffix.lower()
            with atomic_write(path, overwrite=overwrite) as temporary:
                figure.savefig(
                    temporary, format=suffix[1:], dpi=dots_per_inch, metadata=_UNDATED.get(suffix)
                )
