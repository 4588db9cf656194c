"""Results of long jobs, as their workers write them into the job's record. (Questions have theirs in `core.records`.)

They describe the HTTP contract. A result that an earlier version wrote is shown as it is, and is never checked again.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from core.datasets import Finding
from core.records import Classification, Embeddings, Record


class ViewMetrics(TypedDict):
    """Metrics of one kind of view. Shares are from 0 to 1."""

    clips: int
    top1: float
    top1_interval: list[float]
    top5: float
    top5_k: int
    mean_class_accuracy: float
    map: float


_REPORT = "path of the report as a page"
_SINGLE = "metrics of the single view; null if no clip could be judged"
_VIEWS = "metrics of each kind of view: `1x1`, `4x3`, …"


class TrainingResult(Record):
    """The result of a job of kind `training`: a new version."""

    model: str = Field(description="the version, as `name:version`", examples=["my-gym:1"])
    version: int
    metrics: ViewMetrics | None = Field(description=_SINGLE)
    views: dict[str, ViewMetrics] = Field(description=_VIEWS)
    before: dict[str, Any] | None = Field(description="the base model on the same clips")
    base_to_novel: dict[str, Any] | None = Field(description="what training cost other labels")
    classes: list[str]
    open_labels: bool = Field(description="true: questions may have any labels; false: only `classes`")
    report: str = Field(description=_REPORT)


class EvaluationResult(Record):
    """The result of a job of kind `evaluation`."""

    evaluation: str = Field(description="id of the evaluation, which is that of its job")
    model: str
    split: str = Field(description="the clips that were judged")
    metrics: ViewMetrics | None = Field(description=_SINGLE)
    views: dict[str, ViewMetrics] = Field(description=_VIEWS)
    half_class: dict[str, Any] | None = Field(description="of the protocol `half_class`")
    report: str = Field(description=_REPORT)


class DatasetResult(Record):
    """The result of a job of kind `dataset`."""

    dataset: str = Field(description="id of the dataset")
    name: str
    classes: int = Field(description="number of classes")
    clips: int = Field(description="number of clips")
    report: tuple[Finding, ...] = Field(description="what was found in the uploaded archive")


class ImportResult(Record):
    """The result of a job of kind `import`: a new version."""

    model: str = Field(description="the version, as `name:version`")
    version: int
    architecture: str
    temporal: str = Field(description="temporal head")
    frames: int = Field(description="T, frames per clip")
    text: Literal["own", "base"] = Field(description="whether the text tower is in the file or is the base's")
    note: str | None = Field(description="what a user of the version should know")


RESULTS: tuple[type[Record], ...] = (
    Classification,
    Embeddings,
    TrainingResult,
    EvaluationResult,
    DatasetResult,
    ImportResult,
)
"""The results of all kinds of jobs. Each has required fields that no other has."""
