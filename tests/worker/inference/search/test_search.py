"""Search over stored videos: what is found and where, what was searched, and what makes videos searchable."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from core.errors import Cancelled, VideoGone
from core.records import Progress, video_id
from core.state import keys, video_records
from core.state.project_keys import ProjectKeys
from core.storage import blob_key
from tests.clips import SPECS, render
from tests.worker.inference.test_handlers import classify, job
from worker.decoding.pool import DecodePool
from worker.inference.guard import Guard
from worker.inference.runtime import Runtime
from worker.inference.search.answer import answer_search
from worker.inference.search.indexing import index_videos
from worker.inference.windows import vectors
from worker.jobs.cancellation import CancelToken


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("clips")
    specs = [
        replace(SPECS["h264"], frames=50 + 25 * number, content=("bars", "index")[number], matrix="bt709")
        for number in range(2)
    ]
    return [render(folder / f"{number}.mp4", spec).read_bytes() for number, spec in enumerate(specs)]


def store(runtime: Runtime, data: bytes, *tags: str) -> str:
    with runtime.store.stage() as staged:
        staged.write(data)
        sha256 = runtime.book.add(staged)
    client = runtime.book._redis
    script_keys, args = video_records.describe_args(sha256, tags, None, ProjectKeys(runtime.project))
    assert client.register_script(video_records.DESCRIBE)(keys=script_keys, args=args) == 1
    return sha256


@pytest.fixture
def videos(runtime: Runtime, clips: list[bytes]) -> list[str]:
    return [store(runtime, data, "all", f"number {number}") for number, data in enumerate(clips)]


def search(runtime: Runtime, text: str | None = "boxing", **request: Any) -> dict[str, Any]:
    return answer_search(runtime, job("search", {"text": text} | request), CancelToken())


def index(
    runtime: Runtime, token: CancelToken | None = None, deadline: float = 60.0, **request: Any
) -> tuple[dict[str, Any], list[Progress]]:
    reports: list[Progress] = []
    guard = Guard(deadline, lambda reason: pytest.fail(reason))
    answer = index_videos(runtime, job("indexing", request), token or CancelToken(), reports.append, guard)
    return answer, reports


def test_nothing_stored_is_an_empty_list(runtime: Runtime) -> None:
    answer = search(runtime)
    assert (answer["data"], answer["stored"], answer["searched"], answer["warnings"]) == ([], 0, 0, [])


def test_videos_are_searchable_once_they_are_indexed(runtime: Runtime, videos: list[str]) -> None:
    before = search(runtime)
    assert (before["data"], before["stored"], before["searched"]) == ([], 2, 0)
    assert "2 of 2 stored videos were not searched" in before["warnings"][0]
    answer, reports = index(runtime)
    assert (answer["indexed"], answer["known"], answer["failed"]) == (2, 0, [])
    assert [(report.step, report.steps) for report in reports] == [(0, 2), (1, 2)]
    found = search(runtime)
    assert {hit["video"] for hit in found["data"]} == {video_id(video) for video in videos}
    assert (found["searched"], found["stored"], found["warnings"]) == (2, 2, [])
    again, _ = index(runtime)
    assert (again["indexed"], again["known"]) == (0, 2)


def test_a_hit_is_the_peak_of_the_timeline(runtime: Runtime, videos: list[str]) -> None:
    """The timeline was asked first, and has made the videos searchable."""
    timelines = {video: classify(runtime, video, ["boxing", "a cat"], timeline={})["timeline"] for video in videos}
    found = search(runtime)
    assert found["searched"] == 2
    assert found["windows"] == sum(len(timeline["timestamps"]) for timeline in timelines.values())
    similarities = [hit["similarity"] for hit in found["data"]]
    assert similarities == sorted(similarities, reverse=True)
    for hit in found["data"]:
        timeline = timelines[hit["video"].removeprefix("vid_")]
        curve = timeline["similarities"]["boxing"]
        assert hit["similarity"] == pytest.approx(max(curve), abs=1e-4)
        assert any(
            value == pytest.approx(max(curve), abs=1e-4) and hit["start"] <= at <= hit["end"]
            for at, value in zip(timeline["timestamps"], curve, strict=True)
        )
        assert hit["end"] - hit["start"] == pytest.approx(timeline["window"], abs=0.01)


def test_an_index_is_made_again_from_the_cache(runtime: Runtime, videos: list[str]) -> None:
    """As another worker, or one that has restarted, does it."""
    index(runtime)
    found = search(runtime)
    runtime.indexes.__init__(1000)  # type: ignore[misc]
    again = search(runtime)
    assert again["data"] == found["data"]
    assert again["searched"] == 2


def test_filters(runtime: Runtime, videos: list[str]) -> None:
    index(runtime)

    def found(**wanted: Any) -> set[str]:
        answer = search(runtime, filter=wanted)
        assert answer["stored"] == answer["searched"] == len(answer["data"])
        return {hit["video"].removeprefix("vid_") for hit in answer["data"]}

    first, second = videos
    assert found(tags=["number 0"]) == {first}
    assert found(tags=["all", "number 1"]) == {second}
    assert found(tags=["number 0", "number 1"]) == set()
    assert found(videos=[video_id(second)]) == {second}
    created = runtime.book.stored()
    assert found(created_after=created[first]) == {second}
    assert found(created_before=created[second]) == {first}
    assert len(search(runtime, top_k=1)["data"]) == 1


def test_the_searches_of_two_projects_do_not_meet(runtime: Runtime, clips: list[bytes]) -> None:
    acme, other = runtime.of("acme"), runtime.of("other")
    assert store(acme, clips[0]) == store(other, clips[0])
    assert index(acme)[0]["indexed"] == 1
    unaware = search(other)
    assert (unaware["stored"], unaware["searched"], unaware["windows"]) == (1, 0, 0)
    assert index(other)[0]["indexed"] == 1
    for project in (acme, other):
        assert search(project)["searched"] == 1
    assert search(runtime)["stored"] == 0
    assert len(runtime.indexes._indexes) == 3  # one of them empty


def test_a_deleted_video_is_not_found_any_more(runtime: Runtime, videos: list[str]) -> None:
    index(runtime)
    client = runtime.book._redis
    client.delete(keys.video(videos[0]))
    client.zrem(keys.VIDEOS_CREATED, videos[0])
    answer = search(runtime)
    assert [hit["video"] for hit in answer["data"]] == [video_id(videos[1])]
    assert answer["stored"] == 1
    (kept,) = runtime.indexes._indexes.values()
    assert len(kept) == answer["windows"]  # its memory is free again


def test_a_video_finds_others_but_not_itself(runtime: Runtime, videos: list[str]) -> None:
    index(runtime)
    answer = search(runtime, None, sha256=videos[0])
    assert [hit["video"] for hit in answer["data"]] == [video_id(videos[1])]
    assert answer["searched"] == 2


def test_a_search_by_a_video_notes_its_facts(runtime: Runtime, videos: list[str]) -> None:
    search(runtime, None, sha256=videos[0])
    (record,) = runtime.book.records(videos[:1])
    assert record is not None
    assert record.facts is not None


def test_a_search_by_a_video_that_is_gone(runtime: Runtime, videos: list[str]) -> None:
    runtime.store.delete(blob_key(videos[0]))
    with pytest.raises(VideoGone):
        search(runtime, None, sha256=videos[0])


def test_one_bad_video_does_not_stop_the_others(runtime: Runtime, videos: list[str]) -> None:
    bad = store(runtime, b"this is no video")
    lost = store(runtime, b"neither is this")
    runtime.store.delete(blob_key(lost))
    answer, _ = index(runtime)
    assert answer["indexed"] == 2
    assert {failure["video"]: failure["code"] for failure in answer["failed"]} == {
        video_id(bad): "undecodable_video",
        video_id(lost): "unknown_video",
    }
    assert search(runtime)["searched"] == 2


def test_each_video_has_the_deadline_of_a_question(
    runtime: Runtime, videos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = vectors._encode
    seen: list[int] = []

    def slow(*args: Any) -> Any:
        seen.append(1)
        if len(seen) == 1:
            token: CancelToken = args[-1]
            woken = threading.Event()
            with pytest.raises(Cancelled), token.on_cancel(woken.set):
                assert woken.wait(20)
            token.check()
        return encode(*args)

    for video in videos:
        classify(runtime, video, ["a", "b"])  # the deadline is not spent on what comes before the windows
    monkeypatch.setattr(vectors, "_encode", slow)
    answer, _ = index(runtime, deadline=3.0)
    assert [failure["code"] for failure in answer["failed"]] == ["deadline_exceeded"]
    assert answer["indexed"] == 1


def test_indexing_is_cancelled_within_a_video(
    runtime: Runtime, videos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token, began = CancelToken(), threading.Event()
    submit = DecodePool.submit

    def started(*args: Any, **kwargs: Any) -> Any:
        task = submit(*args, **kwargs)
        began.set()
        return task

    monkeypatch.setattr(DecodePool, "submit", started)
    with ThreadPoolExecutor(1) as pool:
        indexing = pool.submit(index, runtime, token)
        assert began.wait(20)
        token.cancel()
        with pytest.raises(Cancelled):
            indexing.result(20)
    monkeypatch.undo()
    assert search(runtime)["searched"] < 2


def test_more_windows_than_there_may_be_are_left_out_and_the_answer_says_so(
    runtime: Runtime, videos: list[str]
) -> None:
    runtime.indexes.__init__(9)  # type: ignore[misc]
    index(runtime)
    answer = search(runtime)
    assert (answer["stored"], answer["searched"]) == (2, 1)
    assert "1 of 2 stored videos were not searched" in answer["warnings"][0]
