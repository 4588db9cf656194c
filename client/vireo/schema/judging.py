"""Results of training, evaluations and calibrations.

Rendered from the server's OpenAPI description by docs/render.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vireo.schema.models import Comparison
from vireo.schema.result import Result


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewMetrics(Result):
    """Metrics of one kind of view. Shares are from 0 to 1."""

    clips: int
    top1: float
    top1_interval: list[float]
    top5: float
    top5_k: int
    mean_class_accuracy: float
    map: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline(Result):
    """The figure to quote, before and after training. `how`: on the judged clips of a split, or, if they are fewer
    than 100, by cross-validation over the train clips.
    """

    how: str
    clips: int
    top1: float
    interval: list[float]
    before: float | None
    told_apart: bool
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Promotion(Result):
    """Whether the new version got the alias that the request names, why, and what it was compared with."""

    alias: str
    promoted: bool
    reason: str
    standing: int | None
    comparisons: list[Comparison]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult(Result):
    """The result of a job of kind `training`: a new version."""

    model: str
    """the version, as `name:version`"""
    version: int
    metrics: ViewMetrics | None
    """metrics of the single view; null if no clip could be judged"""
    views: dict[str, ViewMetrics]
    """metrics of each kind of view: `1x1`, `4x3`, …"""
    before: dict[str, Any] | None
    """the base model on the same clips"""
    base_to_novel: dict[str, Any] | None
    """what training cost other labels"""
    headline: Headline | None
    """the figure to quote"""
    promotion: Promotion | None
    """of the alias that the request names in `promote`"""
    solver: str | None
    """`closed_form` or `gradient`"""
    classes: list[str]
    open_labels: bool
    """true: questions may have any labels; false: only `classes`"""
    report: str
    """path of the report as a page"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread(Result):
    mean: float
    std: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Row(Result):
    """Mean and population standard deviation over the draws of a row; `shots`: its place on the curve."""

    name: str
    draws: int
    shots: int | None
    numbers: dict[str, Spread | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw(Result):
    """One draw of a protocol: the row of the table that it belongs to, its numbers as shares from 0 to 1, and what
    was drawn. `drawn`: the clips that were trained on by class, in the report only; `novel`: classes left out of
    training; `job`: of the training run.
    """

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


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolResult(Result):
    """What a protocol drew and how it summed up. `source`: the line of the table of the paper that it repeats."""

    name: str
    about: str
    source: str
    rows: list[Row]
    draws: list[Draw]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationResult(Result):
    """The result of a job of kind `evaluation`."""

    evaluation: str
    """id of the evaluation, which is that of its job"""
    model: str
    split: str
    """the clips that were judged"""
    metrics: ViewMetrics | None
    """metrics of the single view; null if no clip could be judged"""
    views: dict[str, ViewMetrics]
    """metrics of each kind of view: `1x1`, `4x3`, …"""
    protocol: ProtocolResult | None
    """what the protocol drew, and its table"""
    report: str
    """path of the report as a page"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation(Result):
    """A finished evaluation. It stays after its job is deleted."""

    id: str
    """that of its job, `job_…`"""
    model: str
    dataset: str
    split: str
    """the clips that were judged"""
    protocol: str
    created_at: float
    """unix seconds"""
    views: dict[str, ViewMetrics]
    """metrics of each kind of view: `1x1`, `4x3`, …"""
    rows: list[Row]
    """the protocol's table"""
    links: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReliabilityBin(Result):
    """The answers whose probability lies between `low` and `high`: `claimed`, their mean probability; `right`, the
    share of right ones; `count`.
    """

    low: float
    high: float
    claimed: float
    right: float
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reliability(Result):
    """How well one probability holds. `ece`: mean distance of the best label's probability from the share of right
    answers; `ece_labels`: the same of every label asked; `auroc`: chance that the best label of a question with
    the clip's label has a higher probability than that of a question without it; `coverage`: share of questions
    that can be answered with 90 % right answers; `threshold`: the lowest probability among these; `diagram`: of
    the best label.
    """

    ece: float | None
    ece_labels: float | None
    auroc: float | None
    coverage: float
    threshold: float | None
    diagram: list[ReliabilityBin]


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationMeasures(Result):
    """Measured on questions about what was left out; every second one asks about the clip's label. `reading`: how
    the classes are read (`labels`; for a model that reads its trained classes in a way of their own, `trained`
    and `untrained`); `before`: the score; `after`: the confidence; `top1`: of questions with the clip's label;
    `informative`: share of the fits in which a higher similarity meant a better chance to be right.
    """

    reading: str
    questions: int
    top1: float
    before: Reliability
    after: Reliability
    informative: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration(Result):
    """A calibration."""

    id: str
    """`cal_…`"""
    format: int
    """version of the record's format"""
    version: int
    """its number among the calibrations of this model and label set"""
    model: str
    """the model that it is for"""
    digest: str
    """digest of the model's weights; it is not applied to others"""
    label_set: str | None
    """the label set whose questions it is for; null: questions with any labels"""
    scope: str
    """`any`, or the digest of the label set's labels and templates"""
    created_at: float
    """unix seconds"""
    dataset: str
    """id of the dataset"""
    clips: int
    """number of clips that it was fitted on"""
    classes: int
    """number of their classes"""
    skipped: int
    """number of clips that could not be decoded"""
    left_out: str
    """what `measures` was measured on: what the fits left out"""
    null_version: int
    """version of the list of null prompts"""
    bias: float
    """of the logistic function"""
    above_mean: float
    """its weight of the similarity above the mean null prompt"""
    above_best: float
    """its weight of the similarity above the most similar null prompt"""
    informative: bool
    """whether a higher similarity means a higher confidence; otherwise the clips showed no connection, and every
    confidence is the share of right labels
    """
    measures: list[CalibrationMeasures]
    """one for each way to read the classes"""
    notes: list[str]
    """what a user of the calibration should know"""
    links: dict[str, str]
