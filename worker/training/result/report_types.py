"""The form of report.json. Shares are from 0 to 1; null means that there is nothing to measure.

model      name (`gym:3`), base, recipe, classifier, temporal, open_labels, precision of the image tower as served;
           of a version that was fitted in closed form also `fit`: its heads, their share (`mix`), and the base's skill
dataset    id, digest, name
split, protocol, created_at
classes    in the order of W's rows
views      "1x1", "4x3", … → clips, top1, its 95 % interval, top5 (and its k: min(5, C)), mean_class_accuracy, map
per_class  of the single view, in the order of classes: support, accuracy, ap, and the class it was most often
           confused with
confusion  [C][C] clips of the single view; rows are the true classes
mistakes   the wrongly classified clips of the single view that have the highest scores
before     the model that training started from, on the same clips: its metrics; clips gained and lost; and the
           probability of a difference at least as large if training had changed nothing
base_to_novel    what training cost other labels: top-1 among base and among novel classes and their harmonic mean,
           before and after
protocol_result  the line of the table of the paper that the protocol repeats; what it drew, and the numbers of each
           draw; rows with the mean and the population deviation over draws (`ProtocolResult` of docs/api.md)
preview    what was known before training (`PreviewResult` of docs/api.md): heads, curve, cost, advice
headline   the figure to quote, with its interval, and whether before and after can be told apart
classifier_correlation   name → cosines between the rows of W [C][C]
curves     train: step, epoch, loss, lr;   val: epoch, loss, top1
vectors    the judged clips' video vectors on a plane (t-SNE), before and after training, or why there is no map
skipped    clips that could not be read, and why; no number counts them
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from core.results import Headline, ProtocolResult
from worker.training.fit.curves import Curves
from worker.training.judging.comparison import BaseToNovelRecord, Comparison
from worker.training.judging.measures import Evaluation
from worker.training.result.maps import VectorMap


class FitFacts(TypedDict):
    heads: list[str]
    mix: float
    zero_shot_skill: float


class ModelFacts(TypedDict):
    name: str
    base: str | None
    recipe: str | None
    classifier: str | None
    temporal: str | None
    open_labels: bool
    precision: str
    fit: NotRequired[FitFacts | None]


class DatasetFacts(TypedDict):
    id: str
    digest: str
    name: str


class Skipped(TypedDict):
    clip: str
    reason: str


class Report(Evaluation):
    format: Literal[1]
    model: ModelFacts
    dataset: DatasetFacts
    split: str
    protocol: str
    created_at: float
    classes: list[str]
    classifier_correlation: dict[str, list[list[float]]]
    curves: Curves
    before: Comparison | None
    base_to_novel: BaseToNovelRecord | None
    protocol_result: ProtocolResult | None
    preview: dict[str, Any] | None
    headline: Headline | None
    vectors: VectorMap | None
    skipped: list[Skipped]
