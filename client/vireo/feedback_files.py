"""Files of feedback: exports of Label Studio and tables, in parts that a server reads in one request."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from vireo.errors import InvalidRequest

BATCH = 500
"""Most tasks or lines in one request of an import."""

BATCH_BYTES = 128 << 10
"""Of the tasks of one request, unless one alone has more. A server reads 50,000 values; each has 3 bytes or more."""

_KINDS = {".json": "application/json", ".csv": "text/csv"}


def kind_of(path: Path) -> str:
    """The media type of a file of feedback, by its name. Raises: InvalidRequest."""
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise InvalidRequest(f"{path} must end in .json (Label Studio) or .csv.")
    return kind


def parts_of(source: Path) -> Iterator[tuple[int, bytes]]:
    """Parts of the file, each with the number of entries before it. Raises: InvalidRequest."""
    return _tables(source) if kind_of(source) == "text/csv" else _tasks(source)


def _tasks(source: Path) -> Iterator[tuple[int, bytes]]:
    """Parts of the list, each with the number of tasks before it. Raises: InvalidRequest."""
    try:
        tasks = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{source} cannot be read as JSON: {error}.") from None
    if not isinstance(tasks, list):
        raise InvalidRequest(f"{source} is no list of tasks.", hint="Export the project in the format JSON.")
    batch, before, size = list[str](), 0, 0
    for number, task in enumerate(tasks):
        text = json.dumps(task)
        if batch and (len(batch) == BATCH or size + len(text) > BATCH_BYTES):
            yield before, f"[{','.join(batch)}]".encode()
            batch, before, size = [], number, 0
        batch.append(text)
        size += len(text)
    yield before, f"[{','.join(batch)}]".encode()


def _tables(source: Path) -> Iterator[tuple[int, bytes]]:
    """Parts of the table, each with its header and the number of lines that it lacks before it. Raises:
    InvalidRequest."""
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            header, rows, before = next(lines, []), list[list[str]](), 0
            for row in lines:
                rows.append(row)
                if len(rows) == BATCH:
                    yield before, _table(header, rows)
                    before, rows = lines.line_num - 1, []
            if rows or not before:
                yield before, _table(header, rows)
    except (OSError, ValueError, csv.Error) as error:
        raise InvalidRequest(f"{source} cannot be read as CSV: {error}.") from None


def _table(header: list[str], rows: list[list[str]]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows([header, *rows])
    return file.getvalue().encode()
