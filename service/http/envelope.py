"""One error envelope for everything: our own errors, the framework's 404, 405 and validation, Redis gone, and bugs."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from redis.exceptions import RedisError, ResponseError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from core.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RequestTooLarge,
    StorageUnavailable,
    UnsupportedMedia,
    VireoError,
)
from service.bodies.schemas import ErrorEnvelope
from service.bodies.validation import explain, nearest
from service.ops.logs import REQUEST_ID

log = logging.getLogger(__name__)

CLIENT_GONE = 499  # nobody reads it; it is for the log and the metrics

_BY_STATUS: dict[int, type[VireoError]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: RequestTooLarge,
    415: UnsupportedMedia,
    422: InvalidRequest,
    400: InvalidRequest,
}


def response(error: VireoError, headers: dict[str, str] | None = None) -> JSONResponse:
    headers = dict(headers or {})
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return JSONResponse({"error": error.to_dict(REQUEST_ID.get())}, error.status, headers)


def gone() -> Response:
    return Response(status_code=CLIENT_GONE)


def storage_gone() -> StorageUnavailable:
    return StorageUnavailable(
        "Redis cannot be reached, so no job can be kept.", hint="Try again soon; nothing was started."
    )


def install(app: FastAPI) -> None:
    async def on_vireo(_: Request, error: Exception) -> Response:
        assert isinstance(error, VireoError)
        return response(error)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return response(_from_http(request, error), dict(error.headers or {}))

    async def on_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return response(explain([_without_place(found) for found in error.errors()]))

    async def on_redis(_: Request, error: Exception) -> Response:
        # A ResponseError may be Redis loading or full, or a mistake of ours: the log must tell.
        log.warning("Redis: %s", error, exc_info=error if isinstance(error, ResponseError) else None)
        return response(storage_gone())

    async def on_disconnect(_: Request, __: Exception) -> Response:
        return gone()

    app.add_exception_handler(VireoError, on_vireo)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(RedisError, on_redis)
    app.add_exception_handler(ClientDisconnect, on_disconnect)


def _from_http(request: Request, error: HTTPException) -> VireoError:
    kind = _BY_STATUS.get(error.status_code, VireoError)
    path = request.url.path
    if kind is NotFound:
        close = nearest(path, list(request.app.openapi()["paths"]))
        return NotFound(f"There is nothing at {path[:200]}.", hint="/docs lists all routes.", nearest=close)
    if kind is MethodNotAllowed:
        allowed = (error.headers or {}).get("Allow")
        return MethodNotAllowed(
            f"{request.method} is not possible at {path[:200]}.", hint=f"Possible: {allowed}." if allowed else None
        )
    return kind(str(error.detail))


def _without_place(error: dict[str, Any]) -> dict[str, Any]:
    """FastAPI puts body, query or path before the field's own place."""
    place, *rest = error["loc"]
    return error | {"loc": tuple(rest)} if place in ("body", "query", "path", "header") else error


def also(status: int, model: type[BaseModel], description: str) -> dict[int | str, dict[str, Any]]:
    """An OpenAPI response besides the first."""
    return {status: {"model": model, "description": description}}


def documented(*kinds: type[VireoError]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for errors that a route may answer, an example for each code."""
    answers: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        answer = answers.setdefault(kind.status, {"model": ErrorEnvelope, "description": "", "content": {}})
        words = (kind.__doc__ or "").split("\n")[0] or kind.code.replace("_", " ")
        answer["description"] = ", ".join(filter(None, [answer["description"], kind.code]))
        examples = answer["content"].setdefault("application/json", {}).setdefault("examples", {})
        body = kind(words).to_dict("req_4f1c…")
        examples[kind.code] = {"value": {"error": body}}
        if kind.retry_after is not None:
            answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return answers
