"""Lines of JSON that arrive in pieces."""

from __future__ import annotations

import json

from vireo.transfers import json_lines


def test_only_a_newline_ends_a_line() -> None:
    rows = [{"id": "a\u2028b"}, {"id": "c\x85"}, {"id": ""}]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    for size in (1, 3, 1000):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert [json.loads(line) for line in json_lines(pieces)] == rows
