"""Results of long jobs, as their workers write them into the job's record. (Questions have theirs in `core.records`.)

They describe the HTTP contract. A result that an earlier version wrote is shown as it is, and is never checked again.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from core.calibration.record import Calibration
from core.comparison.paired import Comparison
from core.datasets import Finding
from core.labels.check import LabelCheck
from core.records import Classification, Embeddings, Explanation, ModelRef, Record, Timings


class ViewMetrics(TypedDict):
    """Metrics of one kind of view. Shares are from 0 to 1."""

    clips: int
    top1: float
    top1_interval: list[float]
    top5: float
    top5_k: int
    mean_class_accuracy: float
    map: float


class SearchHit(TypedDict):
    """A stored video, and its window that resembles what was searched most."""

    video: str
    start: float
    end: float
    similarity: float
    duration: float
    tags: list[str]
    metadata: dict[str, str]


class SearchResult(Record):
    """The result of a job of kind `search`."""

    id: str = Field(description="job id")
    model: str = Field(description="the model that was searched with")
    model_info: ModelRef = Field(description="as in a classification")
    data: list[SearchHit] = Field(
        description="stored videos, the most similar first: `video` is its id, `start` and `end` (seconds) are the "
        "window that resembles most what was searched, `similarity` is its cosine, -1 to 1"
    )
    stored: int = Field(description="stored videos that fit the filter")
    searched: int = Field(description="of these, the videos with vectors for this model, which were searched")
    windows: int = Field(description="windows that were compared")
    warnings: list[str] = Field(default_factory=list, description="what was not searched, a text that is too long")
    timings_ms: Timings = Field(description="milliseconds per stage; `score` with reading new vectors from the cache")


class IndexFailure(TypedDict):
    """A video that could not be made searchable, and why."""

    video: str
    code: str
    message: str


class IndexResult(Record):
    """The result of a job of kind `indexing`."""

    model: str
    indexed: int = Field(description="videos whose vectors were computed")
    known: int = Field(description="videos that had vectors")
    failed: list[IndexFailure] = Field(description="videos that could not be decoded, or are gone")


_REPORT = "path of the report as a page"
_SINGLE = "metrics of the single view; null if no clip could be judged"
_VIEWS = "metrics of each kind of view: `1x1`, `4x3`, …"


class HeadEstimate(TypedDict):
    """A way to decide among the classes, judged on clips that it was not fitted on."""

    name: Literal["zero_shot", "ncm", "ridge", "lda", "default"]
    top1: float | None
    error: float | None
    interval: list[float] | None
    note: str | None


class CurvePoint(TypedDict):
    shots: int
    top1: float
    low: float
    high: float
    measured: bool


class Cost(TypedDict):
    """Minutes of work on this machine."""

    features: float
    closed_form: float
    gradient: float


class Advice(TypedDict):
    action: Literal["train", "label_more", "fix_labels", "use_as_it_is"]
    sentence: str
    classes: list[str]
    clips: list[str]


class PreviewResult(Record):
    """The result of a job of kind `preview`: what training on the dataset would bring. Shares are from 0 to 1."""

    dataset: str
    base: str = Field(description="the model whose frozen features were used")
    judged_clips: int = Field(description="train clips that were left out once in each round of cross-validation")
    classes: list[str]
    shots: int = Field(description="clips of the rarest class")
    heads: list[HeadEstimate] = Field(
        description="`zero_shot`: the base as it is; `ncm`, `ridge`, `lda`: heads on frozen features; `default`: what "
        "the recipe `default` would give. Top-1 by repeated stratified cross-validation, with its standard error and "
        "its 95 % interval; `note` says why a head is left out"
    )
    gain: list[float] | None = Field(
        description="95 % interval of the difference between `default` and `zero_shot`, paired by clip"
    )
    curve: list[CurvePoint] = Field(
        description="top-1 of `default` over clips per class with a 90 % band; the last points are predictions"
    )
    cost: Cost = Field(description="minutes of work here")
    tower: bool = Field(description="whether there are enough clips to train the image tower itself")
    advice: Advice


class Headline(TypedDict):
    """The figure to quote, before and after training. `how`: on the judged clips of a split, or, if they are fewer than
    100, by cross-validation over the train clips."""

    how: Literal["held_out", "cross_validated"]
    clips: int
    top1: float
    interval: list[float]
    before: float | None
    told_apart: bool
    sentence: str


class Promotion(TypedDict):
    """Whether the new version got the alias that the request names, why, and what it was compared with."""

    alias: str
    promoted: bool
    reason: str
    standing: int | None
    comparisons: list[Comparison]


class TrainingResult(Record):
    """The result of a job of kind `training`: a new version."""

    model: str = Field(description="the version, as `name:version`", examples=["my-gym:1"])
    version: int
    metrics: ViewMetrics | None = Field(description=_SINGLE)
    views: dict[str, ViewMetrics] = Field(description=_VIEWS)
    before: dict[str, Any] | None = Field(description="the base model on the same clips")
    base_to_novel: dict[str, Any] | None = Field(description="what training cost other labels")
    headline: Headline | None = Field(None, description="the figure to quote")
    promotion: Promotion | None = Field(None, description="of the alias that the request names in `promote`")
    solver: str | None = Field(None, description="`closed_form` or `gradient`")
    classes: list[str]
    open_labels: bool = Field(description="true: questions may have any labels; false: only `classes`")
    report: str = Field(description=_REPORT)


class Spread(TypedDict):
    mean: float
    std: float


class Draw(TypedDict):
    """One draw of a protocol: the row of the table that it belongs to, its numbers as shares from 0 to 1, and what was
    drawn. `drawn`: the clips that were trained on by class, in the report only; `novel`: classes left out of training;
    `job`: of the training run."""

    name: str
    row: str
    shots: int | None
    numbers: dict[str, float | None]
    clips: int | None
    classes: list[str]
    novel: list[str]
    drawn: dict[str, list[str]] | None
    job: str | None
    model: str | None


class Row(TypedDict):
    """Mean and population standard deviation over the draws of a row; `shots`: its place on the curve."""

    name: str
    draws: int
    shots: int | None
    numbers: dict[str, Spread | None]


class ProtocolResult(TypedDict):
    """What a protocol drew and how it summed up. `source`: the line of the table of the paper that it repeats."""

    name: str
    about: str
    source: str
    rows: list[Row]
    draws: list[Draw]


class EvaluationResult(Record):
    """The result of a job of kind `evaluation`."""

    evaluation: str = Field(description="id of the evaluation, which is that of its job")
    model: str
    split: str = Field(description="the clips that were judged")
    metrics: ViewMetrics | None = Field(description=_SINGLE)
    views: dict[str, ViewMetrics] = Field(description=_VIEWS)
    protocol: ProtocolResult | None = Field(description="what the protocol drew, and its table")
    report: str = Field(description=_REPORT)


class DatasetResult(Record):
    """The result of a job of kind `dataset`."""

    dataset: str = Field(description="id of the dataset")
    name: str
    classes: int = Field(description="number of classes")
    clips: int = Field(description="number of clips")
    report: tuple[Finding, ...] = Field(description="what was found in the uploaded archive")


class BatchResult(Record):
    """The result of a job of kind `batch`."""

    items: int = Field(description="number of items in the manifest")
    answered: int = Field(description="how many of them have an answer")
    unanswered: int = Field(description="how many of them have an error")
    results: str = Field(description="path of the rows, one per item")


class ImportResult(Record):
    """The result of a job of kind `import`: a new version."""

    model: str = Field(description="the version, as `name:version`")
    version: int
    architecture: str
    temporal: str = Field(description="temporal head")
    frames: int = Field(description="T, frames per clip")
    text: Literal["own", "base"] = Field(description="whether the text tower is in the file or is the base's")
    note: str | None = Field(description="what a user of the version should know")


RESULTS: tuple[type[Any], ...] = (
    Classification,
    Embeddings,
    Explanation,
    SearchResult,
    IndexResult,
    LabelCheck,
    TrainingResult,
    PreviewResult,
    EvaluationResult,
    Comparison,
    Calibration,
    DatasetResult,
    BatchResult,
    ImportResult,
)
"""The results of all kinds of jobs. Each has required fields that no other has."""
