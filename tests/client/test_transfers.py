"""Lines of JSON that arrive in pieces."""

from __future__ import annotations

import json

from vireo.transfers import JsonLines


def test_only_a_newline_ends_a_line() -> None:
    rows = [{"id": "a\u2028b"}, {"id": "c\x85"}, {"id": ""}]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    for size in (1, 3, 1000):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        lines = JsonLines()
        found = [line for piece in pieces for line in lines.add(piece)] + lines.end()
        assert [json.loads(line) for line in found] == rows
