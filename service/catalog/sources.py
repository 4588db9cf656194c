"""The video of a request: an uploaded file, a URL, base64, or the id of a stored video.

The URL of a question is fetched by the worker, inside the job: the job can be cancelled meanwhile, a repeat of the
request fetches nothing, and a full queue refuses it before a byte is fetched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.errors import Conflict, InvalidRequest, QueueFull
from core.prometheus import STAGE_SECONDS
from core.questions import AskedVideo
from core.uploads.fetch import Fetcher
from core.uploads.sink import Upload
from core.uploads.targets import check_without_network
from service.bodies.questions import VideoSource
from service.catalog.videos import AddedVideo, Videos

_FIELDS = ("video_url", "url", "base64", "video_id")


class VideoSources:
    """Stores the video that a request brings, or finds the stored one that it refers to.

    Both methods raise InvalidRequest unless there is exactly one source; UnknownVideo, UrlNotAllowed, UrlUnreachable,
    VideoTooLarge, UndecodableVideo, StorageUnavailable.
    """

    def __init__(self, videos: Videos, allowed_hosts: frozenset[str]) -> None:
        """`allowed_hosts`: as for `Fetcher`."""
        self._videos = videos
        self._allowed_hosts = allowed_hosts
        self._fetcher = Fetcher(allowed_hosts)

    @asynccontextmanager
    async def asked(self, source: VideoSource, upload: Upload) -> AsyncIterator[AskedVideo]:
        """The video of a question: it is in the store, or it is a URL that has passed the checks that need no network.
        A new video is deleted again if the job is refused: if the block raises QueueFull or Conflict."""
        check_source(source, upload)
        if url := source.video_url or source.url:
            check_without_network(url, self._allowed_hosts)
            yield AskedVideo(url=url)
            return
        if source.video_id is not None:
            yield AskedVideo(await self._videos.use(source.video_id))
            return
        added = await self._add(source, upload, keep=False)
        try:
            yield AskedVideo(added.sha256)
        except (QueueFull, Conflict):
            await self._videos.release(added)
            raise

    async def keep(self, source: VideoSource, upload: Upload) -> tuple[str, bool]:
        """The sha256 of the video, which stays until it is deleted; and whether the video is new."""
        check_source(source, upload)
        if source.video_id is not None:
            return await self._videos.keep(source.video_id), False
        added = await self._add(source, upload, keep=True)
        return added.sha256, added.new

    async def _add(self, source: VideoSource, upload: Upload, *, keep: bool) -> AddedVideo:
        if url := source.video_url or source.url:
            with STAGE_SECONDS.labels("fetch").time():
                await self._fetcher.fetch(url, upload)
        assert upload.staged is not None  # `check_source` found one of the three
        return await self._videos.add(upload.staged, keep=keep)


def check_source(source: VideoSource, upload: Upload) -> None:
    """Raises: InvalidRequest unless exactly one video was given."""
    given = given_sources(source, upload)
    if len(given) != 1:
        found = f"{' and '.join(given)} were given" if given else "No video was given"
        raise InvalidRequest(
            f"{found}; exactly one video is needed.",
            hint="Send a file `video` (multipart), or `video_url`, `video_id`, or `base64` (JSON).",
            field=given[1] if given else "video",
        )


def given_sources(source: VideoSource, upload: Upload) -> list[str]:
    """Names of the fields in which a video was given."""
    given = [name for name in _FIELDS if getattr(source, name) is not None]
    file = upload.staged is not None and source.base64 is None  # base64 has been decoded into the upload
    return ["video"] * file + given
