"""The synchronous client, from the asynchronous one: the same modules without `async` and `await`.

unasyncd does this too, but needs an older anyio than ours, and unasync has had no release since 2024.
"""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

VIREO = Path(__file__).parents[3] / "client" / "vireo"
BY_HAND = ("clock.py",)
"""Modules that each of the two clients has its own of."""

_NOTE = "\n\nRendered from vireo/asynchronous by docs/render.py."
_WORDS = {
    "asynchronous": "synchronous",
    "asynccontextmanager": "contextmanager",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "aclose": "close",
    "aread": "read",
    "aiter_bytes": "iter_bytes",
    "aiter_text": "iter_text",
}


def modules() -> list[str]:
    """File names of the modules that are rendered."""
    return sorted(path.name for path in (VIREO / "asynchronous").glob("*.py") if path.name not in BY_HAND)


def synchronous(module: str) -> str:
    """The text of a module of the synchronous client."""
    source = (VIREO / "asynchronous" / module).read_text(encoding="utf-8")
    return _with_note(_without_async(source))


def _without_async(source: str) -> str:
    lines, kept, at = source.splitlines(keepends=True), list[str](), (1, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kept.append(_between(lines, at, token.start))
        at = token.end
        if token.type == tokenize.NAME and token.string in ("async", "await"):
            line, column = at
            at = (line, column + 1)  # the space behind it
        elif token.type in (tokenize.NAME, tokenize.STRING):
            kept.append(_renamed(token.string))
        elif token.type not in (tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            kept.append(token.string)
        else:
            at = token.start
    return "".join(kept)


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """The text between two places, given as line (from 1) and column."""
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]] if start[0] <= len(lines) else ""
    inside = lines[start[0] : end[0] - 1]
    last = lines[end[0] - 1][: end[1]] if end[0] <= len(lines) else ""
    return lines[start[0] - 1][start[1] :] + "".join(inside) + last


def _renamed(text: str) -> str:
    text = re.sub(r"\bAsync(?=[A-Z])", "", text)
    return re.sub(r"\b\w+\b", lambda word: _WORDS.get(word[0], word[0]), text)


def _with_note(text: str) -> str:
    """The note stands below the first sentence of the module's docstring."""
    return re.sub(r'\A"""(.*?)(\n*)"""', lambda found: f'"""{found[1]}{_NOTE}\n"""', text, count=1, flags=re.DOTALL)
