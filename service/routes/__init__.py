"""The HTTP routes, one module per resource. A route reads its request, calls the layers below, and answers.

They may import `dependencies` and what lies below it.
"""

from __future__ import annotations

from fastapi import APIRouter

from service.routes import (
    classify,
    datasets,
    embeddings,
    jobs,
    label_sets,
    labels,
    models,
    operations,
    page,
    session,
    training,
    videos,
)
from service.routes.judging import calibrations, evaluations

ROUTERS: tuple[APIRouter, ...] = (
    classify.router,
    *videos.ROUTERS,
    embeddings.router,
    label_sets.router,
    labels.router,
    datasets.router,
    training.router,
    evaluations.router,
    calibrations.router,
    models.router,
    jobs.router,
    operations.router,
    session.router,
    page.router,
)
