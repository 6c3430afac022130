"""Heat maps: colours by what is better, numbers in every cell, frames where asked."""

import math
import sys
from pathlib import Path

import pytest

from overtone.errors import InvalidInputError, MissingExtraError
from overtone.report.heatmap import Grid, draw_heatmap

pytest.importorskip("matplotlib")

GRIDS = [
    Grid("first", ["a", "b"], ["1", "2", "3"], "kHz", [[-1.0, 0.0, math.nan], [2.0, 9.0, 0.5]]),
    Grid("second", ["c"], ["8"], "kbit/s", [[1.5]]),
]


def draw(path, **options):
    settings = {"label": "change", "limit": 4.0, "higher_is_better": True} | options
    draw_heatmap(GRIDS, path, **settings)


@pytest.fixture
def figure(monkeypatch, tmp_path):
    """Return a function that draws and gives back the figure."""
    from matplotlib.figure import Figure

    saved = []

    def save(self, path, **_):
        saved.append(self)
        Path(path).write_text("")

    def drawn(**options):
        monkeypatch.setattr(Figure, "savefig", save)
        draw(tmp_path / "map.png", overwrite=True, **options)
        return saved[-1]

    return drawn


def test_every_number_is_written_in_its_cell(figure):
    first, second, _ = figure().axes
    written = {text.get_position(): text.get_text() for text in first.texts}
    assert written[(0, 0)] == "-1.00"
    assert written[(1, 1)] == "+9.00"
    assert (2, 0) not in written  # nan is left empty
    assert [text.get_text() for text in second.texts] == ["+1.50"]
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["1", "2", "3"]


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_better_is_blue_and_worse_is_red(figure, higher_is_better):
    image = figure(higher_is_better=higher_is_better).axes[0].images[0]
    assert image.get_clim() == (-4, 4)
    red, _, blue, _ = image.cmap(image.norm(3.0 if higher_is_better else -3.0))
    assert blue > red
    red, _, blue, _ = image.cmap(image.norm(-3.0 if higher_is_better else 3.0))
    assert red > blue


def test_cells_that_are_marked_get_a_frame(figure):
    first, second, _ = figure(marked=lambda value: value > 1).axes
    frames = [(round(patch.get_x() + 0.47), round(patch.get_y() + 0.44)) for patch in first.patches]
    assert frames == [(0, 1), (1, 1)]
    assert len(second.patches) == 1


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_the_same_numbers_give_the_same_bytes(tmp_path, suffix):
    for name in "ab":
        draw(tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_what_cannot_be_drawn_is_said(tmp_path, monkeypatch):
    with pytest.raises(InvalidInputError, match=r"ends in \.png"):
        draw(tmp_path / "map.gif")
    (tmp_path / "map.png").write_text("old")
    with pytest.raises(InvalidInputError, match="already exists"):
        draw(tmp_path / "map.png")
    nothing = [Grid("", ["a"], ["1"], "", [[math.nan]])]
    with pytest.raises(InvalidInputError, match="no number"):
        draw_heatmap(nothing, tmp_path / "n.png", label="", limit=1, higher_is_better=True)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="plot"):
        draw(tmp_path / "new.png")
    assert {path.name for path in tmp_path.iterdir()} == {"map.png"}
