"""What a server says about itself.

Rendered from the server's OpenAPI description by docs/render.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vireo.schema.models import Model
from vireo.schema.questions import ModelRef
from vireo.schema.result import Result


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineCandidate(Result):
    """An engine that was looked at for a model."""

    engine: str
    precision: str
    ms_per_frame: float | None
    """CPU time on one thread, in milliseconds"""
    agreement: str | None
    """how it answers beside the model in fp32, in words"""
    problem: str | None
    """why it is not used by itself, in words"""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineInfo(Result):
    """What computes the features of frames of a model, and how it uses the device."""

    name: str
    precision: str
    lanes: int
    """forward passes at the same time"""
    threads: int
    """of each, on a CPU"""
    batch: int
    """most frames in one forward pass"""
    searching: bool
    """whether a faster engine is being looked for; torch serves meanwhile"""
    candidates: list[EngineCandidate]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerInfo(Result):
    """What a worker announces with each heartbeat."""

    id: str
    queue: str
    state: str
    detail: str
    """what the worker is doing, or why it cannot work, in words"""
    error: dict[str, Any] | None
    model: ModelRef | None
    models: list[str]
    """names of the models that it can serve"""
    promptable: list[str]
    """of these, the models that can carry prompts"""
    device: str | None
    precision: str | None
    engine: EngineInfo | None
    """of its default model"""
    store: str | None
    """id of the artifact store that it uses; null until it is known"""
    unconfined: list[str]
    """what does not confine its child processes, because the system lacks it, in words"""
    started_at: float
    seen_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue(Result):
    depth: int
    """waiting jobs"""
    running: int
    age_s: float
    """age of the oldest waiting job, in seconds"""
    workers: dict[str, int]
    """number of workers that are starting, ready, failed"""
    age_seconds: float
    """the earlier name of `age_s`"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quotas(Result):
    """What a key may use. null: as much as it likes."""

    requests_per_minute: int | None
    """requests in one minute"""
    video_seconds_per_day: int | None
    """seconds of video decoded in 24 hours"""
    training_minutes_per_day: int | None
    """minutes of training in 24 hours"""
    stored_bytes: int | None
    """bytes of videos and datasets stored in the key's project"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key(Result):
    """An API key without its secret. Without an id: this server needs no key."""

    id: str | None
    name: str
    project: str
    scopes: list[str]
    expires_at: float | None
    """unix seconds; null: never"""
    quotas: Quotas


@dataclass(frozen=True, kw_only=True, slots=True)
class Info(Result):
    """Version, model, limits, workers and queues of this server."""

    version: str
    model: Model | None
    """the default model; null until a worker is ready"""
    device: str | None
    precision: str | None
    engine: EngineInfo | None
    limits: dict[str, int | float]
    redis: str
    """without its password"""
    store: str
    workers: list[WorkerInfo]
    queues: dict[str, Queue]
    key: Key
    """the API key that asks"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check(Result):
    ok: bool
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Readiness(Result):
    ready: bool
    reasons: list[str]
    """why it is not ready, in words; empty when it is ready"""
    checks: dict[str, Check]
