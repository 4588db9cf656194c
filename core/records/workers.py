"""What workers announce of themselves."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from core.records.answers import ModelRef
from core.records.base import Record


class WorkerInfo(Record):
    """What a worker announces with each heartbeat."""

    id: str
    queue: str
    state: Literal["starting", "ready", "failed"]
    detail: str = Field(description="what the worker is doing, or why it cannot work, in words")
    error: dict[str, Any] | None = None
    model: ModelRef | None = None
    models: list[str] = Field(default_factory=list, description="names of the models that it can serve")
    promptable: list[str] = Field(default_factory=list, description="of these, the models that can carry prompts")
    device: str | None = None
    precision: str | None = None
    store: str | None = Field(None, description="id of the artifact store that it uses; null until it is known")
    unconfined: list[str] = Field(
        default_factory=list,
        description="what does not confine its child processes, because the system lacks it, in words",
    )
    started_at: float
    seen_at: float
