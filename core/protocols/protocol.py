"""What an evaluation protocol is: data. `catalogue` has all of them; nothing else asks which one a request names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from core.datasets import Dataset
from core.registry import Card
from core.training_requests import EvaluationRequest, TrainingRequest
from core.vocabulary import ProtocolName

JUDGING = frozenset({"split", "labels", "templates", "normalize_labels", "frames", "views", "aggregate"})
"""Fields of a request about how one model is judged."""
TRAINING = frozenset({"shots", "seeds", "training", "name"})
"""Fields of a request about the models that a protocol trains."""


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """Classes that compete with each other only, and the clips of them that are judged."""

    name: str
    classes: tuple[str, ...]
    paths: frozenset[str] | None = None  # of the clips; None: all clips of these classes among the judged ones


@dataclass(frozen=True, slots=True)
class Run:
    """A training job of a protocol, as far as the protocol decides it."""

    name: str
    shots: int
    seed: int
    novel: tuple[str, ...] = ()  # classes left out of training

    def request(self, asked: EvaluationRequest, model: str) -> TrainingRequest:
        """The request of its job, which adds a version to `model`."""
        options = {} if asked.training is None else asked.training.model_dump()
        own = {
            "name": model,
            "dataset": asked.dataset,
            "base": asked.model,
            "split_column": asked.split_column,
            "shots": self.shots,
            "seed": self.seed,
            "novel": self.novel or None,
            "novel_clips": "judged",
        }
        return TrainingRequest.model_validate(options | own)


Numbers = Mapping[str, float | None]
"""Shares from 0 to 1 by name; None if there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Line:
    """Numbers of one draw, and the row of the table that they belong to."""

    row: str
    numbers: Numbers
    shots: int | None = None  # place of the row on the curve
    clips: int | None = None  # that were judged


def _no_spaces(_request: EvaluationRequest, _dataset: Dataset) -> tuple[LabelSpace, ...]:
    return ()


def _no_runs(_request: EvaluationRequest, _dataset: Dataset) -> tuple[Run, ...]:
    return ()


def _no_lines(_run: Run, _first: bool, _card: Card) -> Sequence[Line]:
    return ()


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol judges a model among label spaces that it draws (`spaces`), or it trains models (`runs`) and reads
    numbers off their cards (`lines`), or it does neither: then the model is judged once among all classes.

    `spaces` and `runs` are functions of the request and the dataset, and they raise InvalidRequest for a dataset that
    is too small.
    """

    name: ProtocolName
    about: str
    source: str  # the line of the table of the paper that it repeats
    reads: frozenset[str]  # fields of a request, beyond the model and the dataset
    usual: Mapping[str, Any] = field(default_factory=dict)  # of fields that a request leaves out
    spaces: Callable[[EvaluationRequest, Dataset], tuple[LabelSpace, ...]] = _no_spaces
    row: Callable[[int], str] = "{} draws".format  # the name of the row that sums the spaces up, by their number
    runs: Callable[[EvaluationRequest, Dataset], tuple[Run, ...]] = _no_runs
    lines: Callable[[Run, bool, Card], Sequence[Line]] = _no_lines  # bool: whether the run is the protocol's first
    plot: Literal["curve", "bars"] | None = None

    @property
    def trains(self) -> bool:
        return self.runs is not _no_runs

    def settle(self, request: EvaluationRequest) -> EvaluationRequest:
        """The request with the protocol's own values where it leaves a field out."""
        missing = {name: value for name, value in self.usual.items() if name not in request.model_fields_set}
        return request.model_copy(update=missing)
