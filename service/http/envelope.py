"""The envelope of all errors: our own, the framework's (404, 405, validation), an unreachable Redis, and bugs."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError, ResponseError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path

from core.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RequestTooLarge,
    StorageUnavailable,
    UnsupportedMedia,
    VireoError,
)
from core.logs.belonging import REQUEST_ID
from core.state.fullness import is_refusal, redis_full
from service.bodies.validation import explain, similar_names

log = logging.getLogger(__name__)

CLIENT_GONE = 499  # for the log and the metrics: the client has disconnected

_BY_STATUS: dict[int, type[VireoError]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: RequestTooLarge,
    415: UnsupportedMedia,
    422: InvalidRequest,
    400: InvalidRequest,
}


def error_response(error: VireoError, headers: dict[str, str] | None = None) -> JSONResponse:
    headers = dict(headers or {})
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": error.to_dict(REQUEST_ID.get())}, error.status, headers)


def client_gone() -> Response:
    return Response(status_code=CLIENT_GONE)


def redis_unavailable() -> StorageUnavailable:
    return StorageUnavailable("Redis cannot be reached.", hint="Try again soon; nothing was started.")


def install_error_handlers(app: FastAPI) -> None:
    async def on_vireo(_: Request, error: Exception) -> Response:
        assert isinstance(error, VireoError)
        return error_response(error)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return error_response(_from_http(request, error), dict(error.headers or {}))

    async def on_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return error_response(explain([_without_location(found) for found in error.errors()]))

    async def on_redis(request: Request, error: Exception) -> Response:
        # A ResponseError means that Redis is loading or full, or that a command of ours is wrong: log the trace.
        log.warning("Redis: %s", error, exc_info=error if isinstance(error, ResponseError) else None)
        if not is_refusal(error):
            return error_response(redis_unavailable())
        request.app.state.gateway.jobs.refused.set()
        return error_response(redis_full())

    async def on_disconnect(_: Request, __: Exception) -> Response:
        return client_gone()

    app.add_exception_handler(VireoError, on_vireo)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(RedisError, on_redis)
    app.add_exception_handler(ClientDisconnect, on_disconnect)


def _from_http(request: Request, error: HTTPException) -> VireoError:
    kind = _BY_STATUS.get(error.status_code, VireoError)
    path = request.url.path
    if kind is NotFound:
        hint = "Paths end without a slash. " if path.endswith("/") else ""
        close = similar_names(path[:200].rstrip("/"), list(request.app.openapi()["paths"]))
        return NotFound(f"There is no route {path[:200]}.", hint=f"{hint}/docs lists all routes.", nearest=close)
    if kind is MethodNotAllowed:
        allowed = ", ".join(sorted(_allowed_methods(request, error)))
        error.headers = dict(error.headers or {}) | {"Allow": allowed}
        return MethodNotAllowed(f"{path[:200]} does not allow {request.method}.", hint=f"It allows {allowed}.")
    return kind(str(error.detail))


def _allowed_methods(request: Request, error: HTTPException) -> set[str]:
    """The methods of all routes with the request's path. The framework names those of the first such route only. A path
    without a name or id in it has none of those that take one in its place."""
    methods = set(filter(None, (error.headers or {}).get("Allow", "").split(", ")))
    documented, sent = request.app.openapi()["paths"], request.url.path
    for path in [sent] if sent in documented else documented:
        if compile_path(path)[0].match(sent):
            methods.update(method.upper() for method in documented[path])
    return methods | ({"HEAD"} if "GET" in methods else set())


def _without_location(error: dict[str, Any]) -> dict[str, Any]:
    """FastAPI puts body, query, path or header before the field's own location."""
    location, *rest = error["loc"]
    return error | {"loc": tuple(rest)} if location in ("body", "query", "path", "header") else error
