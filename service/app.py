"""The gateway as an ASGI application. `vireo-gateway` serves it; any ASGI server can serve `service.app:create_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from core.settings import Settings, get_settings
from core.tracing.spans import is_traced, tracer_provider
from service.checks.access import authorize
from service.connections.bodies_in_flight import BodiesInFlight
from service.gateway import open_gateway
from service.http.document import openapi_document
from service.http.envelope import install_error_handlers
from service.http.middleware import RequestObserver
from service.http.origins import OriginGuard, PlayerOrigins
from service.http.parameters import refuse_unknown_parameters
from service.routes import ROUTERS

_UNTRACED = frozenset({"/livez", "/readyz", "/metrics"})


def create_app(settings: Settings | None = None) -> FastAPI:
    """`settings`: default from the environment. Nothing is opened before the lifespan starts."""
    used = settings or get_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_gateway(used) as gateway:
            app.state.gateway = gateway
            app.openapi()  # takes a second in a new process, which no request should wait for
            yield

    app = FastAPI(
        lifespan=lifespan,
        routes=list(_routes()),
        redirect_slashes=False,  # the redirect names the Host header, which is wrong behind a proxy that ends TLS
        openapi_url=None,  # `service.routes.page` serves it, because operators may close it
        docs_url=None,  # FastAPI's page loads its script from another host; ours is in `service.routes.page`
        redoc_url=None,
        telemetry={
            "tracing": is_traced(),
            "tracer_provider": tracer_provider(),
            "operation_spans": False,
            "metrics": False,  # those of Prometheus are ours
            "logs": False,
            "auto_configure": False,
            "exclude": lambda scope: scope["path"] in _UNTRACED,
        },
    )
    app.state.settings = used
    install_error_handlers(app)
    app.add_middleware(BodiesInFlight, settings=used)
    app.add_middleware(PlayerOrigins, origins=used.player_origins)
    app.add_middleware(OriginGuard, bound_host=used.host, trusted=used.trusted_hosts)
    app.add_middleware(RequestObserver)  # the outermost
    app.openapi = _document  # type: ignore[method-assign]
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """No setting changes them. All applications of a process share them, because FastAPI takes half a second to read
    their signatures."""
    router = APIRouter(
        generate_unique_id_function=_operation_id,
        dependencies=[Depends(authorize), Depends(refuse_unknown_parameters)],
    )
    for each in ROUTERS:
        router.include_router(each)
    return tuple(router.routes)


@cache
def _document() -> dict[str, Any]:
    return openapi_document(_routes())


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}-{route.name}" if route.tags else route.name
