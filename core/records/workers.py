"""What workers announce of themselves."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from core.records.answers import ModelRef
from core.records.base import Record
from core.vocabulary import EngineName


class EngineCandidate(Record):
    """An engine that was looked at for a model."""

    engine: EngineName
    precision: str
    ms_per_frame: float | None = Field(None, description="CPU time on one thread, in milliseconds")
    agreement: str | None = Field(None, description="how it answers beside the model in fp32, in words")
    problem: str | None = Field(None, description="why it is not used by itself, in words")


class EngineInfo(Record):
    """What computes the features of frames of a model, and how it uses the device."""

    name: EngineName
    precision: str
    lanes: int = Field(description="forward passes at the same time")
    threads: int = Field(description="of each, on a CPU")
    batch: int = Field(description="most frames in one forward pass")
    searching: bool = Field(description="whether a faster engine is being looked for; torch serves meanwhile")
    candidates: list[EngineCandidate] = Field(default_factory=list)


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
    engine: EngineInfo | None = Field(None, description="of its default model")
    store: str | None = Field(None, description="id of the artifact store that it uses; null until it is known")
    unconfined: list[str] = Field(
        default_factory=list,
        description="what does not confine its child processes, because the system lacks it, in words",
    )
    started_at: float
    seen_at: float
