"""Records that outlive a request: jobs and their answers, stored videos, label sets, workers.

They are bodies of the HTTP contract as well, so a job that is read a day later has exactly the answer that was given
then. Times are unix seconds (UTC) as float; durations are seconds unless the name says `_ms`.
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from core.questions import Label, Mode, is_none
from core.vocabulary import FrameReads


class Record(BaseModel):
    """Readers ignore fields that they do not know: during an upgrade a record may come from a newer version."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


JobKind = Literal[
    "classification",
    "embedding",
    "explanation",
    "frames",
    "search",
    "indexing",
    "label_check",
    "batch",
    "training",
    "preview",
    "evaluation",
    "comparison",
    "calibration",
    "dataset",
    "import",
]

_EARLIER_KINDS = {"classify": "classification", "embed": "embedding"}
AcceptedJobKind = Annotated[
    JobKind, BeforeValidator(lambda kind: _EARLIER_KINDS.get(kind, kind) if isinstance(kind, str) else kind)
]
"""A kind in a record or in a request, which may have the name of an earlier version."""


class Delivery(Record):
    """One attempt to send a webhook."""

    at: float = Field(description="unix seconds")
    seconds: float = Field(description="until the answer, or until it was given up")
    status: int | None = Field(None, description="of the answer; null without one")
    error: str | None = Field(None, description="why it counts as failed; null for a success")


class Webhook(Record):
    """Where the end of a job is announced, and how that went."""

    url: str = Field(description="without its query in answers, because that may be secret")
    state: Literal["pending", "delivered", "failed"] = Field(
        "pending", description="`failed`: the last attempt has failed, or the server answered 410"
    )
    next_at: float | None = Field(None, description="unix seconds of the next attempt, once one has failed")
    deliveries: tuple[Delivery, ...] = Field((), description="all attempts, the earliest first")


class Job(Record):
    """One piece of work for a worker: its `request`, and the `result` or `error` that the worker wrote."""

    id: str
    kind: AcceptedJobKind
    state: JobState = JobState.QUEUED
    subject: str | None = Field(None, description="the model or dataset that the job makes or uses, if it names one")
    parent: str | None = Field(None, description="id of the job that made this one as a part of its work")
    request_id: str | None = Field(None, description="the id of the HTTP request that made the job, for the logs")
    traceparent: str | None = Field(None, description="the span that the job belongs under (W3C), where it is traced")
    request: dict[str, Any] = Field(default_factory=dict)
    request_key: str | None = Field(None, description="key in the store of a request that is too large for the record")
    result: dict[str, Any] | None = None
    result_key: str | None = Field(None, description="key in the store of a result that is too large for the record")
    error: dict[str, Any] | None = None
    progress: dict[str, Any] | None = Field(None, description="progress of a long job")
    webhook: Webhook | None = Field(None, description="where its end is announced")
    attempts: int = Field(0, description="number of starts; above 1 after a worker died, or the job was put back")
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def waited(self) -> float:
        """Seconds from its creation to its last start."""
        return self.started_at - self.created_at if self.started_at is not None else 0.0


Phase = Literal["preparing", "features", "preview", "training", "evaluating", "publishing", "runs", "videos"]


class Progress(Record):
    """Progress of a long job, in `GET /v1/jobs/{id}` and, once per step, in the event stream. In the phase `runs` a
    protocol waits for its training jobs, in `videos` a batch for its questions: `step` counts those that have ended, of
    `steps`."""

    phase: Phase = Field(description="stage of the run")
    epoch: float = Field(0.0, description="epochs done")
    epochs: float | None = Field(None, description="epochs in all")
    step: int = Field(0, description="optimiser steps done")
    steps: int | None = Field(None, description="optimiser steps in all")
    loss: float | None = Field(None, description="training loss of the last step")
    lr: float | None = Field(None, description="learning rate of new modules")
    samples_per_s: float | None = Field(None, description="clips trained on per second")
    eta_s: float | None = Field(None, description="seconds left")
    failed: int | None = Field(None, description="videos of a batch that have an error")


