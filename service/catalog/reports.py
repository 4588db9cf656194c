"""Evaluation reports in the store, under the id of the job that wrote them: `evaluations/<job id>/report.html` etc."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from core.errors import NotFound
from core.registry import PREDICTIONS, REPORT
from core.storage import Store
from service.bodies.schemas import EvaluationLinks, EvaluationPage, EvaluationView
from service.bodies.validation import similar_names
from service.http.downloads import LocalFile

_JOB = re.compile(r"job_[0-9a-f]{24}")
_FILE = re.compile(rf"report\.(html|json)|{re.escape(PREDICTIONS)}|[A-Za-z0-9_\-]+\.png")


def _key(job_id: str) -> str:
    return f"evaluations/{job_id}"


class EvaluationReports:
    """Raises StorageUnavailable while the store cannot be reached."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, job_id: str) -> EvaluationView:
        """Raises: NotFound."""
        found = await asyncio.to_thread(self._read, job_id)
        if found is None:
            raise self._missing(job_id)
        return found

    async def page(self, cursor: str | None, limit: int) -> EvaluationPage:
        """By id."""

        def read() -> EvaluationPage:
            ids = [job_id for job_id in self._ids() if cursor is None or job_id > cursor]
            found = [self._read(job_id) for job_id in ids[:limit]]
            return EvaluationPage(
                data=[each for each in found if each], next=ids[limit - 1] if len(ids) > limit else None
            )

        return await asyncio.to_thread(read)

    async def delete(self, job_id: str) -> None:
        """Delete the report with its files. Raises: NotFound."""
        await self.get(job_id)
        await asyncio.to_thread(self._store.delete_tree, _key(job_id), REPORT)

    def _ids(self) -> list[str]:
        return [child for child in self._store.children("evaluations") if _JOB.fullmatch(child)]

    def _read(self, job_id: str) -> EvaluationView | None:
        text = self._store.read_text(f"{_key(job_id)}/{REPORT}") if _JOB.fullmatch(job_id) else None
        if text is None:
            return None
        report: dict[str, Any] = json.loads(text)
        path = f"/v1/evaluations/{job_id}"
        return EvaluationView(
            id=job_id,
            model=report["model"]["name"],
            dataset=report["dataset"]["id"],
            split=report["split"],
            protocol=report["protocol"],
            created_at=report["created_at"],
            views=report["views"],
            rows=(report.get("protocol_result") or {}).get("rows", []),
            links=EvaluationLinks(self=path, report=f"{path}/report"),
        )

    def _missing(self, job_id: str) -> NotFound:
        return NotFound(
            f"There is no evaluation {job_id[:80]!r}.",
            hint="GET /v1/evaluations lists the evaluations whose job has succeeded.",
            nearest=similar_names(job_id[:80], self._ids(), 80),
        )

    async def file(self, job_id: str, name: str) -> LocalFile:
        """A file of the report, on this machine. The caller closes it. Raises: NotFound."""
        missing = NotFound(
            f"The evaluation {job_id[:80]!r} has no file {name[:80]!r}.",
            hint="A report exists once its job has succeeded.",
        )
        if not _JOB.fullmatch(job_id) or not _FILE.fullmatch(name):
            raise missing
        try:
            return await LocalFile.open(self._store.local_file(f"{_key(job_id)}/{name}"))
        except FileNotFoundError:
            raise missing from None
