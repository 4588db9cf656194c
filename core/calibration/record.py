"""A calibration: how a model's similarities become confidence, and how well that holds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from core.records import CalibrationRef, Record


class ReliabilityBin(TypedDict):
    """The answers whose probability lies between `low` and `high`: `claimed`, their mean probability; `right`, the
    share of right ones; `count`."""

    low: float
    high: float
    claimed: float
    right: float
    count: int


class Reliability(TypedDict):
    """How well one probability holds. `ece`: mean distance of the best label's probability from the share of right
    answers; `ece_labels`: the same of every label asked; `auroc`: chance that the best label of a question with the
    clip's label has a higher probability than that of a question without it; `coverage`: share of questions that can be
    answered with 90 % right answers; `threshold`: the lowest probability among these; `diagram`: of the best label."""

    ece: float | None
    ece_labels: float | None
    auroc: float | None
    coverage: float
    threshold: float | None
    diagram: list[ReliabilityBin]


class CalibrationMeasures(TypedDict):
    """Measured on questions about what was left out; every second one asks about the clip's label. `reading`: how the
    classes are read (`labels`; for a model that reads its trained classes in a way of their own, `trained` and
    `untrained`); `before`: the score; `after`: the confidence; `top1`: of questions with the clip's label;
    `informative`: share of the fits in which a higher similarity meant a better chance to be right."""

    reading: str
    questions: int
    top1: float
    before: Reliability
    after: Reliability
    informative: float


class Calibration(Record):
    """A calibration in the store. It never changes."""

    id: str = Field(description="`cal_…`")
    format: Literal[1] = Field(1, description="version of the record's format")
    version: int = Field(description="its number among the calibrations of this model and label set")
    model: str = Field(description="the model that it is for", examples=["lite", "my-gym:1"])
    digest: str = Field(description="digest of the model's weights; it is not applied to others")
    label_set: str | None = Field(
        description="the label set whose questions it is for; null: questions with any labels"
    )
    scope: str = Field(description="`any`, or the digest of the label set's labels and templates")
    created_at: float = Field(description="unix seconds")
    dataset: str = Field(description="id of the dataset")
    clips: int = Field(description="number of clips that it was fitted on")
    classes: int = Field(description="number of their classes")
    skipped: int = Field(description="number of clips that could not be decoded")
    left_out: Literal["classes", "clips"] = Field(description="what `measures` was measured on: what the fits left out")
    null_version: int = Field(description="version of the list of null prompts")
    bias: float = Field(description="of the logistic function")
    above_mean: float = Field(description="its weight of the similarity above the mean null prompt")
    above_best: float = Field(description="its weight of the similarity above the most similar null prompt")
    informative: bool = Field(
        description="whether a higher similarity means a higher confidence; otherwise the clips showed no connection, "
        "and every confidence is the share of right labels"
    )
    measures: list[CalibrationMeasures] = Field(description="one for each way to read the classes")
    notes: list[str] = Field(default_factory=list, description="what a user of the calibration should know")

    @property
    def ref(self) -> CalibrationRef:
        return CalibrationRef(id=self.id, version=self.version, label_set=self.label_set, created_at=self.created_at)
