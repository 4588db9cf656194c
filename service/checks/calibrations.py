"""Checks of calibration requests that need no torch: whether there are enough clips, before any work."""

from __future__ import annotations

import asyncio

from core.calibration.learned import learned_from
from core.calibration.request import CalibrationBody, CalibrationRequest, labels_of, usable_clips
from core.questions import Label
from core.registry import Version
from service.catalog.models import ResolvedModel
from service.checks.training import check_open
from service.gateway import Gateway


async def resolve_calibration(body: CalibrationBody, gateway: Gateway) -> CalibrationRequest:
    """The request for the worker, with the exact version of its model and the labels of its label set. Raises:
    InvalidRequest with the number of clips that are needed, InvalidLabels, UnknownDataset, UnknownLabelSet,
    UnknownModel."""
    dataset = await gateway.datasets.get(body.dataset)
    model = await gateway.models.resolve(body.model)
    labels: tuple[Label, ...] | None = None
    update: dict[str, object] = {"model": model.name}
    if body.label_set is not None:
        label_set = await gateway.label_sets.get(body.label_set)
        labels = label_set.labels
        update["label_set"] = f"{label_set.name}:{label_set.version}"
    request = CalibrationRequest(
        **body.model_dump() | update, labels=labels, templates=label_set.templates if labels is not None else None
    )
    asked = labels_of(request, dataset.labels)
    items = usable_clips(dataset.items, asked, await _learned_from(model, gateway), of_set=labels is not None)
    if model.card is not None:
        present = {item.label for item in items}
        check_open(model.card, [label.name for label in asked if labels is not None or label.name in present])
    return request


async def _learned_from(model: ResolvedModel, gateway: Gateway) -> frozenset[str]:
    if model.card is None or model.name is None:  # the server's default that the project cannot name
        return frozenset()
    version = Version(model.card.name, model.card.version)
    return await asyncio.to_thread(learned_from, gateway.registry, gateway.store, [version])
