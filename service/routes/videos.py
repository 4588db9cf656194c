"""/v1/videos: keep a video, and ask it again with other words: no upload, no decoding."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from core.errors import InvalidRequest, RequestTooLarge, StorageUnavailable, UnknownVideo, UnsupportedMedia
from core.questions import ClassifyRequest
from core.records import Classification, Video, video_id
from service.bodies import reader
from service.bodies.schemas import Asked, KeepBody, Links, VideoView
from service.dependencies import AskingDep, GatewayDep, PlaceDep
from service.http import openapi
from service.http.envelope import also, documented
from service.routes.classify import ANSWERS, ASKING_ERRORS, VIDEO_ERRORS

router = APIRouter(prefix="/v1/videos", tags=["videos"])


@router.post(
    "",
    name="keep",
    status_code=201,
    response_model=VideoView,
    responses=also(200, VideoView, "It was stored already; it is kept from now on.")
    | documented(*VIDEO_ERRORS, InvalidRequest, RequestTooLarge, UnsupportedMedia, UnknownVideo, StorageUnavailable),
    openapi_extra=openapi.request_body(KeepBody, openapi.KEEP, file=True),
)
async def keep(request: Request, gateway: GatewayDep, asking: AskingDep, place: PlaceDep) -> Response:
    """Store a video until it is deleted. The same bytes always get the same id."""

    async def preview(_: KeepBody) -> None:
        await gateway.redis.ping()  # better to know before the upload than after it

    body = await reader.read(request, KeepBody, place, preview)
    sha256, new = await asking.keep(body, place)
    view = show(await gateway.videos.get(video_id(sha256)))
    return JSONResponse(view.model_dump(mode="json"), 201 if new else 200, {"Location": view.links.self})


@router.get("/{id}", name="get", responses=documented(UnknownVideo, StorageUnavailable))
async def get_video(id: str, gateway: GatewayDep) -> VideoView:
    """What is known about a stored video."""
    return show(await gateway.videos.get(id))


@router.delete("/{id}", name="delete", status_code=204, responses=documented(UnknownVideo, StorageUnavailable))
async def delete_video(id: str, gateway: GatewayDep) -> None:
    """Delete a stored video, kept or not."""
    await gateway.videos.delete(id)


@router.post(
    "/{id}/classify",
    name="classify",
    response_model=Classification,
    responses=ANSWERS | documented(*ASKING_ERRORS),
    openapi_extra=openapi.request_body(Asked, openapi.ASK, file=False),
)
async def classify_video(
    id: str, request: Request, asking: AskingDep, place: PlaceDep, gateway: GatewayDep
) -> Response:
    """Score a stored video against labels. The same video with new labels is not decoded again."""
    body = await reader.read(request, Asked, place, _nothing)
    question, meant = await asking.question(body)
    sha256 = await gateway.videos.use(id)
    return await asking.answer(
        "classify",
        ClassifyRequest(sha256=sha256, question=question),
        ClassifyRequest(sha256=sha256, question=meant),
    )


async def _nothing(_: Asked) -> None:
    """Without a file there is nothing to spare by looking early."""


def show(video: Video) -> VideoView:
    return VideoView(
        id=video.id,
        bytes=video.bytes,
        kept=video.kept,
        created_at=video.created_at,
        expires_at=video.expires_at,
        facts=video.facts,
        links=Links(self=f"/v1/videos/{video.id}"),
    )
