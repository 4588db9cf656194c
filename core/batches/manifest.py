"""The manifest of a batch: one video per line, as JSONL or as CSV with a header.

    {"id": "front door", "video_id": "vid_…"}          id,video_id,video_url,s3
    {"video_url": "https://example.org/clip.mp4"}      front door,vid_…,,

A line that cannot be used becomes an item with its error; the others are asked.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic import Field

from core.batches.request import check_object_url
from core.errors import InvalidRequest, VireoError
from core.records import Record
from core.uploads.targets import MAX_URL_CHARS, check_without_network

LONGEST_LINE: Final = 64 << 10  # bytes
LONGEST_ID: Final = 500  # characters
SOURCES: Final = ("video_id", "video_url", "s3")
COLUMNS: Final = ("id", *SOURCES)

_STORED = re.compile(r"vid_([0-9a-f]{64})")


class BatchItem(Record):
    """One line of a manifest: the video to ask about, or why there is none."""

    index: int = Field(description="its place in the manifest, from 0")
    id: str | None = Field(None, description="the name that the manifest gives it")
    source: str | None = Field(None, description="what the manifest gives: the id or the URL of a video")
    error: dict[str, Any] | None = None

    @property
    def sha256(self) -> str | None:
        """Of a stored video; None for one that has to be fetched."""
        found = _STORED.fullmatch(self.source or "")
        return found[1] if found else None


def check_source(name: str, source: str, allowed_hosts: frozenset[str], prefixes: frozenset[str]) -> None:
    """Raises: InvalidRequest, UrlNotAllowed for a video that cannot be asked about, without any look at it."""
    if len(source) > MAX_URL_CHARS:
        raise InvalidRequest(f"{name} has {len(source)} characters; at most {MAX_URL_CHARS} are allowed.")
    if name == "video_id" and not _STORED.fullmatch(source):
        raise InvalidRequest("video_id is not the id of a video.", hint="It looks like vid_ and 64 hexadecimal digits.")
    if name == "video_url":
        check_without_network(source, allowed_hosts)
    if name == "s3":
        check_object_url(source, prefixes)


def read_manifest(path: Path, check: Callable[[str, str], None]) -> Iterator[BatchItem]:
    """The items of a manifest, one line in memory at a time. Empty lines do not count.

    check: raises VireoError for a source (the name of its field, and its value) that cannot be used. Raises:
    InvalidRequest for a CSV file without a column that names videos.
    """
    with path.open("rb") as file:
        lines = _json_lines(file) if _is_json(file) else _csv_lines(file)
        for index, line in enumerate(lines):
            yield _item(index, line, check)


def _is_json(file: BinaryIO) -> bool:
    start = file.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip()
    file.seek(0)
    return start[:1] in (b"{", b"[")


Line = dict[str, Any] | InvalidRequest


def _json_lines(file: BinaryIO) -> Iterator[Line]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(LONGEST_LINE)
            yield InvalidRequest(f"Line {number} is longer than {LONGEST_LINE} bytes.")
        elif line.strip(b"\xef\xbb\xbf \t\r\n"):
            yield _parsed(line, number)


def _parsed(line: bytes, number: int) -> Line:
    try:
        found = json.loads(line.decode("utf-8-sig"))
        json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate cannot be written again
    except (ValueError, RecursionError):
        return InvalidRequest(f"Line {number} is not JSON.", hint='A line looks like {"id": "a", "video_id": "vid_…"}.')
    return found if isinstance(found, dict) else InvalidRequest(f"Line {number} is not a JSON object.")


def _csv_lines(file: BinaryIO) -> Iterator[Line]:
    reader = csv.reader(_texts(file))
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise InvalidRequest(f"The first line of the manifest is neither JSON nor CSV: {error}.") from None
    if not set(header) & set(SOURCES):
        raise InvalidRequest(
            "The manifest is neither JSONL nor a CSV file with a column that names videos.",
            hint=f"Its first line must be a header with one of {', '.join(SOURCES)}, and id if you like.",
        )
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield InvalidRequest(f"Line {reader.line_num} is not CSV: {error}.")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            yield InvalidRequest(f"Line {reader.line_num} has {len(cells)} cells; the header has {len(header)}.")
            continue
        yield {name: cell for name, cell in zip(header, cells, strict=True) if cell and name in COLUMNS}


def _texts(file: BinaryIO) -> Iterator[str]:
    """A line that is too long is cut, and is its own error then."""
    first = True
    while line := file.readline(LONGEST_LINE):
        yield line.decode("utf-8-sig" if first else "utf-8", "replace").replace("\0", "\ufffd")
        first = False


def _item(index: int, line: Line, check: Callable[[str, str], None]) -> BatchItem:
    if isinstance(line, InvalidRequest):
        return BatchItem(index=index, error=line.to_dict())
    named = line.get("id")
    known = named if isinstance(named, str) and len(named) <= LONGEST_ID else None
    given = {name: line[name] for name in SOURCES if line.get(name) is not None}
    source = next(iter(given.values()), None)
    shown = source if isinstance(source, str) and len(source) <= MAX_URL_CHARS else None
    try:
        _check_shape(line, given)
        for name, value in given.items():
            check(name, value)
    except VireoError as error:
        return BatchItem(index=index, id=known, source=shown, error=error.to_dict())
    return BatchItem(index=index, id=known, source=shown)


def _check_shape(line: dict[str, Any], given: dict[str, Any]) -> None:
    """Raises: InvalidRequest."""
    if unknown := sorted(set(line) - set(COLUMNS)):
        raise InvalidRequest(f"The field {unknown[0][:80]!r} is unknown.", hint=f"Fields: {', '.join(COLUMNS)}.")
    if len(given) != 1:
        found = f"{' and '.join(given)} were given" if given else "No video was given"
        raise InvalidRequest(f"{found}; exactly one of {', '.join(SOURCES)} is needed.")
    if not all(isinstance(value, str) for value in given.values()):
        raise InvalidRequest(f"{next(iter(given))} must be text.")
    named = line.get("id")
    if named is not None and not (isinstance(named, str) and len(named) <= LONGEST_ID):
        raise InvalidRequest(f"id must be text of at most {LONGEST_ID} characters.")
