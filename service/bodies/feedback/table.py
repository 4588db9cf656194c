"""Feedback as a CSV file: a line per statement."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

from core.errors import InvalidRequest
from core.feedback.record import Feedback
from core.tables import Table
from service.bodies.feedback.rows import MOST_LINES, ImportedFile, ImportRow, Unreadable, check_size

READ: Final = ("video", "label", "start", "end", "confirmed", "predicted", "model", "job")
COLUMNS: Final = (*READ, "id", "revision", "created_at", "updated_at")
_NEEDED: Final = ("video", "label")


def write_table(feedback: Iterable[Feedback]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in feedback:
        fields = each.model_dump(mode="json")
        writer.writerow([_cell(fields[name]) for name in COLUMNS])
    return file.getvalue()


def _cell(value: object) -> object:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value


def read_table(text: bytes) -> ImportedFile:
    """Columns that are not read are ignored. Raises: InvalidRequest for what is no table with the columns needed."""
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The CSV is not UTF-8: {error.reason} at byte {error.start}.") from None
    try:
        table = Table.read(decoded)
    except csv.Error as error:
        raise InvalidRequest(f"The header of the CSV cannot be read: {error}.") from None
    for name in _NEEDED:
        if table.header.count(name) != 1:
            raise InvalidRequest(
                f"The first line of the CSV must name the column {name} once.",
                hint=f"Columns: {', '.join(READ)}; the first two are needed. Other columns are ignored.",
                field=name,
            )
    rows = tuple(_rows(table))
    check_size(len(rows), MOST_LINES)
    return ImportedFile(rows)


def _rows(table: Table) -> Iterator[ImportRow | Unreadable]:
    for line in table.lines():
        name, expected = f"line {line.number}", len(table.header)
        if line.unreadable:
            yield Unreadable(name, f"The rest of the CSV cannot be read: {line.unreadable}.")
        elif len(line.cells) != expected:
            yield Unreadable(name, f"The line has {len(line.cells)} columns, the header {expected}.")
        else:
            pairs = zip(table.header, line.cells, strict=True)
            yield ImportRow(name, {column: cell for column, cell in pairs if column in READ and cell.strip()})
