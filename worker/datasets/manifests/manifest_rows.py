"""The rows of a manifest, `path,label[,split][,group]`: CSV, TSV or JSON Lines. Errors name the line and the column.

A column `split:NAME` is another split of the same clips, such as the three official ones of UCF-101. A clip may have
none in it: the three class splits of Kinetics-600 are such columns as well.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.datasets import Split
from core.errors import InvalidDataset
from core.labels.spelling import clean_label
from core.tables import Table
from core.training_requests import SPLIT_COLUMN_PATTERN

MAX_MANIFEST_BYTES = 64 << 20
MAX_LABEL = 500  # characters, as in a request to classify
MAX_ERRORS = 20

SPLITS: Mapping[str, Split] = {
    "train": "train", "training": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip
COLUMNS = ("path", "label", "split", "group")
MORE_SPLITS = "split:"
MOST_SPLIT_COLUMNS = 16
_ALIASES = {
    "path": ("file", "filename", "file_name", "filepath", "video", "video_path", "clip", "name"),
    "label": ("class", "labels", "category", "action", "class_name", "target", "lable"),
}
_CSV_DELIMITERS = (",", ";", "\t")  # some spreadsheet programs write semicolons


@dataclass(frozen=True, slots=True)
class ManifestRow:
    line: int
    path: str
    label: str
    split: Split | None
    group: str | None = None
    splits: Mapping[str, Split] = field(default_factory=dict)  # by split column


@dataclass(frozen=True, slots=True)
class ManifestTable:
    """unread: columns that were not read."""

    rows: tuple[ManifestRow, ...]
    unread: tuple[str, ...]


@dataclass(eq=False)
class RowError(Exception):
    line: int
    column: str | None
    message: str


def read_table(file: Path, name: str) -> ManifestTable:
    """`name`: its name in the archive; its ending gives the format. Raises: InvalidDataset with details.errors."""
    if file.stat().st_size > MAX_MANIFEST_BYTES:
        raise _invalid(name, [RowError(1, None, f"the file has more than {MAX_MANIFEST_BYTES} bytes")])
    try:
        text = _text(file.read_bytes())
        numbered, unread = _from_jsonl(text) if name.casefold().endswith(".jsonl") else _from_csv(text, name)
    except RowError as error:
        raise _invalid(name, [error]) from error
    rows: list[ManifestRow] = []
    errors: list[RowError] = []
    for found in numbered:
        if isinstance(found, ManifestRow):
            rows.append(found)
        else:
            errors.append(found)
    without = [row.line for row in rows if row.split is None]
    if without and len(without) < len(rows):
        errors += [RowError(line, "split", "is empty, but other lines have a split") for line in without]
    if errors:
        raise _invalid(name, sorted(errors, key=lambda error: error.line))
    if not rows:
        raise _invalid(name, [RowError(1, None, "the file lists no clips")])
    return ManifestTable(tuple(rows), unread)


def _text(data: bytes) -> str:
    """Raises: RowError."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"  # spreadsheet programs write either
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RowError(line, None, "is not UTF-8; save the file as UTF-8") from error


def _from_csv(text: str, name: str) -> tuple[Iterator[ManifestRow | RowError], tuple[str, ...]]:
    """Raises: RowError for an invalid header."""
    first = text.split("\n", 1)[0]
    tabbed = name.casefold().endswith(".tsv")
    delimiter = "\t" if tabbed else max(_CSV_DELIMITERS, key=first.count)
    try:
        table = Table.read(text, delimiter)
    except csv.Error as error:
        raise RowError(1, None, str(error)) from error
    _check_header(table.header)
    return _csv_rows(table), tuple(column for column in table.header if column and not _is_read(column))


def _is_read(column: str) -> bool:
    return column in COLUMNS or column.startswith(MORE_SPLITS)


def _check_header(header: list[str]) -> None:
    """Raises: RowError."""
    for column in ("path", "label"):
        if column not in header:
            other = next((alias for alias in _ALIASES[column] if alias in header), None)
            advice = f'; rename "{other}" to "{column}"' if other else ""
            shown = ", ".join(header)[:200] or "nothing"
            raise RowError(
                1,
                column,
                f"is missing: the first line must be the header path,label[,split][,group], not {shown}{advice}",
            )
    for column in filter(_is_read, header):
        if header.count(column) > 1:
            raise RowError(1, column, "is listed twice")


