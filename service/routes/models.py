"""GET /v1/models: what the live workers can serve."""

from __future__ import annotations

from fastapi import APIRouter

from core.errors import StorageUnavailable
from service import workers
from service.deps import GatewayDep
from service.envelope import documented
from service.schemas import ModelPage

router = APIRouter(tags=["models"])


@router.get("/v1/models", name="list", responses=documented(StorageUnavailable))
async def list_models(gateway: GatewayDep) -> ModelPage:
    """Models by name, the default first. Empty while no worker is there to say."""
    return ModelPage(data=workers.models(await gateway.workers.live()))
