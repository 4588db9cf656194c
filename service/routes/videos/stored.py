"""/v1/videos: store, list, describe and delete videos."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from core.errors import InvalidRequest, QueueFull, RequestTooLarge, StorageUnavailable, UnknownVideo, UnsupportedMedia
from core.questions import IndexRequest, SearchFilter
from core.records import StoredVideo, video_id
from service.bodies import examples, reader
from service.bodies.questions import DescribeBody, KeepBody, Tag
from service.bodies.schemas import VideoLinks, VideoPage, VideoView
from service.catalog.videos import Order
from service.dependencies import (
    CursorQuery,
    GatewayDep,
    LimitQuery,
    NamePath,
    VideoUploadDep,
)
from service.http.downloads import RANGE_HEADER, VIDEO_RESPONSES, video_response
from service.http.openapi import another_response, documented_errors, json_body, json_or_form_body
from service.routes.classify import VIDEO_ERRORS

TagQuery = Annotated[
    tuple[Tag, ...],
    Query(max_length=8, description="Only videos with this tag; repeat it for videos that have all of them."),
]

router = APIRouter(prefix="/v1/videos", tags=["videos"])


@router.post(
    "",
    name="keep",
    status_code=201,
    response_model=VideoView,
    responses=another_response(200, VideoView, "The video was stored already. It is kept from now on.")
    | documented_errors(
        *VIDEO_ERRORS, InvalidRequest, RequestTooLarge, UnsupportedMedia, UnknownVideo, QueueFull, StorageUnavailable
    ),
    openapi_extra=json_or_form_body(KeepBody, examples.KEEP_EXAMPLES, file=True),
)
async def keep_video(request: Request, gateway: GatewayDep, upload: VideoUploadDep) -> Response:
    """Store a video until it is deleted. The same bytes always get the same id."""

    async def preview(body: KeepBody) -> None:
        await gateway.redis.ping()  # fails before the upload, not after it
        if body.index:
            await gateway.jobs.check_room("indexing")

    body = await reader.read_body(request, KeepBody, upload, preview)
    sha256, new = await gateway.sources.keep(body, upload)
    view = _view(await gateway.videos.describe(video_id(sha256), body.tags, body.metadata))
    if body.index:
        job, _ = await gateway.jobs.create("indexing", IndexRequest(filter=SearchFilter(videos=(view.id,))))
        await gateway.jobs.send(job)
        view = view.model_copy(update={"index_job": job.id})
    return JSONResponse(view.model_dump(mode="json"), 201 if new else 200, {"Location": view.links.self})


@router.get("", name="list", responses=documented_errors(InvalidRequest, StorageUnavailable))
async def get_videos(
    gateway: GatewayDep,
    tag: TagQuery = (),
    order: Annotated[
        Order,
        Query(
            description="`created`: the newest first. `uncertainty`: those that a question was asked about, the least "
            "certain answer first, without those that have feedback as a whole."
        ),
    ] = "created",
    cursor: CursorQuery = None,
    limit: LimitQuery = 100,
) -> VideoPage:
    """Stored videos, newest first, or the least certain first; with `tag`, those that have it."""
    found, following = await gateway.videos.page(cursor, limit, tag, order)
    return VideoPage(data=[_view(video) for video in found], next=following)


@router.get("/{id}", name="get", responses=documented_errors(UnknownVideo, StorageUnavailable))
async def get_video(id: NamePath, gateway: GatewayDep) -> VideoView:
    """A stored video: its size, its expiry, and its duration and codec once it has been decoded."""
    return _view(await gateway.videos.get(id))


@router.get(
    "/{id}/content",
    name="content",
    response_class=Response,
    responses=VIDEO_RESPONSES | documented_errors(UnknownVideo, StorageUnavailable),
    dependencies=RANGE_HEADER,
)
async def get_video_content(id: NamePath, gateway: GatewayDep) -> Response:
    """The bytes of a stored video, for a player. They count as a use, so the video's time to live starts anew."""
    return await video_response(await gateway.videos.content(id), id)


@router.patch(
    "/{id}",
    name="describe",
    responses=documented_errors(InvalidRequest, UnknownVideo, RequestTooLarge, UnsupportedMedia, StorageUnavailable),
    openapi_extra=json_body(DescribeBody, examples.DESCRIBE_EXAMPLES),
)
async def describe_video(id: NamePath, request: Request, gateway: GatewayDep) -> VideoView:
    """Set the tags or the metadata of a stored video. What is left out stays as it is."""
    body = await reader.read_json_body(request, DescribeBody)
    return _view(await gateway.videos.describe(id, body.tags, body.metadata))


@router.delete("/{id}", name="delete", status_code=204, responses=documented_errors(UnknownVideo, StorageUnavailable))
async def delete_video(id: NamePath, gateway: GatewayDep) -> None:
    """Delete a stored video, kept or not, with all that was made of it: answers, vectors, feedback."""
    await gateway.videos.delete(id)


def _view(video: StoredVideo) -> VideoView:
    return VideoView(
        id=video.id,
        bytes=video.bytes,
        kept=video.kept,
        created_at=video.created_at,
        expires_at=video.expires_at,
        facts=video.facts,
        tags=video.tags,
        metadata=video.metadata,
        answer=video.answer,
        links=VideoLinks(self=f"/v1/videos/{video.id}", content=f"/v1/videos/{video.id}/content"),
    )
