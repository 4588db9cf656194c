"""A rendered block: the lines of a page between `<!-- rendered: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

END = "<!-- end -->"


class MissingMarkers(ValueError):
    """The page has no place for the block."""


@dataclass(frozen=True, slots=True)
class Block:
    """`page`: path from the root of the repository; `render` returns the lines between the markers."""

    page: str
    name: str
    render: Callable[[], str]

    def __str__(self) -> str:
        return f"{self.page}: {self.name}"

    def insert(self, text: str) -> str:
        """The text of the page with this block rendered anew. Raises: MissingMarkers."""
        begin = f"<!-- rendered: {self.name} -->"
        head, mark, rest = text.partition(begin)
        _, end, tail = rest.partition(END)
        if not mark or not end:
            raise MissingMarkers(f"{self.page} lacks the lines {begin} and {END}.")
        return f"{head}{begin}\n{self.render()}\n{END}{tail}"


def stale(root: Path, blocks: Iterable[Block]) -> list[Block]:
    """The blocks that differ from what the code says now. A block without its markers is stale."""
    found = []
    for block in blocks:
        text = _text(root / block.page)
        try:
            fresh = block.insert(text) == text
        except MissingMarkers:
            fresh = False
        if not fresh:
            found.append(block)
    return found


def write(root: Path, blocks: Iterable[Block]) -> None:
    """Renders every block into its page. Raises: MissingMarkers."""
    for block in blocks:
        path = root / block.page
        path.write_text(block.insert(_text(path)), encoding="utf-8")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
