"""Checks of evaluation requests that need no torch: what a protocol needs of the request and of the dataset."""

from __future__ import annotations

from core.datasets import Dataset
from core.errors import InvalidLabels, InvalidRequest
from core.protocols.catalogue import check_fields, protocol_of
from core.protocols.judged import check_split_column, clips_to_judge
from core.questions import QuestionLimits
from core.registry import Card
from core.training_requests import EvaluationRequest, TrainingRequest
from service.checks.training import check_open, check_templates, check_training

_UNNAMED = "protocol"  # the worker names temporary models after their job


def check_evaluation(
    request: EvaluationRequest, whole: Dataset, card: Card | None, limits: QuestionLimits
) -> tuple[TrainingRequest, ...]:
    """`card`: the card of a fine-tuned model. Returns what the protocol trains. Raises: InvalidRequest with the field
    and, for a dataset that is too small, the classes; InvalidLabels; InvalidTraining, InvalidDataset."""
    check_fields(request)
    check_templates(request.templates, limits, InvalidRequest)
    check_split_column(request.split_column, whole, "split_column")
    dataset, protocol = whole.under(request.split_column), protocol_of(request)
    if protocol.trains:
        trained = tuple(run.request(request, request.name or _UNNAMED) for run in protocol.runs(request, dataset))
        for training in trained:
            check_training(training, whole, limits)
        return trained
    clips_to_judge(request, dataset, protocol.spaces(request, dataset))
    if request.labels is not None and len(request.labels) != len(dataset.classes):
        raise InvalidLabels(
            f"{len(request.labels)} labels were given for {len(dataset.classes)} classes.",
            hint="Give one label for each class, in the dataset's order.",
            field="labels",
        )
    if card is not None:
        check_open(card, request.labels or dataset.labels)
    return ()