def _csv_rows(table: Table) -> Iterator[ManifestRow | RowError]:
    expected = len(table.header)
    for line in table.lines():
        if line.unreadable:
            yield RowError(line.number, None, line.unreadable)
        elif len(line.cells) != expected:
            more = "; quote a label that holds the delimiter" if len(line.cells) > expected else ""
            yield RowError(line.number, None, f"has {len(line.cells)} columns, the header {expected}{more}")
        else:
            yield _row(line.number, dict(zip(table.header, line.cells, strict=True)))


def _from_jsonl(text: str) -> tuple[Iterator[ManifestRow | RowError], tuple[str, ...]]:
    return _jsonl_rows(text), ()


def _jsonl_rows(text: str) -> Iterator[ManifestRow | RowError]:
    for line, written in enumerate(text.split("\n"), 1):
        if not written.strip():
            continue
        try:
            found = json.loads(written)
        except (ValueError, RecursionError) as error:
            yield RowError(line, None, f"is not a JSON object ({error})"[:200])
            continue
        if isinstance(found, dict):
            yield _row(line, found)
        else:
            yield RowError(line, None, 'is not a JSON object such as {"path": …, "label": …}')


def _row(line: int, cells: Mapping[str, Any]) -> ManifestRow | RowError:
    path, split = cells.get("path"), cells.get("split")
    label, group = _number_as_text(cells.get("label")), _number_as_text(cells.get("group"))
    for column, value in (("path", path), ("label", label), ("split", split or ""), ("group", group or "")):
        if not isinstance(value, str):
            return RowError(line, column, "is missing" if column not in cells else "must be a string")
    assert isinstance(label, str)
    assert isinstance(path, str)
    if not path.strip():
        return RowError(line, "path", "is empty")
    cleaned = clean_label(label)
    if not cleaned:
        return RowError(line, "label", "is empty")
    if len(cleaned) > MAX_LABEL:
        return RowError(line, "label", f"is longer than {MAX_LABEL} characters")
    wanted = (split or "").strip().casefold()
    if wanted and wanted not in SPLITS:
        return RowError(line, "split", f'is "{wanted[:40]}", which is none of train, val and test')
    named = (group or "").strip()
    if len(named) > MAX_LABEL:
        return RowError(line, "group", f"is longer than {MAX_LABEL} characters")
    try:
        return ManifestRow(line, path.strip(), cleaned, SPLITS.get(wanted), named or None, _more_splits(line, cells))
    except RowError as error:
        return error


def _more_splits(line: int, cells: Mapping[str, Any]) -> dict[str, Split]:
    """By the names of their columns; a clip without a split in a column is left out there. Raises: RowError."""
    found: dict[str, Split] = {}
    columns = [column for column in cells if column.casefold().startswith(MORE_SPLITS)]
    if len(columns) > MOST_SPLIT_COLUMNS:
        raise RowError(line, columns[-1], f"is one of more than {MOST_SPLIT_COLUMNS} split columns")
    for column in columns:
        name, value = column.casefold().removeprefix(MORE_SPLITS).strip(), cells[column] or ""
        if not re.match(SPLIT_COLUMN_PATTERN, name):
            raise RowError(line, column[:40], "needs a name of up to 32 letters, digits, dots, dashes and underscores")
        wanted = value.strip().casefold() if isinstance(value, str) else "?"
        if wanted and wanted not in SPLITS:
            raise RowError(line, column, f'is "{wanted[:40]}", which is none of train, val and test')
        if wanted:
            found[name] = SPLITS[wanted]
    return found


def _number_as_text(value: Any) -> Any:
    """JSON Lines may have numbers as labels and groups."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**18 else None
    return value


def _invalid(name: str, errors: list[RowError]) -> InvalidDataset:
    first = errors[0]
    where = f"line {first.line}" + (f', column "{first.column}",' if first.column else "")
    more = f" There are {len(errors) - 1} more errors." if len(errors) > 1 else ""
    return InvalidDataset(
        f"{name}: {where} {first.message}.{more}",
        hint="A manifest has the columns path, label and, optionally, split, group and split:NAME.",
        report=[],
        errors=[{"line": e.line, "column": e.column, "message": e.message} for e in errors[:MAX_ERRORS]],
    )
