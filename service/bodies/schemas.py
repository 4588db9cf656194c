"""Bodies of the HTTP contract besides the records of `core` and the questions: requests, and views of jobs, videos,
models and errors."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, computed_field

from core.calibration.record import Calibration
from core.datasets import Dataset, Item
from core.questions import Texts
from core.records import EngineInfo, JobKind, JobState, LabelSet, LastAnswer, VideoFacts, Webhook, WorkerInfo
from core.registry import Card, Shadow
from core.results import Row, ViewMetrics
from core.state.shadow_counts import ShadowCounts
from core.training_requests import MODEL_NAME_PATTERN, ModelName, ModelRefText, Names
from core.vocabulary import TemporalKind
from service.bodies.api_keys import KeyView
from service.bodies.job_types import JobProgressData, JobResultData, MetricData
from service.bodies.labels import LabelsInput

ItemT = TypeVar("ItemT")

LIST_FIELDS = ("labels", "templates", "texts", "classes", "tags")
"""Fields that a form may repeat, or send as one JSON array."""

MOST_VERSIONS = 999_999_999

LABELS_EXAMPLE = ["riding a bicycle", "playing the guitar", {"name": "cat", "prompts": ["a video of a cat."]}]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelSetBody(Body):
    """Body of PUT /v1/label-sets/{name}."""

    labels: LabelsInput = Field(description="The labels, in order.", examples=[LABELS_EXAMPLE])
    templates: Texts | None = Field(None, description="Prompt templates for questions that give none.")
    description: str | None = Field(None, max_length=2000, description="What the label set is for.")


class LabelSetCheckBody(Body):
    """Body of POST /v1/label-sets/{name}/check."""

    model: ModelRefText | None = Field(
        None, description="Model whose text encoder reads the labels; default: the server's default model."
    )
    templates: Texts | None = Field(
        None, description="Prompt templates, each with one `{}`; default: those of the label set, or the model's."
    )
    normalize_labels: bool | None = Field(
        None,
        strict=True,
        description="Whether `BrushHair` and `brush_hair` are read as separate words. Default: as in questions.",
    )


class LabelCheckBody(LabelSetCheckBody):
    """Body of POST /v1/labels/check."""

    labels: LabelsInput = Field(
        description="The labels, in order. They may repeat each other.", examples=[["jogging", "running", "17"]]
    )


class FileBody(Body):
    """Fields that accompany a file: in the form, or in the query where the file is the whole body."""


class DatasetBody(FileBody):
    """Fields of POST /v1/datasets, which accompany the file `archive`."""

    name: str | None = Field(None, min_length=1, max_length=200, description="Default: the archive's file name.")
    split_seed: int = Field(
        0, ge=0, lt=1 << 31, description="Seed of the split that is made where the archive gives none."
    )
    val_fraction: float = Field(
        0.2, ge=0.05, le=0.5, description="Share of each class that goes to `val` where the archive gives no split."
    )


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default")


class ImportBody(FileBody):
    """Fields of POST /v1/models, which accompany the file `file`."""

    model_config = ConfigDict(json_schema_extra={"required": ["name"]})  # but it may come after the file in the form

    name: Annotated[ModelName | None, WithJsonSchema({"type": "string", "pattern": MODEL_NAME_PATTERN})] = Field(
        None, description="Name of the model that gets a new version.", json_schema_extra=_without_default
    )
    base: ModelRefText | None = Field(
        None, description="Zoo model that has the architecture, text tower and tokenizer of the checkpoint."
    )
    temporal: TemporalKind | None = Field(None, description="Temporal head; default: read from the file's keys.")
    frames: int | None = Field(None, ge=1, le=77, description="T, frames per clip; default: read from the file.")
    classes: Names = Field(
        (), description="Classes that the model was trained on. A question without labels is scored against them."
    )


class AliasBody(Body):
    """Body of PUT /v1/models/{name}/aliases/{alias}."""

    version: int = Field(ge=1, le=MOST_VERSIONS, description="Version that the alias points to.", examples=[3])


class CompareBody(Body):
    """Body of POST /v1/models/{name}/aliases/{alias}/compare."""

    model: ModelRefText = Field(description="The candidate: a version, or a model of the zoo.", examples=["my-gym:4"])
    dataset: str | None = Field(
        None,
        pattern=r"^ds_[0-9a-f]{24}$",
        description="Dataset on whose held-out clips both are judged. Default: the clips of their reports if they are "
        "the same, else the dataset of the candidate, or of the version of the alias.",
    )


class ShadowBody(Body):
    """Body of PUT /v1/models/{name}/aliases/{alias}/shadow."""

    version: int = Field(
        ge=1, le=MOST_VERSIONS, description="Version of the same model that is tried out.", examples=[4]
    )
    share: float = Field(
        0.1, gt=0, le=1, description="Share of the questions to the alias that it scores as well.", examples=[0.1]
    )


class ErrorBody(BaseModel):
    code: str = Field(description="stable, for programs")
    message: str = Field(description="for people")
    hint: str | None = Field(None, description="what to do")
    request_id: str | None = None
    details: dict[str, Any] = Field(default_factory=dict, description="the facts of the message, for programs")


class ErrorEnvelope(BaseModel):
    """The body of every error."""

    error: ErrorBody


class Links(BaseModel):
    self: str


class VideoLinks(Links):
    content: str = Field(description="the bytes of the video")


class JobLinks(Links):
    events: str = Field(description="server-sent events: all of them, or those after `Last-Event-ID`")


class JobSummary(BaseModel):
    """A job in a list. The job itself also has its request, its result and the details of its error."""

    id: str = Field(description="`job_…`")
    kind: JobKind = Field(description="kind of work")
    state: JobState = Field(description="`queued`, then `running`, then one of the three final states")
    subject: str | None = Field(None, description="the model or dataset that the job makes or uses, if it names one")
    request_id: str | None = Field(
        None, description="the id of the HTTP request that made the job; the logs of gateway and worker have it"
    )
    parent: str | None = Field(None, description="the job that made this one, such as a protocol that trains models")
    progress: JobProgressData = Field(
        None,
        description="while queued: `jobs_before`, and `waiting_for` where no worker is ready; while running: the data "
        "of the last `progress` event",
    )
    error: ErrorBody | None = Field(None, description="of a job that failed: the inside of the error envelope")
    attempts: int = Field(
        description="how often a worker has started the job; above 1 after a worker's death, and where it waited for "
        "jobs of its own"
    )
    links: JobLinks = Field(description="`self`: the job; `events`: its event stream")
    created_at: float = Field(description="unix seconds")
    started_at: float | None = Field(None, description="unix seconds")
    finished_at: float | None = Field(None, description="unix seconds")


class JobView(JobSummary):
    """A job."""

    request: dict[str, Any] | None = Field(None, description="the request; null for questions about a video or a text")
    webhook: Webhook | None = Field(None, description="where the job's end is announced, and how that went")
    result: JobResultData = Field(
        None, title="JobResult", description="of a job that succeeded: the answer to the request, by its kind"
    )


class VideoView(BaseModel):
    """A stored video."""

    id: str = Field(examples=["vid_6f3a…"])
    bytes: int
    kept: bool = Field(description="true: stored until it is deleted; false: stored until `expires_at`")
    created_at: float
    expires_at: float | None = None
    facts: VideoFacts | None = Field(None, description="null until a worker has decoded the video")
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = Field(default_factory=dict)
    answer: LastAnswer | None = Field(
        None, description="what the last question about it was answered: the best label, and how uncertain it was"
    )
    index_job: str | None = Field(None, description="the job that makes it searchable, if the request asked for one")
    links: VideoLinks = Field(description="`self`: the video; `content`: its bytes, which a player can show")


class Page(BaseModel, Generic[ItemT]):
    data: list[ItemT]
    next: str | None = Field(None, description="send it as `cursor` to get the next page; null on the last page")


class EvaluationLinks(Links):
    report: str = Field(description="the report as a page")


class EvaluationView(BaseModel):
    """A finished evaluation. It stays after its job is deleted."""

    id: str = Field(description="that of its job, `job_…`")
    model: str = Field(examples=["my-gym:1"])
    dataset: str = Field(examples=["ds_0123456789abcdef01234567"])
    split: str = Field(description="the clips that were judged")
    protocol: str
    created_at: float = Field(description="unix seconds")
    views: dict[str, ViewMetrics] = Field(description="metrics of each kind of view: `1x1`, `4x3`, …")
    rows: list[Row] = Field(default_factory=list, description="the protocol's table")
    links: EvaluationLinks


class EvaluationPage(Page[EvaluationView]):
    """A page of evaluations."""


class CalibrationLinks(Links):
    diagram: str = Field(description="the reliability diagram, a PNG")


class CalibrationView(Calibration):
    """A calibration."""

    links: CalibrationLinks


class CalibrationPage(Page[CalibrationView]):
    """A page of calibrations."""


class VideoPage(Page[VideoView]):
    """A page of videos."""


class ModelView(BaseModel):
    name: str
    kind: Literal["zoo", "fine-tuned"] = "zoo"
    default: bool = Field(description="true: it answers requests that name no model")
    digest: str | None = Field(None, description="digest of the weights; null until they are loaded")
    reason: str | None = Field(None, description="why this model is the default")
    note: str | None = None
    workers: list[str] = Field(description="ids of the workers that serve it")
    newest: int | None = Field(
        None, description="latest version of a fine-tuned model, which its name without a version means"
    )
    versions: list[int] = Field(default_factory=list, description="versions of a fine-tuned model, ascending")
    aliases: dict[str, int] = Field(default_factory=dict, description="aliases of a fine-tuned model: alias to version")


class ModelDetail(ModelView):
    """A model with the cards of the requested versions, newest first."""

    cards: list[Card] = Field(default_factory=list)


class AliasView(BaseModel):
    """An alias of a fine-tuned model."""

    model: str
    alias: str
    version: int = Field(description="the version that the alias points to")
    shadow: Shadow | None = Field(None, description="the version that is tried out beside it; null if there is none")
    links: Links


class ShadowView(BaseModel):
    """The shadow of an alias, and what was counted of it."""

    model: str
    alias: str
    version: int = Field(description="the version that is tried out")
    share: float = Field(description="share of the questions that it scores as well")
    standing: int = Field(description="the version that answers")
    counts: ShadowCounts
    links: Links


class DatasetView(Dataset):
    """A dataset. `items` is null unless requested."""

    items: tuple[Item, ...] | None = None  # type: ignore[assignment]
    links: Links


class Metrics(BaseModel):
    """Every metric that a training run has reported so far, oldest first."""

    data: list[MetricData] = Field(examples=[[{"epoch": 1, "split": "train", "loss": 1.2, "top1": 0.5}]])


class Check(BaseModel):
    ok: bool
    detail: str


class Readiness(BaseModel):
    ready: bool
    reasons: list[str] = Field(description="why it is not ready, in words; empty when it is ready")
    checks: dict[str, Check]


class QueueView(BaseModel):
    depth: int = Field(description="waiting jobs")
    running: int
    age_s: float = Field(description="age of the oldest waiting job, in seconds")
    workers: dict[str, int] = Field(description="number of workers that are starting, ready, failed")

    @computed_field(description="the earlier name of `age_s`", json_schema_extra={"deprecated": True})
    def age_seconds(self) -> float:
        return self.age_s


class Info(BaseModel):
    """Version, model, limits, workers and queues of this server."""

    version: str
    model: ModelView | None = Field(description="the default model; null until a worker is ready")
    device: str | None
    precision: str | None
    engine: EngineInfo | None
    limits: dict[str, int | float]
    redis: str = Field(description="without its password")
    store: str
    workers: list[WorkerInfo]
    queues: dict[str, QueueView]
    key: KeyView = Field(description="the API key that asks")


class LabelSetPage(Page[LabelSet]):
    """A page of label sets."""


class JobPage(Page[JobSummary]):
    """A page of jobs."""


class ModelPage(Page[ModelView]):
    """A page of models."""


class DatasetPage(Page[DatasetView]):
    """A page of datasets."""
