"""Links between pages lead to files and headings that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links


def dead_links(page: Path) -> list[str]:
    """Links of the page to a file, or to a heading of a file, that does not exist. Web addresses are not followed."""
    dead = []
    for link in links(page.read_text(encoding="utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_heading(page: Path) -> None:
    assert dead_links(page) == []


def test_a_missing_file_and_a_missing_heading_are_dead_links(tmp_path: Path) -> None:
    other, page = tmp_path / "other.md", tmp_path / "page.md"
    other.write_text("# Other: `a` & b\n\n```\n# no heading\n```\n## Twice\n## Twice\n")
    page.write_text(
        "# Page\n[1](#page) [2](#missing) [3](other.md#other-a--b) [4](other.md#no-heading) [5](other.md#twice-1)\n"
        "[6](gone.md) [7](https://example.org/gone)\n"
    )
    assert dead_links(page) == ["#missing", "other.md#no-heading", "gone.md"]
