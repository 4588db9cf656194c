"""How the pages of reports are filled. Class and file names are untrusted text: the templates escape everything, and a
content security policy in each page forbids it to load or run anything. No torch."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import jinja2

_METRICS = {"top1": "top-1", "top5": "top-5", "map": "macro mAP"}


def environment() -> jinja2.Environment:
    """The templates of this folder. They escape everything that they are given."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"percent": _percent, "points": _points, "plural": _plural, "metric": _metric}
    return found


def _metric(name: str) -> str:
    return _METRICS.get(name, name.replace("_", " "))


def moment(time: float) -> str:
    """time: seconds since 1970."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")


def embedded(pictures: Mapping[str, bytes]) -> dict[str, str]:
    """pictures: name → PNG."""
    return {name: "data:image/png;base64," + base64.b64encode(png).decode() for name, png in pictures.items()}


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}\u00a0%"


def _points(share: float) -> str:
    """A difference of two shares."""
    return f"{100 * share:+.1f}".replace("-", "−")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun if count == 1 else noun + ('es' if noun.endswith('s') else 's')}"
