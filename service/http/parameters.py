"""What the URL of a request may have: the path of its route to the letter, and only the query parameters that the
OpenAPI document lists for it.

The rules have one place, so that no route can forget them: `refuse_unknown_parameters` is a dependency of the whole
application. The page's files are not in the document and accept any query.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request

from core.errors import InvalidRequest, NotFound
from service.bodies.validation import similar_names

_SHOWN = 80  # characters of a strange name that are shown and compared


async def refuse_unknown_parameters(request: Request) -> None:
    """Raises: InvalidRequest, naming the parameter and the nearest known ones; NotFound."""
    _check_end(request)
    sent = request.query_params.keys()
    if not sent:
        return
    operation = _operation(request)
    if operation is None:
        return
    known = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"}
    for name in sent:
        if name not in known:
            raise _unknown(name, sorted(known))


def _check_end(request: Request) -> None:
    """The framework finds a route for `/metrics%0a` as well, which a proxy that hides `/metrics` may let pass. Raises:
    NotFound."""
    path: str = request.scope["path"]
    if path.endswith("\n") and not request.scope["route"].path_format.endswith("}"):
        raise NotFound(f"There is no route {path[:200]!r}.")


def _operation(request: Request) -> dict[str, Any] | None:
    """What the OpenAPI document says about the route of this request; None if it does not list the route."""
    path: dict[str, Any] = request.app.openapi()["paths"].get(request.scope["route"].path_format, {})
    return path.get(request.method.lower())


def _unknown(name: str, known: list[str]) -> InvalidRequest:
    close = similar_names(name[:_SHOWN], known)
    return InvalidRequest(
        f"There is no query parameter {name[:_SHOWN]!r}." + (f" Did you mean {close[0]!r}?" if close else ""),
        hint=f"Known parameters: {', '.join(known)}." if known else "This route takes no query parameters.",
        field=name[:200],
        nearest=close,
    )
