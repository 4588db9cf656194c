"""Methods of the client for feedback: what people say that videos show, and the datasets that are made of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vireo.answers import read_answer
from vireo.connection import Connection, without_none
from vireo.errors import InvalidRequest

BATCH = 500
"""Most tasks or lines in one request of an import."""

BATCH_BYTES = 128 << 10
"""Of the tasks of one request, unless one alone has more. A server reads 50,000 values; each has 3 bytes or more."""

_KINDS = {".json": "application/json", ".csv": "text/csv"}


class FeedbackMethods(Connection):
    """Everything that is about feedback."""

    def add_feedback(
        self,
        label: str | None = None,
        *,
        job: str | None = None,
        video: str | None = None,
        confirmed: bool | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Say what a stored `video` shows, or confirm or correct the answer of a `job`, and return the feedback.

        `label` may be left out with a job and `confirmed=True`. `options`: the other fields of POST /v1/feedback, such
        as `start` and `end`. The video is kept from then on. Raises: VireoError.
        """
        given = {"label": label, "job": job, "video": video, "confirmed": confirmed}
        return read_answer(self._post("/v1/feedback", json=without_none(options | given)))

    def feedback(self, *, limit: int | None = None, **filters: Any) -> list[dict[str, Any]]:
        """Feedback, the latest first. `limit`: at most so much of it. `filters`: `label`, `video`, `model`,
        `confirmed`. Raises: VireoError."""
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = without_none(filters)
        while limit is None or len(found) < limit:
            page = read_answer(self._send(lambda: self._http.get("/v1/feedback", params=params)))
            found += page["data"]
            if page["next"] is None:
                break
            params["cursor"] = page["next"]
        return found[:limit]

    def feedback_with_history(self, feedback_id: str) -> dict[str, Any]:
        """One feedback, with what was said before. Raises: VireoError."""
        return read_answer(self._get(f"/v1/feedback/{feedback_id}"))

    def delete_feedback(self, feedback_id: str) -> None:
        """Delete one feedback with its history; its video stays. Raises: VireoError."""
        answer = self._send(lambda: self._http.delete(f"/v1/feedback/{feedback_id}"))
        if answer.is_error:
            read_answer(answer)

    def export_feedback(self, target: str | Path, **filters: Any) -> None:
        """Write feedback as Label Studio's JSON (`.json`) or as a table (`.csv`). `filters`: as for `feedback`.

        Raises: VireoError; InvalidRequest for a file name that ends otherwise.
        """
        target = Path(target)
        params = without_none(filters | {"format": "csv" if _kind(target) == "text/csv" else "label-studio"})
        answer = self._send(lambda: self._http.get("/v1/feedback/export", params=params))
        if answer.is_error:
            read_answer(answer)
        target.write_bytes(answer.content)

    def import_feedback(self, source: str | Path) -> dict[str, Any]:
        """Take over Label Studio's JSON export (`.json`) or a table (`.csv`), in requests of 500 entries at most.

        Returns how many statements were `imported`, `unchanged` and `failed`, how many tasks were `skipped`, and the
        `problems`, whose places count from the start of the file. Raises: VireoError.
        """
        source = Path(source)
        kind = _kind(source)
        parts = _tables(source) if kind == "text/csv" else _tasks(source)
        total: dict[str, Any] = {"imported": 0, "unchanged": 0, "skipped": 0, "failed": 0, "problems": []}
        for before, content in parts:
            answer = self._post("/v1/feedback/import", content=content, headers={"content-type": kind})
            report = read_answer(answer)
            for problem in report.pop("problems"):
                word, _, number = problem["where"].partition(" ")
                total["problems"].append(problem | {"where": f"{word} {int(number) + before}"})
            for name, count in report.items():
                total[name] += count
        return total

    def feedback_dataset(
        self, name: str | None = None, *, filter: dict[str, Any] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Start the job that makes a dataset of the videos that have feedback, and return it. `filter`: `labels`,
        `model`, `confirmed`. `options`: `split_seed`, `val_fraction`. Raises: VireoError."""
        body = without_none(options | {"name": name, "filter": filter}) | {"from": "feedback"}
        return read_answer(self._post("/v1/datasets", json=body))


def _kind(path: Path) -> str:
    """Raises: InvalidRequest."""
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise InvalidRequest(f"{path} must end in .json (Label Studio) or .csv.")
    return kind


def _tasks(source: Path) -> Iterator[tuple[int, bytes]]:
    """Parts of the list, each with the number of tasks before it. Raises: InvalidRequest."""
    try:
        tasks = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{source} cannot be read as JSON: {error}.") from None
    if not isinstance(tasks, list):
        raise InvalidRequest(f"{source} is no list of tasks.", hint="Export the project in the format JSON.")
    batch, before, size = list[str](), 0, 0
    for number, task in enumerate(tasks):
        text = json.dumps(task)
        if batch and (len(batch) == BATCH or size + len(text) > BATCH_BYTES):
            yield before, f"[{','.join(batch)}]".encode()
            batch, before, size = [], number, 0
        batch.append(text)
        size += len(text)
    yield before, f"[{','.join(batch)}]".encode()


def _tables(source: Path) -> Iterator[tuple[int, bytes]]:
    """Parts of the table, each with its header and the number of lines that it lacks before it. Raises:
    InvalidRequest."""
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            header, rows, before = next(lines, []), list[list[str]](), 0
            for row in lines:
                rows.append(row)
                if len(rows) == BATCH:
                    yield before, _table(header, rows)
                    before, rows = lines.line_num - 1, []
            if rows or not before:
                yield before, _table(header, rows)
    except (OSError, ValueError, csv.Error) as error:
        raise InvalidRequest(f"{source} cannot be read as CSV: {error}.") from None


def _table(header: list[str], rows: list[list[str]]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows([header, *rows])
    return file.getvalue().encode()
