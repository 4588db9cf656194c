"""Bodies of the HTTP contract that are not records: what may be asked, and how jobs, videos and errors are shown."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from core.datasets import Dataset, Item
from core.questions import LabelInput, Options
from core.records import JobKind, JobState, LabelSet, VideoFacts, WorkerInfo
from core.registry import Card
from core.training_requests import ModelName, ModelRefText
from core.vocabulary import TemporalKind

ItemT = TypeVar("ItemT")

_LABELS_EXAMPLE = ["riding a bicycle", "playing the guitar", {"name": "cat", "prompts": ["a video of a cat."]}]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Body):
    """Where the video is. Exactly one is needed; in a multipart body the file `video` is one more way."""

    video_url: str | None = Field(None, description="http(s) address that answers with the video's bytes.")
    url: str | None = Field(None, description="The same as `video_url`.")
    base64: str | None = Field(None, description="The bytes in base64, plain or as a `data:` URI; JSON bodies only.")
    video_id: str | None = Field(None, description="A video that is stored already.", examples=["vid_6f3a…"])


class Asked(Options):
    """Labels, given here or by the name of a label set, plus options."""

    labels: tuple[LabelInput, ...] | None = Field(
        None, description="What to look for: names, or names with their own prompts.", examples=[_LABELS_EXAMPLE]
    )
    label_set: str | None = Field(None, description="A stored label set: `name`, or `name:version`.")


class ClassifyBody(Source, Asked):
    """Body of POST /v1/classify."""


class KeepBody(Source):
    """Body of POST /v1/videos."""


class EmbedBody(Source):
    """Body of POST /v1/embeddings: texts, or one video."""

    texts: tuple[str, ...] | None = Field(None, description="Texts to embed.", examples=[["a person riding a bicycle"]])
    model: str | None = Field(None, description="Model name; default: the server's.")
    frames: int | None = Field(None, ge=1, description="Frames per view; default: the model's.")
    views: str = Field("1x1", pattern=r"^[1-4]x[13]$", description="clips × crops, `1x1` to `4x3`.")
    normalize: bool = Field(True, description="Scale every vector to length 1.")


class LabelSetBody(Body):
    """Body of PUT /v1/label-sets/{name}."""

    labels: tuple[LabelInput, ...] = Field(description="The labels, in order.", examples=[_LABELS_EXAMPLE])
    templates: tuple[str, ...] | None = Field(None, description="Used when a question names no templates of its own.")
    description: str | None = Field(None, max_length=2000, description="What the label set is for.")


class FileBody(Body):
    """Fields beside the one file of a form, or in the query where the file is the whole body."""


class DatasetBody(FileBody):
    """Fields of POST /v1/datasets beside the file `archive`."""

    name: str | None = Field(None, min_length=1, max_length=200, description="Default: the archive's file name.")
    split_seed: int = Field(0, ge=0, description="Seed of the split that is made where the archive has none.")
    val_fraction: float = Field(
        0.2, ge=0.05, le=0.5, description="Share of each class held out, where no split is given."
    )


class ImportBody(FileBody):
    """Fields of POST /v1/models beside the file `file`."""

    name: ModelName | None = Field(None, description="Name of the model that will get a new version. Needed.")
    base: ModelRefText | None = Field(
        None, description="Zoo model whose architecture, text tower and tokenizer the checkpoint has."
    )
    temporal: TemporalKind | None = Field(None, description="Temporal head; default: read from the file's keys.")
    frames: int | None = Field(None, ge=1, le=77, description="T, frames per clip; default: read from the file.")
    classes: tuple[str, ...] = Field(
        (), description="What it was trained on: asked for where a question has no labels."
    )


class AliasBody(Body):
    """Body of PUT /v1/models/{name}/aliases/{alias}."""

    version: int = Field(ge=1, description="The version that the alias points to from now on.", examples=[3])


class ErrorBody(BaseModel):
    code: str = Field(description="stable, for programs")
    message: str = Field(description="for people")
    hint: str | None = Field(None, description="what to do about it")
    request_id: str | None = None
    details: dict[str, Any] = Field(default_factory=dict, description="the parts of the message, for programs")


class ErrorEnvelope(BaseModel):
    """What every error looks like."""

    error: ErrorBody


class Links(BaseModel):
    self: str


class JobLinks(Links):
    events: str = Field(description="server-sent events, from the first on or after `Last-Event-ID`")


class JobView(BaseModel):
    """A job as it is shown."""

    id: str = Field(description="`job_…`")
    kind: JobKind = Field(description="kind of work")
    state: JobState = Field(description="`queued`, then `running`, then one of the three final states")
    request: dict[str, Any] | None = Field(None, description="the request; null for a question about a video")
    progress: dict[str, Any] | None = Field(
        None,
        description="while queued: `jobs_before`, and `waiting_for` where no worker is there; while running: the data "
        "of the last `progress` event",
    )
    result: dict[str, Any] | None = Field(None, description="of a job that succeeded: the answer to the request")
    error: ErrorBody | None = Field(None, description="of a job that failed: the inside of the error envelope")
    attempts: int = Field(description="how many workers have started the job; above 1 after a worker's death")
    links: JobLinks = Field(description="`self`: the job; `events`: its event stream")
    created_at: float = Field(description="unix seconds")
    started_at: float | None = Field(None, description="unix seconds")
    finished_at: float | None = Field(None, description="unix seconds")


class VideoView(BaseModel):
    """A stored video as it is shown."""

    id: str = Field(examples=["vid_6f3a…"])
    bytes: int
    kept: bool = Field(description="true: until deleted; false: until `expires_at`")
    created_at: float
    expires_at: float | None = None
    facts: VideoFacts | None = Field(None, description="known once a worker has looked at it")
    links: Links


class Page(BaseModel, Generic[ItemT]):
    data: list[ItemT]
    next: str | None = Field(None, description="pass as `cursor` for the next page; null on the last")


class ModelView(BaseModel):
    name: str
    kind: Literal["zoo", "fine-tuned"] = "zoo"
    default: bool = Field(description="answers requests that name no model")
    digest: str | None = Field(None, description="digest of the weights, once loaded")
    reason: str | None = Field(None, description="why it is the default")
    note: str | None = None
    workers: list[str] = Field(description="ids of the workers that serve it")
    newest: int | None = Field(None, description="of a fine-tuned model: the version that its bare name means")
    versions: list[int] = Field(default_factory=list, description="of a fine-tuned model, ascending")
    aliases: dict[str, int] = Field(default_factory=dict, description="of a fine-tuned model: alias to version")


class ModelDetail(ModelView):
    """A model with what is known about its versions: those that were asked for, newest first."""

    cards: list[Card] = Field(default_factory=list)


class DatasetView(Dataset):
    """A dataset as it is shown; `items` only where they were asked for."""

    items: tuple[Item, ...] | None = None  # type: ignore[assignment]
    links: Links


class Metrics(BaseModel):
    """Every metric that a training run has reported so far, oldest first."""

    data: list[dict[str, Any]] = Field(examples=[[{"epoch": 1, "split": "train", "loss": 1.2, "top1": 0.5}]])


class Check(BaseModel):
    ok: bool
    detail: str


class Readiness(BaseModel):
    ready: bool
    reasons: list[str] = Field(description="why it is not ready, in words; empty when it is")
    checks: dict[str, Check]


class QueueView(BaseModel):
    depth: int = Field(description="jobs that wait")
    running: int
    age_seconds: float = Field(description="of the job that waits longest")
    workers: dict[str, int] = Field(description="how many are starting, ready, failed")


class Info(BaseModel):
    """What runs here."""

    version: str
    model: ModelView | None = Field(description="the model that answers by default; null until a worker is ready")
    device: str | None
    precision: str | None
    limits: dict[str, int | float]
    redis: str = Field(description="without its password")
    store: str
    workers: list[WorkerInfo]
    queues: dict[str, QueueView]


LabelSetPage = Page[LabelSet]
JobPage = Page[JobView]
ModelPage = Page[ModelView]
DatasetPage = Page[DatasetView]
