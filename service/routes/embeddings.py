"""POST /v1/embeddings: the vectors that scores are made of."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from core.questions import EmbedRequest
from core.records import Embeddings
from service.bodies import reader
from service.bodies.schemas import EmbedBody
from service.dependencies import AskingDep, PlaceDep
from service.http import openapi
from service.http.envelope import documented
from service.routes.classify import ANSWERS, ASKING_ERRORS, VIDEO_ERRORS

router = APIRouter(tags=["embeddings"])


@router.post(
    "/v1/embeddings",
    name="create",
    response_model=Embeddings,
    responses=ANSWERS | documented(*ASKING_ERRORS, *VIDEO_ERRORS),
    openapi_extra=openapi.request_body(EmbedBody, openapi.EMBED, file=True),
)
async def embed(request: Request, asking: AskingDep, place: PlaceDep) -> Response:
    """Vectors of texts, or of one video, in the space in which scores are cosines."""

    async def preview(body: EmbedBody) -> None:
        asking.check_texts(body, place)
        await asking.admit(body.model, before_upload=True)

    body = await reader.read(request, EmbedBody, place, preview)
    asking.check_texts(body, place)
    chosen = await asking.admit(body.model)
    sha256 = await asking.video(body, place) if body.texts is None else None
    asked = body.model_dump(include={"model", "frames", "views", "normalize"})
    meant = EmbedRequest(texts=body.texts or (), sha256=sha256, **asked)
    return await asking.answer("embed", meant.model_copy(update={"model": chosen.name}), meant)
