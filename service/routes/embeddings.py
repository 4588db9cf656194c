"""POST /v1/embeddings: the vectors of texts and videos whose products are the scores."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

from fastapi import APIRouter, Request, Response

from core.questions import AskedVideo, EmbedRequest
from core.records import Embeddings
from core.uploads.sink import Upload
from service.bodies import examples, reader
from service.bodies.questions import EmbedBody
from service.checks.questions import check_texts
from service.dependencies import AdmissionDep, GatewayDep, PreferencesDep, VideoUploadDep
from service.gateway import Gateway
from service.http.openapi import documented_errors, json_or_form_body
from service.routes.classify import QUESTION_ERRORS, QUESTION_RESPONSES, VIDEO_ERRORS

router = APIRouter(tags=["embeddings"])


@router.post(
    "/v1/embeddings",
    name="create",
    response_model=Embeddings,
    responses=QUESTION_RESPONSES | documented_errors(*QUESTION_ERRORS, *VIDEO_ERRORS),
    openapi_extra=json_or_form_body(EmbedBody, examples.EMBED_EXAMPLES, file=True),
)
async def create_embeddings(
    request: Request, gateway: GatewayDep, preferences: PreferencesDep, admission: AdmissionDep, upload: VideoUploadDep
) -> Response:
    """Vectors of texts, or of one video. The score of a label is a cosine in this space."""

    async def preview(body: EmbedBody) -> None:
        check_texts(body, upload, gateway.limits)
        await admission.admit(body.model, before_upload=True)

    body = await reader.read_body(request, EmbedBody, upload, preview)
    check_texts(body, upload, gateway.limits)
    model = await admission.admit(body.model)
    async with _video(body, gateway, upload) as video:
        options = body.model_dump(include={"model", "frames", "views", "normalize"})
        as_requested = EmbedRequest(texts=body.texts or (), sha256=video.sha256, url=video.url, **options)
        return await gateway.submitter.submit(
            "embedding",
            as_requested.model_copy(update={"model": model.name}),
            preferences,
            request,
            as_requested=as_requested,
        )


def _video(body: EmbedBody, gateway: Gateway, upload: Upload) -> AbstractAsyncContextManager[AskedVideo]:
    """The video; an empty one for texts."""
    return nullcontext(AskedVideo()) if body.texts is not None else gateway.sources.asked(body, upload)
