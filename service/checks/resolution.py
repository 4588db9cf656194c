"""Resolves a question: the labels of its label set, the version of its model, the classes of a model without labels."""

from __future__ import annotations

import random
from dataclasses import dataclass

from core.errors import UnknownModel
from core.questions import Label, Question, ShadowQuestion, check_labels, check_text_count
from core.registry import Card, Version
from service.bodies.questions import QuestionBody
from service.catalog.models import ResolvedModel
from service.checks.admission import Admission
from service.checks.questions import check_question
from service.checks.training import check_open
from service.gateway import Gateway


@dataclass(frozen=True, slots=True)
class ResolvedQuestion:
    question: Question
    """With the exact version of its model."""

    as_requested: Question
    """With the model as the client named it. Repeats of the request are recognised by it."""

    shadow: ShadowQuestion | None = None


async def resolve_question(body: QuestionBody, gateway: Gateway, admission: Admission) -> ResolvedQuestion:
    """A question to a fine-tuned model that has no labels gets the classes that the model was trained on.

    Raises: InvalidRequest, InvalidLabels, UnknownLabelSet, UnknownModel, WorkerUnavailable, ModelUnavailable.
    """
    check_question(body, gateway.limits)
    options = body.model_dump(include=set(Question.model_fields) - {"labels", "timeline"})
    options["timeline"] = body.timeline
    labels = body.labels or ()
    if body.label_set is not None:
        label_set = await gateway.label_sets.get(body.label_set)
        labels = label_set.labels
        options["templates"] = body.templates or label_set.templates
    if body.labels is not None or body.label_set is not None or not await _has_classes(body.model, gateway):
        check_labels(labels, gateway.limits, options["templates"])
    model = await admission.admit(body.model)
    as_requested = Question(labels=labels, **options)
    if model.card is None:
        return ResolvedQuestion(as_requested, as_requested)
    check_open(model.card, [label.name for label in labels])
    if not labels:
        labels = tuple(Label(name=name) for name in model.card.classes)
        check_text_count(labels, as_requested.templates or ("{}",), gateway.limits.max_texts)
    normalize = model.card.normalizes_labels if body.normalize_labels is None else body.normalize_labels
    update = {"labels": labels, "model": model.name, "normalize_labels": normalize}
    shadow = await _drawn_shadow(model, model.card, gateway, body.normalize_labels) if len(labels) > 1 else None
    return ResolvedQuestion(as_requested.model_copy(update=update), as_requested, shadow)


async def _drawn_shadow(
    model: ResolvedModel, card: Card, gateway: Gateway, normalize: bool | None
) -> ShadowQuestion | None:
    """The shadow of the alias, if there is one and this question is among its share."""
    shadow = model.shadow
    if model.alias is None or shadow is None or random.random() >= shadow.share:  # noqa: S311 -- a sample, no secret
        return None
    try:
        own = await gateway.models.card(Version(card.name, shadow.version))
    except UnknownModel:  # deleted meanwhile
        return None
    return ShadowQuestion(
        name=card.name,
        alias=model.alias,
        version=card.version,
        shadow=shadow.version,
        normalize_labels=own.normalizes_labels if normalize is None else normalize,
    )


async def _has_classes(model: str | None, gateway: Gateway) -> bool:
    """Whether the model was trained on classes, so that a question needs no labels. Raises: UnknownModel."""
    resolved = await gateway.models.resolve(model)
    return resolved.card is not None and bool(resolved.card.classes)
