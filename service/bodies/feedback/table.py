"""Feedback as a CSV file: a line per statement."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from core.errors import InvalidRequest
from core.feedback.record import Feedback
from service.bodies.feedback.rows import MOST_LINES, ImportedFile, ImportRow, Unreadable, check_size

if TYPE_CHECKING:
    from _csv import Reader

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
    lines = csv.reader(io.StringIO(decoded, newline=""), strict=True)
    try:
        header = [name.strip().casefold() for name in next(lines, [])]
    except csv.Error as error:
        raise InvalidRequest(f"The header of the CSV cannot be read: {error}.") from None
    for name in _NEEDED:
        if header.count(name) != 1:
            raise InvalidRequest(
                f"The first line of the CSV must name the column {name} once.",
                hint=f"Columns: {', '.join(READ)}; the first two are needed. Other columns are ignored.",
                field=name,
            )
    rows = tuple(_rows(lines, header))
    check_size(len(rows), MOST_LINES)
    return ImportedFile(rows)


def _rows(reader: Reader, header: list[str]) -> Iterator[ImportRow | Unreadable]:
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Unreadable(f"line {line}", f"The rest of the CSV cannot be read: {error}.")
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            yield Unreadable(f"line {line}", f"The line has {len(cells)} columns, the header {len(header)}.")
            continue
        pairs = {name: cell for name, cell in zip(header, cells, strict=True) if name in READ and cell.strip()}
        yield ImportRow(f"line {line}", pairs)
