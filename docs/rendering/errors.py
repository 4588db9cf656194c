"""The table of error codes."""

from __future__ import annotations

from core.errors import BY_CODE
from rendering.markdown import code, table


def errors_table() -> str:
    kinds = sorted(BY_CODE.values(), key=lambda kind: (kind.status, kind.code))
    return table(
        ("status", "code", "`Retry-After`"),
        [(str(kind.status), code(kind.code), f"{kind.retry_after} s" if kind.retry_after else "") for kind in kinds],
    )
