"""The label doctor: /v1/labels/check and /v1/label-sets/{name}/check."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from core.labels.check import LabelCheck, LabelCheckRequest
from core.labels.spelling import spelling_findings
from core.questions import Label, Options, check_labels, check_options
from service.bodies import examples, reader
from service.bodies.schemas import LabelCheckBody, LabelSetCheckBody
from service.checks.admission import Admission
from service.dependencies import AdmissionDep, GatewayDep, NamePath, PreferencesDep
from service.gateway import Gateway
from service.http.openapi import documented_errors, json_body
from service.routes.classify import QUESTION_ERRORS, QUESTION_RESPONSES

router = APIRouter(tags=["label-sets"])


@router.post(
    "/v1/labels/check",
    name="check",
    response_model=LabelCheck,
    responses=QUESTION_RESPONSES | documented_errors(*QUESTION_ERRORS),
    openapi_extra=json_body(LabelCheckBody, examples.LABEL_CHECK_EXAMPLES),
)
async def check_labels_of_request(
    request: Request, gateway: GatewayDep, preferences: PreferencesDep, admission: AdmissionDep
) -> Response:
    """Check labels before anything is asked: duplicates, near-synonyms, and what a text encoder cannot read well."""
    body = await reader.read_json_body(request, LabelCheckBody)
    resolved = await _resolve(body, body.labels, body.templates, gateway, admission)
    return await gateway.submitter.submit("label_check", resolved, preferences, request, as_requested=body)


@router.post(
    "/v1/label-sets/{name}/check",
    name="check-set",
    response_model=LabelCheck,
    responses=QUESTION_RESPONSES | documented_errors(*QUESTION_ERRORS),
    openapi_extra=json_body(LabelSetCheckBody, examples.LABEL_SET_CHECK_EXAMPLES),
)
async def check_label_set(
    name: NamePath, request: Request, gateway: GatewayDep, preferences: PreferencesDep, admission: AdmissionDep
) -> Response:
    """Check a stored label set, `name` or `name:version`, with its own templates."""
    body = await reader.read_json_body(request, LabelSetCheckBody)
    label_set = await gateway.label_sets.get(name)
    resolved = await _resolve(body, label_set.labels, body.templates or label_set.templates, gateway, admission)
    return await gateway.submitter.submit("label_check", resolved, preferences, request)


async def _resolve(
    body: LabelSetCheckBody,
    labels: tuple[Label, ...],
    templates: tuple[str, ...] | None,
    gateway: Gateway,
    admission: Admission,
) -> LabelCheckRequest:
    """With what can be found without weights. Raises: InvalidRequest, InvalidLabels, UnknownModel,
    WorkerUnavailable."""
    check_options(Options(templates=body.templates), gateway.limits)
    check_labels(labels, gateway.limits, templates, distinct=False)
    model = await admission.admit(body.model)
    normalise = body.normalize_labels
    if normalise is None:
        normalise = model.card is not None and model.card.normalizes_labels
    return LabelCheckRequest(
        labels=labels,
        model=model.name,
        templates=templates,
        normalize_labels=normalise,
        found=tuple(spelling_findings(labels, normalised=normalise)),
    )
