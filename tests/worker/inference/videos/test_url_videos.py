"""The video of a URL is fetched inside the job, by the worker, and is a stored video then."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from core.errors import (
    Cancelled,
    StorageUnavailable,
    UndecodableVideo,
    UrlNotAllowed,
    UrlUnreachable,
    VideoTooLarge,
    VireoError,
)
from core.records import Job, JobState, new_job_id
from core.settings import Settings
from core.state import keys, lifecycle, steps
from core.state.video_records import from_fields
from core.storage import Store
from core.uploads import fetch as uploads_fetch
from tests.clips import rendered
from tests.waiting import wait_until
from tests.web import FileServer, serving_file
from worker.inference.handlers import answer_classify, answer_embed
from worker.inference.runtime import Runtime
from worker.inference.videos.facts import VideoBook
from worker.inference.videos.url_videos import UrlVideos
from worker.jobs.attempt import FIRST_DELAY, Handler, Postponed, PutBack, run_job
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken, RunningJobs

TTL = 3600.0
LIMIT = 1000


@pytest.fixture
def pages() -> Iterator[FileServer]:
    with serving_file(b"any bytes") as pages:
        yield pages


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """One fetch at the same time."""
    return Settings(data_dir=tmp_path, worker_threads=2, max_upload_bytes=LIMIT, allowed_hosts=frozenset({"localhost"}))


@pytest.fixture
def videos(settings: Settings, records: redis.Redis) -> Iterator[UrlVideos]:
    store = Store.from_settings(settings)
    videos = UrlVideos(settings, store, VideoBook(records, store, TTL))
    yield videos
    videos.close()


def fetch(videos: UrlVideos, url: str, token: CancelToken | None = None) -> str:
    with videos.slot():
        return videos.store(url, token or CancelToken())


def partial_files(settings: Settings) -> list[Path]:
    return sorted((settings.data_dir / "store").glob("**/*.part"))


def test_the_video_of_a_url_is_a_stored_video(runtime: Runtime, records: redis.Redis, tmp_path: Path) -> None:
    content = rendered("h264", tmp_path).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    question = {"labels": [{"name": "a"}, {"name": "b"}]}
    with serving_file(content) as pages:
        job = Job(id="job_1", kind="classification", request={"url": pages.url(), "question": question}, created_at=0.0)
        answer = answer_classify(runtime, job, CancelToken())
        assert answer["video"]["id"] == f"vid_{sha256}"
        assert answer["timings_ms"]["fetch"] > 0
        fields = cast(dict[str, str], records.hgetall(keys.video(sha256)))
        stored = from_fields(fields, records.zscore(keys.VIDEOS, sha256))
        assert (stored.bytes, stored.kept) == (len(content), False)
        assert stored.facts is not None
        assert stored.facts.codec == "h264"
        assert stored.expires_at is not None
        assert stored.expires_at > time.time()
        assert records.zscore(keys.VIDEOS_CREATED, sha256) == pytest.approx(stored.created_at)

        job = Job(id="job_2", kind="embedding", request={"url": pages.url()}, created_at=0.0)
        assert answer_embed(runtime, job, CancelToken())["data"][0]["video_id"] == f"vid_{sha256}"
    job = Job(id="job_3", kind="classification", request={"sha256": sha256, "question": question}, created_at=0.0)
    assert answer_classify(runtime, job, CancelToken())["cache"]["video"] == "hit"


def test_a_fetched_file_that_is_no_video_may_be_deleted(
    runtime: Runtime, records: redis.Redis, pages: FileServer
) -> None:
    request = {"url": pages.url(), "question": {"labels": [{"name": "a"}]}}
    with pytest.raises(UndecodableVideo):
        answer_classify(runtime, Job(id="job_1", kind="classification", request=request, created_at=0.0), CancelToken())
    deletable_after = records.zscore(keys.VIDEOS, hashlib.sha256(pages.content).hexdigest())
    assert deletable_after is not None
    assert deletable_after <= time.time()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("missing", UrlUnreachable),
        ("to/http://127.0.0.1:1/a.mp4", UrlNotAllowed),
        ("to/file:///etc/passwd", UrlNotAllowed),
    ],
)
def test_what_cannot_be_fetched(
    videos: UrlVideos, settings: Settings, pages: FileServer, path: str, expected: type[VireoError]
) -> None:
    with pytest.raises(expected):
        fetch(videos, pages.url(path))
    assert partial_files(settings) == []


def test_a_file_above_the_limit_leaves_nothing(videos: UrlVideos, settings: Settings, records: redis.Redis) -> None:
    with serving_file(bytes(LIMIT + 1)) as pages, pytest.raises(VideoTooLarge):
        fetch(videos, pages.url())
    assert partial_files(settings) == []
    assert records.zcard(keys.VIDEOS) == 0


def test_a_video_that_cannot_be_stored_may_be_deleted(
    videos: UrlVideos, settings: Settings, records: redis.Redis, pages: FileServer
) -> None:
    sha256 = hashlib.sha256(pages.content).hexdigest()
    (settings.data_dir / "store" / "blobs" / sha256).mkdir(parents=True)  # a directory where the file should be
    with pytest.raises(StorageUnavailable):
        fetch(videos, pages.url())
    deletable_after = records.zscore(keys.VIDEOS, sha256)
    assert deletable_after is not None
    assert deletable_after <= time.time()


def test_a_full_redis_is_an_error_of_the_job(videos: UrlVideos, records: redis.Redis, pages: FileServer) -> None:
    records.config_set("maxmemory", 1)
    try:
        with pytest.raises(StorageUnavailable, match="Redis is full"):
            fetch(videos, pages.url())
    finally:
        records.config_set("maxmemory", 0)


def test_a_fetch_is_cancelled_while_the_server_is_silent(
    videos: UrlVideos, settings: Settings, pages: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads_fetch, "READ_SECONDS", 60.0)  # longer than this test waits
    token = CancelToken()
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(fetch, videos, pages.url("half"), token)
        wait_until(lambda: len(partial_files(settings)) == 1)
        token.cancel()
        with pytest.raises(Cancelled):
            fetching.result(20)
    assert not pages.go_on.is_set()
    wait_until(lambda: partial_files(settings) == [])
    assert fetch(videos, pages.url())  # its place is free again


def test_slow_servers_leave_threads_for_other_questions(
    videos: UrlVideos, records: redis.Redis, pages: FileServer
) -> None:
    """With two threads one video is fetched at the same time. The second job goes back into the queue."""
    book = JobBook(records, keys.INFERENCE)

    def answer(job: Job, token: CancelToken, _: object) -> dict[str, Any]:
        return {"sha256": fetch(videos, job.request["url"], token)}

    handlers: dict[str, Handler] = {"classification": answer}
    slow, other = (queued(records, pages.url(path)) for path in ("slow", "a.mp4"))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run_job, handlers, book, RunningJobs(), slow.id)
        assert pages.arrived.wait(20)
        again = [run_job(handlers, book, RunningJobs(), other.id) for _ in range(4)]
        assert again == [PutBack(other.id, FIRST_DELAY * number) for number in (1, 2, 3, 4)]  # it never fails
        assert state(book, other) is JobState.QUEUED
        assert pages.asked == ["/slow"]
        pages.go_on.set()
        assert first.result(20) is None
    assert run_job(handlers, book, RunningJobs(), other.id) is None
    assert (state(book, slow), state(book, other)) == (JobState.SUCCEEDED, JobState.SUCCEEDED)


def test_a_place_is_free_again_after_a_failure(videos: UrlVideos, pages: FileServer) -> None:
    with pytest.raises(UrlUnreachable):
        fetch(videos, pages.url("missing"))
    with videos.slot(), pytest.raises(Postponed):
        fetch(videos, pages.url())
    assert fetch(videos, pages.url())


def queued(client: redis.Redis, url: str) -> Job:
    job = Job(id=new_job_id(), kind="classification", request={"url": url}, created_at=time.time())
    script_keys, args = lifecycle.create_args(job, keys.INFERENCE, 100)
    assert client.register_script(steps.CREATE)(keys=script_keys, args=args)[0] == "created"
    return job


def state(book: JobBook, job: Job) -> JobState:
    found = book.get(job.id)
    assert found is not None
    return found.state
