from __future__ import annotations

import csv

import pytest

from core.tables import Line, Table


def test_lines_have_the_number_at_which_they_begin() -> None:
    table = Table.read(' Path ,LABEL\na,"two\nlines"\n\n , \nb,c,d\n')
    assert table.header == ["path", "label"]
    assert list(table.lines()) == [Line(2, ["a", "two\nlines"]), Line(6, ["b", "c", "d"])]


def test_a_line_that_cannot_be_read_is_the_last() -> None:
    first, broken = Table.read('a\nx\n"y"z\nw\n').lines()
    assert (first.cells, broken.number, broken.cells) == (["x"], 3, [])
    assert broken.unreadable
    with pytest.raises(csv.Error):
        Table.read('"a"b\n')


def test_no_text_has_no_columns() -> None:
    table = Table.read("")
    assert (table.header, list(table.lines())) == ([], [])
