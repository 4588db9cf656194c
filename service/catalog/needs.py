"""What unfinished jobs need cannot be deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from core.errors import Conflict
from core.records import Job
from service.jobs.repository import Jobs


async def check_unneeded(jobs: Jobs, queues: Iterable[str], what: str, needs: Callable[[Job], bool]) -> None:
    """Raises: Conflict that names the unfinished jobs of these queues that need `what`."""
    users = [job.id for queue in queues for job in await jobs.unfinished(queue) if needs(job)]
    if users:
        raise Conflict(
            f"The job {users[0]} uses {what} and has not finished.",
            hint="Cancel the job, or wait for it.",
            jobs=users,
        )
