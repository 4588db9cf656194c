"""The gateway as an ASGI application. Served by `vireo-gateway`, or any ASGI server: `service.app:create_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from core.settings import Settings, get_settings
from core.training_requests import EvaluationRequest, TrainingRequest
from service.bodies.schemas import AliasBody, Asked, ClassifyBody, EmbedBody, KeepBody, LabelSetBody
from service.gateway import open_gateway
from service.http import envelope, openapi
from service.http.middleware import Observed
from service.routes import ROUTERS

_READ_BY_HAND = (
    ClassifyBody,
    Asked,
    KeepBody,
    EmbedBody,
    LabelSetBody,
    AliasBody,
    TrainingRequest,
    EvaluationRequest,
)
_DESCRIPTION = "Tells you what happens in a video, in your own words: any video, any labels."


def create_app(settings: Settings | None = None) -> FastAPI:
    """`settings`: default from the environment. Opens nothing before its lifespan starts."""
    chosen = settings or get_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_gateway(chosen) as gateway:
            app.state.gateway = gateway
            app.openapi()  # takes a tenth of a second: not in the middle of somebody's request
            yield

    app = FastAPI(
        title="Vireo",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        redoc_url=None,
    )
    envelope.install(app)
    app.add_middleware(Observed)
    for router in ROUTERS:
        app.include_router(router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}-{route.name}" if route.tags else route.name


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Built once; the bodies that routes read by hand are added to the schemas."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        known = schema.setdefault("components", {}).setdefault("schemas", {})
        for name, body in openapi.components(*_READ_BY_HAND).items():
            known.setdefault(name, body)
        app.openapi_schema = schema
    return app.openapi_schema
