"""Videos in an object store: moto's S3, the directory store, and a real Redis."""

from __future__ import annotations

import hashlib
from pathlib import Path

import fsspec
import pytest

from core.errors import UndecodableVideo, UrlNotAllowed, UrlUnreachable, VideoTooLarge
from core.settings import Settings
from core.storage import Store, blob_key
from tests.s3 import S3
from worker.inference.batches.objects import ObjectVideos
from worker.inference.videos.facts import VideoBook
from worker.jobs.cancellation import CancelToken
from worker.jobs.connection import connect


def test_an_object_becomes_a_stored_video(s3: S3, redis_url: str, tmp_path: Path) -> None:
    settings = Settings(
        redis_url=redis_url,
        data_dir=tmp_path,
        max_upload_bytes=1000,
        batch_prefixes="s3://vireo/videos/",  # as the environment has it
    )
    store = Store.from_settings(settings)
    videos = ObjectVideos(settings, store, VideoBook(connect(redis_url, decode=True), store, settings.video_ttl))
    content = b"a video"
    for name, data in {"videos/a b.mp4": content, "videos/empty": b"", "videos/large": b"x" * 1001}.items():
        with fsspec.open(s3.url(name), "wb") as file:
            file.write(data)
    sha256 = videos.store(s3.url("videos/a b.mp4"), CancelToken())
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert store.read(blob_key(sha256)) == content
    refused = {
        "videos/none.mp4": UrlUnreachable,
        "videos/empty": UndecodableVideo,
        "videos/large": VideoTooLarge,
        "secret.mp4": UrlNotAllowed,
    }
    for name, error in refused.items():
        with pytest.raises(error):
            videos.store(s3.url(name), CancelToken())
    assert not list((tmp_path / "store" / "partial").glob("*.part"))


@pytest.mark.parametrize("prefix", ["s3://", "/videos", "gs://bucket/videos"])
def test_a_prefix_that_is_none_is_refused_at_start(prefix: str) -> None:
    with pytest.raises(ValueError, match="is no prefix of objects"):
        Settings(batch_prefixes=prefix)
