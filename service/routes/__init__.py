"""The HTTP routes, one file per resource. They read like sentences; what they say is done elsewhere."""

from __future__ import annotations

from fastapi import APIRouter

from service.routes import classify, embeddings, jobs, labelsets, models, operations, page, videos

ROUTERS: tuple[APIRouter, ...] = (
    classify.router,
    videos.router,
    embeddings.router,
    labelsets.router,
    jobs.router,
    models.router,
    operations.router,
    page.router,
)
