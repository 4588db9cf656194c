"""Cursors of lists that are sorted by time, the newest first: the time and the id of the last entry of a page."""

from __future__ import annotations

import math

from core.errors import InvalidRequest

Entry = tuple[float, str]
"""Unix time and id. Entries of the same time are sorted by id."""

AFTER_ALL: Entry = (math.inf, "")
"""Newer than every entry: where the first page begins."""


def write_cursor(entry: Entry) -> str:
    return f"{entry[0]!r}:{entry[1]}"


def read_cursor(cursor: str | None) -> Entry:
    """The entry that the page before ended with. Raises: InvalidRequest."""
    if cursor is None:
        return AFTER_ALL
    text, _, entry_id = cursor.partition(":")
    try:
        moment = float(text)
    except ValueError:
        moment = math.nan
    if not math.isfinite(moment):
        raise InvalidRequest("cursor is not valid.", hint="Send the `next` of the page before.", field="cursor")
    return moment, entry_id
