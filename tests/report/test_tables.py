"""One table, four formats: each carries all numbers and the settings behind them."""

import csv
import io
import json
import math

import pytest
from rich.console import Console

from overtone.errors import InvalidInputError
from overtone.files import refuse_existing, write_text
from overtone.report import Column, Table

COLUMNS = [Column("file", "file"), Column("snr_db", "SNR dB ↑"), Column("lsd", "LSD ↓", 3)]
ROWS = [
    {"file": "a|b.wav", "snr_db": 12.3456789, "lsd": 1.0},
    {"file": "[c].wav", "snr_db": math.nan, "lsd": 0.5},
]
MEAN = {"file": "mean of 2", "snr_db": 12.3456789, "lsd": 0.75}
SETTINGS = ["SNR: whole file", "LSD: Hann [2048]"]


@pytest.fixture
def table():
    return Table(COLUMNS, ROWS, MEAN, SETTINGS)


@pytest.fixture
def wide_table():
    columns = [Column("file", "file"), *(Column(f"m{i}", f"metric {i}", 1) for i in range(9))]
    rows = [{"file": f"f{r}", **{f"m{i}": 10.0 * i + r for i in range(9)}} for r in range(3)]
    return Table(columns, rows, None, ["all settings"])


def test_markdown_has_a_line_a_row_and_the_settings(table):
    lines = table.render("markdown").splitlines()
    assert lines == [
        "| file | SNR dB ↑ | LSD ↓ |",
        "|---|---:|---:|",
        r"| a\|b.wav | 12.35 | 1.000 |",
        "| [c].wav | n/a | 0.500 |",
        "| **mean of 2** | **12.35** | **0.750** |",
        "",
        "- SNR: whole file",
        "- LSD: Hann [2048]",
    ]


def test_csv_can_be_read_back(table):
    rows = list(csv.DictReader(io.StringIO(table.render("csv"))))
    assert [row["file"] for row in rows] == ["a|b.wav", "[c].wav", "mean of 2"]
    assert [row["snr_db"] for row in rows] == ["12.345679", "", "12.345679"]
    assert {row["settings"] for row in rows} == {"SNR: whole file / LSD: Hann [2048]"}


def test_json_can_be_read_back_by_a_strict_parser(table):
    def refuse(constant):
        raise AssertionError(constant)

    content = json.loads(table.render("json"), parse_constant=refuse)
    assert content["settings"] == SETTINGS
    assert content["rows"][1] == {"file": "[c].wav", "snr_db": None, "lsd": 0.5}
    assert content["summary"] == {"file": "mean of 2", "snr_db": 12.345679, "lsd": 0.75}
    assert len(content["rows"]) == 2


def test_text_shows_every_cell_as_it_is(table):
    text = table.render("table")
    for cell in ("a|b.wav", "[c].wav", "12.35", "n/a", "0.500", "mean of 2", "0.750", *SETTINGS):
        assert cell in text


def test_text_away_from_a_terminal_is_not_folded(wide_table):
    lines = wide_table.render("table").splitlines()
    assert [line.split() for line in lines if line.startswith("f1")] == [
        ["f1", *(f"{10.0 * i + 1:.1f}" for i in range(9))]
    ]


@pytest.mark.parametrize("width", [24, 40, 80])
def test_on_a_narrow_terminal_columns_continue_below(wide_table, width):
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system=None,
        width=width,
        legacy_windows=False,
    )
    wide_table.print(console)
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    cells = [cell for line in lines if line.startswith("f1") for cell in line.split()[1:]]
    assert cells == [f"{10.0 * i + 1:.1f}" for i in range(9)]
    assert lines[-1] == "all settings"


def test_a_single_row_is_printed_as_a_list():
    lines = Table(COLUMNS, ROWS[1:], None, SETTINGS).render("table").splitlines()
    assert lines == [
        "[c].wav", "", "  SNR dB ↑    n/a", "  LSD ↓     0.500", "", *SETTINGS
    ]  # fmt: skip


def test_cells_that_a_row_lacks_stay_empty():
    table = Table(COLUMNS, [{"file": "a", "lsd": None}, {"file": "b"}])
    assert "| a |  |  |" in table.render("markdown")
    assert json.loads(table.render("json"))["rows"][1] == {"file": "b", "snr_db": None, "lsd": None}
    assert table.render("csv").splitlines() == ["file,snr_db,lsd", "a,,", "b,,"]


def test_an_unknown_format_is_named(table):
    with pytest.raises(InvalidInputError, match="'yaml'"):
        table.render("yaml")


class TestWriteText:
    def test_nothing_is_overwritten_unless_asked(self, tmp_path):
        path = tmp_path / "scores.md"
        write_text("first\n", path)
        with pytest.raises(InvalidInputError, match=r"scores.md: already exists.*overwrite=True"):
            write_text("second\n", path)
        assert path.read_text() == "first\n"
        write_text("third ↑\n", path, overwrite=True)
        assert path.read_bytes() == "third ↑\n".encode()
        assert list(tmp_path.iterdir()) == [path]

    def test_an_unwritable_place_is_named(self, tmp_path):
        with pytest.raises(InvalidInputError, match="cannot be written"):
            write_text("x", tmp_path / "absent" / "scores.md")
        (tmp_path / "file").touch()
        with pytest.raises(InvalidInputError, match="cannot be written"):
            write_text("x", tmp_path / "file" / "scores.md")

    def test_what_fails_midway_leaves_nothing(self, tmp_path):
        with pytest.raises(UnicodeEncodeError):
            write_text("x" * 9999 + "\udc80", tmp_path / "scores.md")
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_of_that_name_is_kept(self, tmp_path):
        with pytest.raises(InvalidInputError, match="is a folder"):
            refuse_existing(tmp_path, overwrite=False)
        with pytest.raises(InvalidInputError, match="is a folder"):
            write_text("x", tmp_path, overwrite=True)
        assert tmp_path.is_dir()
