"""The table of job kinds and the queues that they wait in."""

from __future__ import annotations

from core.state.queues import QUEUES
from rendering.markdown import code, table


def queues_table() -> str:
    return table(
        ("kind of job", "queue", "worker"),
        [(code(kind), code(queue), code(f"vireo-worker --queue {queue}")) for kind, queue in QUEUES.items()],
    )
