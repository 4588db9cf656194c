"""Evaluation reports in the store, under the id of the job that wrote them: `evaluations/<job id>/report.html` etc."""

from __future__ import annotations

import re

from core.errors import NotFound
from core.storage import Store
from service.http.downloads import LocalFile

_JOB = re.compile(r"job_[0-9a-f]{24}")
_FILE = re.compile(r"report\.(html|json)|[A-Za-z0-9_\-]+\.png")


class EvaluationReports:
    """Raises StorageUnavailable while the store cannot be reached."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def file(self, job_id: str, name: str) -> LocalFile:
        """A file of the report, on this machine. The caller closes it. Raises: NotFound."""
        missing = NotFound(
            f"The evaluation {job_id[:80]!r} has no file {name[:80]!r}.",
            hint="A report exists once its job has succeeded.",
        )
        if not _JOB.fullmatch(job_id) or not _FILE.fullmatch(name):
            raise missing
        try:
            return await LocalFile.open(self._store.local_file(f"evaluations/{job_id}/{name}"))
        except FileNotFoundError:
            raise missing from None
