"""Evaluation reports in the store, by the id of the job that made them: `evaluations/<job id>/report.html` and more."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from core.errors import NotFound
from core.storage import Store

_JOB = re.compile(r"job_[0-9a-f]{24}")
_FILE = re.compile(r"report\.(html|json)|[A-Za-z0-9_\-]+\.png")


async def file(store: Store, job_id: str, name: str) -> Path:
    """Raises: NotFound."""
    missing = NotFound(
        f"There is no file {name[:80]!r} of an evaluation {job_id[:80]!r}.",
        hint="A report is there once its job has succeeded.",
    )
    if not _JOB.fullmatch(job_id) or not _FILE.fullmatch(name):
        raise missing
    try:
        return await asyncio.to_thread(store.local_path, f"evaluations/{job_id}/{name}")
    except FileNotFoundError:
        raise missing from None