def subject_of(request: dict[str, Any]) -> str | None:
    """The subject of a job, as far as its request tells."""
    question = request.get("question") or {}
    names = (request.get("name"), request.get("model"), question.get("model"), request.get("dataset"))
    return next((str(name) for name in names if name), None)


def new_job_id() -> str:
    return f"job_{secrets.token_hex(12)}"


def video_id(sha256: str) -> str:
    return f"vid_{sha256}"


class VideoFacts(Record):
    """Facts from the video container. Width and height are those after rotation."""

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
    score: float = Field(description="softmax over the labels of the question, 0 to 1")
    similarity: float = Field(description="cosine of video and label, -1 to 1; comparable between questions")
    confidence: float | None = Field(
        None,
        description="calibrated probability that the label is right, 0 to 1, independent of the other labels; null if "
        "the model is not calibrated",
    )
    present: bool | None = Field(
        None,
        exclude_if=is_none,
        description="with the mode `multi`: whether the label's confidence (or score, if the model is not calibrated) "
        "reaches the threshold",
    )


class CalibrationRef(Record):
    """The calibration that gave the confidences of an answer."""

    id: str = Field(description="`cal_…`")
    version: int = Field(description="its number among the calibrations of this model and label set")
    label_set: str | None = Field(description="the label set that it is for; null: any labels")
    created_at: float = Field(description="unix seconds")


class Timings(Record):
    """Milliseconds per stage, as the worker measured them."""

    queue: float = 0.0
    fetch: float = 0.0
    decode: float = 0.0
    encode: float = 0.0
    text: float = 0.0
    score: float = 0.0
    total: float = 0.0


class CacheUse(Record):
    video: Literal["hit", "miss"]
    classifier: Literal["hit", "partial", "miss"]
    timeline: Literal["hit", "miss"] | None = Field(
        None,
        exclude_if=is_none,
        description="whether the vectors of the windows came from a cache; only with a timeline",
    )


class ModelRef(Record):
    """The model that gave an answer, and notes on its strength."""

    name: str
    digest: str = Field(description="digest of the weights, which is part of every cache key")
    reason: str | None = Field(None, description="why `auto` chose this model")
    note: str | None = Field(None, description="how strong the model is, and how to get a stronger one")


class Segment(Record):
    """A part of a video in which one label is ahead of the others."""

    label: str
    start: float = Field(description="seconds from the start of the video")
    end: float = Field(description="seconds from the start of the video")
    peak: float = Field(description="the highest similarity in it")
    mean: float = Field(description="the mean similarity in it")


class LabelTimeline(Record):
    """When the labels of a question are seen. Its numbers are similarities, not probabilities."""

    stride: float = Field(description="seconds between two points")
    window: float = Field(description="seconds that each point sees: half of them before it, half after it")
    timestamps: list[float] = Field(description="the points, in seconds from the start of the video")
    similarities: dict[str, list[float]] = Field(
        description="by label: the cosine of the label and what each point sees, -1 to 1"
    )
    segments: list[Segment] = Field(description="in order, without overlap")
    enter: float = Field(description="score that a label reaches in its segment")
    leave: float = Field(description="score below which its segment ends")


class Classification(Record):
    """The answer to a question about a video."""

    id: str = Field(description="job id")
    model: str = Field(description="the model that answered; a fine-tuned one as `name:version`")
    model_info: ModelRef = Field(description="`name`, `digest` of the weights, `reason` of an automatic choice, `note`")
    video: VideoRef = Field(description="`id` for further questions, and what the container says")
    frames: list[float] = Field(description="timestamps of the sampled frames, in seconds")
    views: str = Field(description="clips × crops")
    predictions: list[Prediction] = Field(
        description="`label`, `score`, `similarity` and `confidence` of each label, the highest score first"
    )
    abstained: bool = Field(
        description="true if no label reaches `threshold`: by its confidence, or by its score if the model is not "
        "calibrated"
    )
    mode: Mode = Field("single", description="whether one label can be right, or several")
    calibrated: bool = Field(False, description="whether the predictions have a confidence")
    calibration: CalibrationRef | None = Field(
        None, description="the calibration that was applied; null if there is none"
    )
    timeline: LabelTimeline | None = Field(
        None, exclude_if=is_none, description="when each label is seen; only if it was asked for"
    )
    warnings: list[str] = Field(
        default_factory=list,
        description="problems that did not prevent an answer: a truncated label, a damaged file of which some frames "
        "could be read",
    )
    timings_ms: Timings = Field(description="milliseconds per stage, as the worker measured them")
    cache: CacheUse = Field(description="whether the video's features and the classifier's rows came from a cache")


