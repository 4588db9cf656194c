"""Records that outlive a request: jobs, stored videos, label sets, workers; and the answers they carry.

They are the bodies of the HTTP contract as well, so a job read a day later says exactly what was answered then.
Times are unix seconds (UTC) as float; durations are seconds unless the name says `_ms`.
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.questions import Label
from core.state import keys


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


JobKind = Literal["classify", "embed", "training", "evaluation", "dataset", "import"]

QUEUES: dict[JobKind, str] = {
    "classify": keys.INFERENCE,
    "embed": keys.INFERENCE,
    "training": keys.TRAINING,
    "evaluation": keys.TRAINING,
    "dataset": keys.DATASETS,
    "import": keys.DATASETS,
}
"""Which kind of worker does it."""


class Job(Record):
    """One asynchronous thing. `request` is what the worker reads; `result` or `error` what it left."""

    id: str
    kind: JobKind
    state: JobState = JobState.QUEUED
    request: dict[str, Any] = Field(default_factory=dict)
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    progress: dict[str, Any] | None = Field(None, description="`Progress` of a job that takes long")
    attempts: int = Field(0, description="How many workers have started it; above 1 after a worker's death.")
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None


class Progress(Record):
    """How far a training job is; in `GET /v1/jobs/{id}` and, once per step, in its event stream."""

    phase: Literal["preparing", "features", "training", "evaluating", "publishing"] = Field(
        description="stage of the run"
    )
    epoch: float = Field(0.0, description="epochs done")
    epochs: float | None = Field(None, description="epochs in all")
    step: int = Field(0, description="optimiser steps done")
    steps: int | None = Field(None, description="optimiser steps in all")
    loss: float | None = Field(None, description="training loss of the last step")
    lr: float | None = Field(None, description="learning rate of new modules")
    samples_per_s: float | None = Field(None, description="clips trained on per second")
    eta_s: float | None = Field(None, description="seconds left")


def new_job_id() -> str:
    return f"job_{secrets.token_hex(12)}"


def video_id(sha256: str) -> str:
    return f"vid_{sha256}"


class VideoFacts(Record):
    """What the container says, as shown: width and height after rotation."""

    duration: float = Field(description="seconds")
    width: int
    height: int
    fps: float | None = None
    codec: str
    container: str | None = None


class VideoRef(VideoFacts):
    id: str = Field(examples=["vid_6f3a…"])


class Prediction(Record):
    label: str
    score: float = Field(description="softmax over the labels asked for, 0 to 1")
    similarity: float = Field(description="cosine of video and label, -1 to 1; comparable between questions")


class Timings(Record):
    """Milliseconds per stage, as the worker measured them."""

    queue: float = 0.0
    decode: float = 0.0
    encode: float = 0.0
    text: float = 0.0
    score: float = 0.0
    total: float = 0.0


class CacheUse(Record):
    video: Literal["hit", "miss"]
    classifier: Literal["hit", "partial", "miss"]


class ModelRef(Record):
    """Which recogniser spoke, and what that means for trust in it."""

    name: str
    digest: str = Field(description="digest of the weights; enters every cache key")
    reason: str | None = Field(None, description="why this model, when `auto` chose it")
    note: str | None = Field(None, description="what to know about its strength, and how to get a better one")


class Classification(Record):
    """The answer to a question about a video."""

    id: str = Field(description="job id")
    model: str = Field(description="the model that answered; a fine-tuned one as `name:version`")
    model_info: ModelRef = Field(description="`name`, `digest` of the weights, `reason` of an automatic choice, `note`")
    video: VideoRef = Field(description="`id` for further questions, and what the container says")
    frames: list[float] = Field(description="timestamps of the frames looked at, in seconds")
    views: str = Field(description="clips × crops")
    predictions: list[Prediction] = Field(
        description="`label`, `score` and `similarity` of each label, the best score first"
    )
    abstained: bool = Field(description="true when the best score is below `threshold`")
    warnings: list[str] = Field(
        default_factory=list,
        description="problems that did not prevent an answer: a truncated label, a damaged file of which some frames "
        "could be read",
    )
    timings_ms: Timings = Field(description="milliseconds per stage, as the worker measured them")
    cache: CacheUse = Field(description="whether the video's features and the classifier's rows came from a cache")


class Embedding(Record):
    object: Literal["text", "video"]
    text: str | None = None
    video_id: str | None = None
    vector: list[float]


class Embeddings(Record):
    id: str
    model: str
    dim: int
    data: list[Embedding]
    warnings: list[str] = Field(default_factory=list)


class Video(Record):
    """A stored video. Its bytes are `blobs/<sha256>` in the store, once, however often it was sent."""

    sha256: str
    bytes: int
    kept: bool = Field(description="true: until deleted; false: until `expires_at`")
    created_at: float
    expires_at: float | None = None
    facts: VideoFacts | None = Field(None, description="known once a worker has looked at it")

    @property
    def id(self) -> str:
        return video_id(self.sha256)


class LabelSet(Record):
    """One immutable version of a named label set."""

    name: str
    version: int
    labels: tuple[Label, ...]
    templates: tuple[str, ...] | None = None
    description: str | None = None
    created_at: float


class WorkerInfo(Record):
    """What a worker says of itself with each heartbeat."""

    id: str
    queue: str
    state: Literal["starting", "ready", "failed"]
    detail: str = Field(description="in words: what it is doing, or why it cannot work")
    error: dict[str, Any] | None = None
    model: ModelRef | None = None
    models: list[str] = Field(default_factory=list, description="names that it can serve")
    device: str | None = None
    precision: str | None = None
    started_at: float
    seen_at: float
