"""What people wrote on a page survives every renewal of its made part."""

import datetime

import pytest

from overtone.errors import InvalidInputError
from overtone.report.pages import around, join, made_by, renewed

BEGIN, END = "<!-- begin -->", "<!-- end -->"
PAGE = f"# Mine\n\nMarks such as `{BEGIN}` are comments.\n\n{BEGIN}\nold\n{END}\n\nlast words\n"


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_only_what_stands_between_the_marks_is_replaced(page):
    text = renewed(page, BEGIN, END, "é, new\n")
    assert text == PAGE.replace("\nold\n", "\n\né, new\n\n")
    assert page.read_text(encoding="utf-8") == PAGE


def test_renewing_twice_changes_nothing_more(page):
    once = renewed(page, BEGIN, END, "new")
    page.write_text(once, encoding="utf-8")
    assert renewed(page, BEGIN, END, "new") == once


def test_the_parts_make_the_page(page):
    before, after = around(page, BEGIN, END)
    assert before.endswith(BEGIN)
    assert after.startswith(END)
    assert join(before, "new", after) == renewed(page, BEGIN, END, "new")


@pytest.mark.parametrize(
    "text",
    ["", BEGIN, f"{END}\n{BEGIN}\n", f"{BEGIN} {END}", f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n"],
)
def test_a_page_without_its_two_marks_is_refused_with_the_cure(page, text):
    page.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInputError, match=f"page.md: has no part.*{BEGIN} {END}"):
        renewed(page, BEGIN, END, "new")


def test_a_page_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match=r"none\.md: not a page"):
        around(tmp_path / "none.md", BEGIN, END)
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match=r"binary\.md: not a page"):
        around(tmp_path / "binary.md", BEGIN, END)


def test_a_made_part_names_its_command_and_where_it_was_made():
    text = made_by("overtone models")
    assert text.startswith("Made by `overtone models`:\n\n- date: ")
    assert "- overtone: " in text
    assert "- processor: " in text
    assert made_by("x", {"date": "today"}) == "Made by `x`:\n\n- date: today\n"
    datetime.date.fromisoformat(text.split("- date: ")[1].split("\n")[0])
