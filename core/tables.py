"""CSV text as a header and lines, as far as all readers of it agree. What a column means is theirs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _csv import Reader


@dataclass(frozen=True, slots=True)
class Line:
    """One line below the header that is not empty."""

    number: int
    """Of the line of the text at which it begins, from 1."""

    cells: list[str]
    unreadable: str | None = None
    """Why neither it nor the rest of the text can be read."""


@dataclass(frozen=True, slots=True)
class Table:
    header: list[str]
    """Names of the columns, case-folded, without spaces around them."""

    _reader: Reader

    @classmethod
    def read(cls, text: str, delimiter: str = ",") -> Table:
        """Raises: csv.Error for a header that cannot be read."""
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        return cls([name.strip().casefold() for name in next(reader, [])], reader)

    def lines(self) -> Iterator[Line]:
        """The lines below the header, once. A cell may span several lines of the text."""
        while True:
            number = self._reader.line_num + 1
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                yield Line(number, [], str(error))
                return
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield Line(number, cells)
