"""Checks of training requests that need no torch, so that users see errors before the job waits.

The worker checks what depends on weights, for example which temporal heads fit a tower.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.datasets import Dataset
from core.errors import InvalidDataset, InvalidLabels, InvalidRequest, InvalidTraining
from core.protocols.judged import check_split_column
from core.questions import Options, QuestionLimits, check_options
from core.registry import Card
from core.training_requests import TrainingRequest
from core.vocabulary import HEAD_INITS, METHOD_FIELDS, METHOD_RECIPES
from service.bodies.validation import similar_names

_OTHER_LABELS: Final = "Leave the labels out to get all its classes, or train with classifier=text for any labels."


def check_training(request: TrainingRequest, dataset: Dataset, limits: QuestionLimits) -> None:
    """Raises: InvalidTraining with the field; InvalidDataset if the dataset cannot be trained on."""
    errors = [finding for finding in dataset.report if finding.severity == "error"]
    if errors:
        raise InvalidDataset(
            f"{dataset.id} cannot be trained on: {errors[0].message}",
            report=[finding.model_dump(mode="json") for finding in errors],
        )
    check_split_column(request.split_column, dataset, "split_column")
    dataset = dataset.under(request.split_column)
    _check_method(request)
    _check_text(request, limits)
    _check_head(request)
    novel = _novel(request, dataset)
    _check_counts(request, dataset, novel)


def check_comparison(dataset: Dataset, cards: Sequence[Card | None]) -> None:
    """`cards`: of those of the compared models that are fine-tuned. Raises: InvalidRequest, InvalidLabels."""
    if not dataset.of("test") and not dataset.of("val"):
        raise InvalidRequest(f"{dataset.id} has no held-out clips.", hint="Name another dataset.", field="dataset")
    for card in cards:
        if card is not None:
            check_open(card, dataset.labels)


def check_open(card: Card, labels: Sequence[str], hint: str = _OTHER_LABELS) -> None:
    """Raises: InvalidLabels for a label that a model with a closed set of classes does not know."""
    if card.open_labels:
        return
    for index, label in enumerate(labels):
        if label not in card.classes:
            raise InvalidLabels(
                f"{card.name}:{card.version} does not know the label {label[:80]!r}: its classifier "
                f"({card.classifier.get('kind', 'closed')}) is not made from text and knows only its "
                f"{len(card.classes)} classes.",
                hint=hint,
                index=index,
                nearest=similar_names(label, card.classes),
            )


def check_templates(templates: Sequence[str] | None, limits: QuestionLimits, kind: type[InvalidRequest]) -> None:
    try:
        check_options(Options(templates=tuple(templates) if templates is not None else None), limits)
    except InvalidRequest as error:
        raise kind(error.message, hint=error.hint, **(error.details | {"field": "templates"})) from None


def _check_method(request: TrainingRequest) -> None:
    recipes = METHOD_RECIPES[request.method]
    if request.recipe not in recipes:
        fitting = [method for method, known in METHOD_RECIPES.items() if request.recipe in known]
        raise InvalidTraining(
            f"The recipe {request.recipe!r} is not one of the method {request.method!r}.",
            hint=f"Its recipes are {', '.join(recipes)}; {request.recipe} is for {' and '.join(fitting)}.",
            field="recipe",
            nearest=list(recipes),
        )
    usual = TrainingRequest.model_fields
    for field in sorted(frozenset().union(*METHOD_FIELDS.values()) - METHOD_FIELDS[request.method]):
        value = getattr(request, field)
        if value != usual[field].default and (field, value) != ("temporal", "mean"):
            fitting = [method for method, fields in METHOD_FIELDS.items() if field in fields]
            raise InvalidTraining(
                f"The method {request.method!r} does not read {field}.",
                hint=f"Leave {field} out, or use the method {' or '.join(fitting)}.",
                field=field,
            )


def _check_text(request: TrainingRequest, limits: QuestionLimits) -> None:
    check_templates(request.templates, limits, InvalidTraining)
    if not request.classifier.startswith("text"):
        for field in ("text_inputs", "templates"):
            if getattr(request, field) is not None:
                raise InvalidTraining(
                    f"The classifier {request.classifier!r} reads no text, so {field} has no effect.",
                    hint=f"Leave {field} out, or use classifier=text.",
                    field=field,
                )
        return
    if request.text_inputs in ("name", "context") and request.templates is not None:
        raise InvalidTraining(
            f"text_inputs={request.text_inputs} uses no templates.", hint="Leave templates out.", field="templates"
        )
    if request.text_inputs == "template" and len(request.templates or ()) > 1:
        raise InvalidTraining(
            f"text_inputs=template takes one template; {len(request.templates or ())} were given.",
            hint="With text_inputs=templates one of several is drawn in each step.",
            field="templates",
        )


def _check_head(request: TrainingRequest) -> None:
    if request.temporal_init is None:
        return
    inits = HEAD_INITS[request.temporal or "transformer"]  # no recipe has another head that has to start somehow
    if request.temporal_init not in inits:
        heads = " or ".join(f"`{head}`" for head, known in HEAD_INITS.items() if request.temporal_init in known)
        raise InvalidTraining(
            f"temporal_init={request.temporal_init} is for the temporal head {heads}, not for "
            f"{f'`{request.temporal}`' if request.temporal else 'the head of the recipe'}.",
            hint=f"This head can start as: {', '.join(inits)}." if inits else "Leave temporal_init out.",
            field="temporal_init",
        )


def _novel(request: TrainingRequest, dataset: Dataset) -> tuple[str, ...]:
    """The classes to leave out, if they are given by name."""
    if isinstance(request.novel, tuple):
        unknown = next((name for name in request.novel if name not in dataset.labels), None)
        if unknown is not None:
            raise InvalidTraining(
                f"The dataset has no class {unknown[:80]!r} to leave out.",
                field="novel",
                nearest=similar_names(unknown, dataset.labels),
            )
        return request.novel
    if request.novel is not None and not 0 < request.novel < 1:
        raise InvalidTraining(f"novel is {request.novel:g}; a share must be between 0 and 1.", field="novel")
    return ()


def _check_counts(request: TrainingRequest, dataset: Dataset, novel: tuple[str, ...]) -> None:
    trained = [counted for counted in dataset.classes if counted.train and counted.name not in novel]
    if len(trained) < 2:
        raise InvalidTraining(
            f"{len(trained)} classes have clips to train on; at least 2 are needed.",
            field="novel" if novel else "dataset",
        )
    if request.shots is None:
        return
    thin = min(trained, key=lambda counted: counted.train)
    if thin.train < request.shots:
        raise InvalidTraining(
            f"shots is {request.shots}, but the class {thin.name[:80]!r} has {thin.train} clips to train on.",
            hint=f"Ask for at most {thin.train}, or add clips.",
            field="shots",
            limit=thin.train,
        )