class FrameContribution(Record):
    time: float = Field(description="seconds from the start of the video")
    contribution: float = Field(description="the frame's part of the similarity; it may be negative")


class AttentionSheet(Record):
    """A picture of the frames that the model looked at, each with the attention of the image tower over it."""

    url: str = Field(description="path of the PNG; it stays as long as the job")
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    frames: list[int] = Field(description="the frames that it shows, as places in `frames`; of many frames only some")


class Explanation(Record):
    """Why a label got its score: what each frame adds to the similarity, and where the image tower looks."""

    id: str = Field(description="job id")
    model: str = Field(description="the model that answered; a fine-tuned one as `name:version`")
    model_info: ModelRef = Field(description="`name`, `digest` of the weights, `reason` of an automatic choice, `note`")
    video: VideoRef = Field(description="`id` for further questions, and what the container says")
    label: str = Field(description="the label that is explained")
    score: float = Field(description="softmax over the labels of the question, 0 to 1")
    similarity: float = Field(description="cosine of video and label, -1 to 1: the sum of the contributions")
    frames: list[FrameContribution] = Field(
        description="`time` and `contribution` of each frame of the view, in order; a short video repeats frames"
    )
    reads: FrameReads = Field(
        description="what the contribution of a frame has seen: the `frame` alone, also its `neighbours` (convolutions "
        "over time), or the whole `clip` (a temporal transformer, whose outputs are averaged)"
    )
    sheet: AttentionSheet | None = Field(description="null for an image tower without attention over places")
    sheet_note: str | None = Field(description="why there is no sheet, in words")
    predictions: list[Prediction] = Field(description="all labels, the highest score first, as a classification's")
    warnings: list[str] = Field(default_factory=list, description="as in a classification")
    timings_ms: Timings = Field(
        description="milliseconds per stage; `encode` with the attention, `score` with the drawing"
    )


class FrameSheet(Record):
    """The frames that a model looks at, as one picture: tiles of one size from left to right, row after row."""

    id: str = Field(description="job id")
    model: str = Field(description="the model whose frames they are; a fine-tuned one as `name:version`")
    video: VideoRef = Field(description="`id` for further questions, and what the container says")
    frames: list[float] = Field(description="the time of each tile, seconds; a short video repeats frames")
    url: str = Field(description="path of the JPEG; it stays as long as the job")
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    tile: int = Field(description="width and height of a tile, pixels: the square that the model sees")
    columns: int = Field(description="tiles in a row")
    warnings: list[str] = Field(default_factory=list, description="as in a classification")


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


class LastAnswer(Record):
    """What the last question about a video was answered: of those with two labels at least, in the mode `single`."""

    job: str = Field(description="id of its job")
    model: str = Field(description="the model that answered; a fine-tuned one as `name:version`")
    label: str = Field(description="the best label")
    score: float = Field(description="its score, 0 to 1")
    confidence: float | None = Field(None, description="its confidence; null if the model is not calibrated")
    uncertainty: float = Field(
        description="1 minus the margin, which is the best score minus the second best: 0 is certain, 1 undecided"
    )
    at: float = Field(description="unix seconds")


class StoredVideo(Record):
    """A stored video. Its bytes are in the store once, as `blobs/<sha256>`, even if it was sent several times."""

    sha256: str
    bytes: int
    kept: bool = Field(description="true: stored until it is deleted; false: stored until `expires_at`")
    created_at: float
    expires_at: float | None = None
    facts: VideoFacts | None = Field(None, description="null until a worker has decoded the video")
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = Field(default_factory=dict)
    answer: LastAnswer | None = None

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
