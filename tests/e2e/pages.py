"""Which copy runs the commands of which page of the documentation."""

from __future__ import annotations

from snippets import snippets

from tests.docs.pages import GUIDES, ROOT

ON_LITE = (
    "docs/examples.md",
    "docs/moving/azure-video-retrieval.md",
    "docs/moving/google-video-intelligence.md",
    "docs/tutorials/ask.md",
    "docs/tutorials/deploy.md",
    "docs/tutorials/search.md",
)
"""Pages that show answers of `lite`. Only their slow commands, which train, are left to the tiny model."""

ELSEWHERE = ("README.md", "client/README.md", "CONTRIBUTING.md")
"""Pages that other tests run, or that have no commands."""


def on_tiny() -> list[str]:
    """The pages whose commands are run with a tiny model."""
    names = [str(guide.relative_to(ROOT)) for guide in GUIDES]
    return [name for name in names if name not in ELSEWHERE and _needs_tiny(name)]


def _needs_tiny(name: str) -> bool:
    runs = [found for found in snippets((ROOT / name).read_text(encoding="utf-8")) if found.commands]
    return any(found.is_slow for found in runs) if name in ON_LITE else bool(runs)
