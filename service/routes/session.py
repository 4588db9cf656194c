"""/v1/session: the page remembers an API key in a cookie."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from core.errors import StorageUnavailable
from service.bodies import examples
from service.bodies.api_keys import KeyView, SessionBody
from service.checks.access import identify
from service.dependencies import GatewayDep
from service.http.credentials import forget, remember
from service.http.openapi import documented_errors, json_body

router = APIRouter(tags=["operations"])


@router.put(
    "/v1/session",
    name="sign_in",
    responses=documented_errors(StorageUnavailable),
    openapi_extra=json_body(SessionBody, examples.SESSION_EXAMPLES),
)
async def sign_in(body: SessionBody, request: Request, response: Response, gateway: GatewayDep) -> KeyView:
    """Sign a browser in with an API key, which it sends as a cookie from then on. Programs send the key itself."""
    token = body.key.get_secret_value()
    key = await identify(request, gateway, token)
    if key.id:  # a server that needs no key does not know whether this is one
        remember(response, request, token)
    return KeyView.of(key)


@router.delete("/v1/session", name="sign_out", status_code=204)
async def sign_out(response: Response) -> None:
    """Sign a browser out: it forgets the API key."""
    forget(response)
