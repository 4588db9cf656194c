"""What the outermost middleware does with the answer of a request, as the layers inside have found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from starlette.types import Scope

from core.access.audit import AuditEntry


@dataclass(slots=True)
class Outcome:
    headers: dict[str, str] = field(default_factory=dict)
    """Headers that the answer gets, whatever it is."""
    audit: AuditEntry | None = None
    """What the audit log says of the request; the status comes from the answer."""

    @staticmethod
    def of(scope: Scope) -> Outcome:
        """The outcome of the request, which is made when it is first asked for."""
        return cast(Outcome, scope.setdefault("state", {}).setdefault("outcome", Outcome()))
