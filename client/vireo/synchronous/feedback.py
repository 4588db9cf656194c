"""Feedback: what people say that videos show.

Rendered from vireo/asynchronous by docs/render.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from vireo.synchronous.connection import Connection
from vireo.calls import Call, post, quoted, without_none
from vireo.feedback_files import kind_of, parts_of
from vireo.schema.requests import FeedbackBody
from vireo.schema.videos import Feedback, ImportReport


class FeedbackStore:
    """What was said about stored videos."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        label: str | None = None,
        *,
        job: str | None = None,
        video_id: str | None = None,
        **options: Unpack[FeedbackBody],
    ) -> Feedback:
        """Say what a stored video shows, or confirm or correct the answer of a `job`. The video is kept from then on.

        `label` may be left out with a job and `confirmed=True`. Raises: VireoError.
        """
        body = without_none(options) | without_none({"label": label, "job": job, "video": video_id})
        return Feedback.read(self._connection.json(post("/v1/feedback", body, harmless=True)))

    def list(
        self,
        *,
        label: str | None = None,
        video_id: str | None = None,
        model: str | None = None,
        confirmed: bool | None = None,
        limit: int | None = None,
    ) -> Iterator[Feedback]:
        """Feedback, the latest first. Raises: VireoError."""
        filters = _filters(label, video_id, model, confirmed)
        return self._connection.pages("/v1/feedback", Feedback, limit=limit, **filters)

    def get(self, feedback_id: str) -> Feedback:
        """One feedback, with what was said before in `history`. Raises: UnknownFeedback; VireoError."""
        return Feedback.read(self._connection.get(f"/v1/feedback/{quoted(feedback_id)}"))

    def delete(self, feedback_id: str) -> None:
        """Delete one feedback with its history; its video stays. Raises: UnknownFeedback; VireoError."""
        self._connection.delete(f"/v1/feedback/{quoted(feedback_id)}")

    def save(
        self,
        target: str | PathLike[str],
        *,
        label: str | None = None,
        video_id: str | None = None,
        model: str | None = None,
        confirmed: bool | None = None,
    ) -> None:
        """Write feedback as Label Studio's JSON (`.json`) or as a table (`.csv`).

        Raises: InvalidRequest for a file name that ends otherwise; VireoError; OSError.
        """
        form = "csv" if kind_of(Path(target)) == "text/csv" else "label-studio"
        filters = _filters(label, video_id, model, confirmed) | {"format": form}
        answer = self._connection.answer(Call("GET", "/v1/feedback/export", filters))
        Path(target).write_bytes(answer.content)  # noqa: ASYNC240 -- a small file

    def load(self, source: str | PathLike[str]) -> ImportReport:
        """Take over Label Studio's JSON export (`.json`) or a table (`.csv`), in requests of 500 entries at most.

        The places of the `problems` count from the start of the file. Raises: InvalidRequest; VireoError.
        """
        total: dict[str, Any] = {"imported": 0, "unchanged": 0, "skipped": 0, "failed": 0, "problems": []}
        headers = {"content-type": kind_of(Path(source))}
        for before, content in parts_of(Path(source)):
            call = post("/v1/feedback/import", headers=headers, pieces=_one(content), harmless=True)
            report = self._connection.json(call)
            for problem in report.pop("problems"):
                word, _, number = problem["where"].partition(" ")
                total["problems"].append(problem | {"where": f"{word} {int(number) + before}"})
            for name, count in report.items():
                total[name] += count
        return ImportReport.read(total)


def _one(content: bytes) -> Any:
    return lambda: iter([content])


def _filters(label: str | None, video_id: str | None, model: str | None, confirmed: bool | None) -> dict[str, Any]:
    said = None if confirmed is None else str(confirmed).lower()
    return without_none({"label": label, "video": video_id, "model": model, "confirmed": said})
