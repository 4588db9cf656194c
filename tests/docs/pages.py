"""The pages of the documentation, and the parts of Markdown that the tests look at."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "client" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
PAGES = [*GUIDES, ROOT / "CHANGELOG.md"]
"""With the changelog, which also names what is gone."""

_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def prose(text: str) -> str:
    """The text without its blocks of code."""
    return _FENCE.sub("", text)


def code_lines(text: str) -> list[str]:
    """Every code span, and every line of a block of code; lines that end with a backslash are joined."""
    spans = _SPAN.findall(prose(text))
    blocks = [line for fence in _FENCE.findall(text) for line in fence.replace("\\\n", " ").splitlines()[1:-1]]
    return spans + blocks


def links(text: str) -> list[str]:
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(text)):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found
