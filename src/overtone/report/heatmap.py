"""Heat maps: grids of changes as colours, all of them on one scale (extra ``plot``)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from overtone.errors import InvalidInputError
from overtone.report.drawing import check_picture_path, picture, require_matplotlib

_CELL_WIDTH, _CELL_HEIGHT = 0.72, 0.3  # inches
_MARGIN_WIDTH, _MARGIN_HEIGHT = 3.0, 0.85
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    # A third of the bytes, since digits stay text.
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Grid:
    """``values[row][column]`` with a label each; nan is left empty. ``unit`` is the columns'."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    unit: str
    values: Sequence[Sequence[float]]


def draw_heatmap(
    grids: Sequence[Grid],
    path: Path,
    *,
    label: str,
    limit: float,
    higher_is_better: bool,
    marked: Callable[[float], bool] = lambda _: False,
    overwrite: bool = False,
) -> None:
    """Draw changes: blue for the better, red for the worse, white for none, each with its number.

    Colours end at plus and minus ``limit``; cells for which ``marked(value)`` holds get a frame.
    The suffix of ``path`` chooses PNG, PDF or SVG.

    Raises :class:`~overtone.errors.MissingExtraError` without matplotlib, and
    :class:`~overtone.errors.InvalidInputError` for another suffix, nothing to draw, or a picture
    that exists and may not be overwritten.
    """
    check_picture_path(path, overwrite=overwrite)
    require_matplotlib("drawing a heat map")
    if not any(math.isfinite(value) for grid in grids for row in grid.values for value in row):
        raise InvalidInputError(f"{path}: no number to draw")
    widest = max(len(grid.columns) for grid in grids)
    heights = [_CELL_HEIGHT * len(grid.rows) for grid in grids]
    size = (
        _MARGIN_WIDTH + _CELL_WIDTH * widest,
        0.4 + sum(heights) + _MARGIN_HEIGHT * len(grids),
    )
    with picture([path], size, _STYLE, overwrite=overwrite) as figure:
        panels = figure.subplots(len(grids), 1, squeeze=False, height_ratios=heights)[:, 0]
        colours = "RdBu" if higher_is_better else "RdBu_r"
        for panel, grid in zip(panels, grids, strict=True):
            image = _draw_grid(panel, grid, limit, colours)
            panel.set_xlim(-0.5, widest - 0.5)  # cells are as wide in every panel
            _write_numbers(panel, grid, limit, marked)
        bar = figure.colorbar(image, ax=list(panels), pad=0.02, aspect=40)
        bar.set_label(label)


def _draw_grid(panel: Any, grid: Grid, limit: float, colours: str) -> Any:
    image = panel.imshow(
        np.asarray(grid.values, dtype=np.float64),
        cmap=colours,
        vmin=-limit,
        vmax=limit,
        aspect="auto",
    )
    panel.set_title(grid.title)
    panel.set_xticks(range(len(grid.columns)), grid.columns)
    panel.set_yticks(range(len(grid.rows)), grid.rows)
    panel.set_xlabel(grid.unit, loc="left")
    panel.tick_params(length=0)
    for side in panel.spines.values():
        side.set_visible(False)
    return image


def _write_numbers(panel: Any, grid: Grid, limit: float, marked: Callable[[float], bool]) -> None:
    from matplotlib.patches import Rectangle

    for y, row in enumerate(grid.values):
        for x, value in enumerate(row):
            if not math.isfinite(value):
                continue
            colour = "white" if abs(value) > 0.6 * limit else "#202020"
            panel.text(x, y, f"{value:+.2f}", ha="center", va="center", color=colour, fontsize=7.5)
            if marked(value):
                panel.add_patch(
                    Rectangle((x - 0.47, y - 0.44), 0.94, 0.88, fill=False, ec="black", lw=1.6)
                )
