"""Hostile files over HTTP, to a running copy of the product."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import httpx2

from benchmarks.hostile.decoding import Hostile, Outcome

_LABELS = '["a cat", "a dog"]'


def ask_about(http: httpx2.Client, files: Iterable[Hostile]) -> Iterator[Outcome]:
    """Each file is sent with a question, and deleted."""
    for file in files:
        started = time.monotonic()
        answer = http.post(
            "/v1/classify",
            data={"labels": _LABELS},
            files={"video": (file.path.name, file.path.read_bytes(), "application/octet-stream")},
        )
        seconds = time.monotonic() - started
        file.path.unlink()
        yield Outcome(file, _said(answer), answer.status_code, seconds, answer.text[:500])


def _said(answer: httpx2.Response) -> str:
    """As `Outcome.answer`; whatever is neither an answer nor an error in our envelope is "no clear answer"."""
    body = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
    if answer.status_code == 200 and body.get("predictions"):
        return "decoded with warnings" if body.get("warnings") else "decoded"
    error = body.get("error", {})
    return str(error.get("details", {}).get("reason", error.get("code", "no clear answer")))
