"""Questions that arrive together share their work: one decode per video, one bounded forward pass per text."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core.errors import Cancelled, InvalidRequest, UndecodableVideo
from core.records import Job, JobKind
from core.state import keys
from tests.clips import rendered
from tests.worker.inference.conftest import BATCH_TEXTS, TextTower
from worker.decoding.pool import DecodePool
from worker.inference.caches.single_flight import SingleFlight
from worker.inference.handlers import answer_classify, answer_embed, score_shadow
from worker.inference.runtime import Runtime
from worker.inference.shadows import ShadowTask
from worker.jobs.cancellation import CancelToken

TOGETHER = 8


@pytest.fixture
def clip(runtime: Runtime, tmp_path: Path) -> str:
    return keep(runtime, tmp_path, rendered("h264", tmp_path).read_bytes())


def keep(runtime: Runtime, folder: Path, data: bytes) -> str:
    """The sha256 of a stored video."""
    with runtime.store.stage() as staged:
        staged.write(data)
        return runtime.book.add(staged)


def job(kind: JobKind, request: dict[str, Any]) -> Job:
    return Job(id="job_1", kind=kind, request=request, created_at=time.time())


def classify(
    runtime: Runtime, sha256: str, labels: list[str], token: CancelToken | None = None, **options: Any
) -> dict[str, Any]:
    question = {"labels": [{"name": name} for name in labels], **options}
    return answer_classify(
        runtime, job("classification", {"sha256": sha256, "question": question}), token or CancelToken()
    )


def test_the_uncertainty_of_the_last_answer_is_noted(runtime: Runtime, clip: str) -> None:
    runtime.book._redis.delete(keys.video(clip))
    classify(runtime, clip, ["a", "b"])  # without a record there is nothing to note it with
    assert runtime.book.records([clip]) == [None]
    runtime.book._write_record(clip, 10)
    classify(runtime, clip, ["a"])
    classify(runtime, clip, ["a", "b"], mode="multi")
    assert [found and found.answer for found in runtime.book.records([clip])] == [None]
    for labels in (["a", "b"], ["c", "d", "e"]):
        best, second, *_ = classify(runtime, clip, labels, top_k=2)["predictions"]
        (record,) = runtime.book.records([clip])
        assert record is not None
        assert record.answer is not None
        said = record.answer
        assert (said.label, said.score, said.model, said.job) == (best["label"], best["score"], "lite", "job_1")
        assert said.uncertainty == pytest.approx(1 - (best["score"] - second["score"]), abs=1e-5)


def embed(runtime: Runtime, given: list[str], token: CancelToken | None = None) -> dict[str, Any]:
    return answer_embed(runtime, job("embedding", {"texts": given}), token or CancelToken())


def all_wait(flights: SingleFlight[Any, Any]) -> None:
    for _ in range(2000):
        with flights._lock:
            if sum(flight.waiting for flight in set(flights._flights.values())) >= TOGETHER:
                return
        time.sleep(0.01)
    raise AssertionError("they never waited together")


def test_the_same_new_labels_asked_at_once_are_encoded_once(runtime: Runtime, clip: str, texts: TextTower) -> None:
    classify(runtime, clip, ["warm"])
    texts.passes.clear()
    flights = runtime.shelf.get(None).towers.texts._flights
    texts.hold = lambda: all_wait(flights) if not texts.passes else None
    names = [f"label {index}" for index in range(10)]
    with ThreadPoolExecutor(TOGETHER) as pool:
        answers = list(pool.map(lambda _: classify(runtime, clip, names), range(TOGETHER)))
    assert sorted(texts.texts) == sorted(f"a video of {name}." for name in names)
    assert max(len(texts) for texts in texts.passes) <= BATCH_TEXTS
    assert all(answer["predictions"] == answers[0]["predictions"] for answer in answers)


def test_texts_of_embeddings_take_the_same_road(runtime: Runtime, texts: TextTower) -> None:
    flights = runtime.shelf.get(None).towers.texts._flights
    texts.hold = lambda: all_wait(flights) if not texts.passes else None
    given = [f"text {index}" for index in range(10)]
    with ThreadPoolExecutor(TOGETHER) as pool:
        answers = list(pool.map(lambda _: embed(runtime, given), range(TOGETHER)))
    assert sorted(texts.texts) == sorted(given)
    assert max(len(texts) for texts in texts.passes) <= BATCH_TEXTS
    assert all(answer["data"] == answers[0]["data"] for answer in answers)


def test_texts_of_different_requests_share_a_pass(runtime: Runtime, texts: TextTower) -> None:
    batcher = runtime.shelf.get(None).towers.texts._batcher

    def all_there() -> None:
        """The first pass waits until all requests are in it or behind it."""
        for _ in range(2000):
            taken = sum(len(lane.taken) for lane in tuple(batcher._lanes))
            if texts.passes or taken + len(batcher._waiting) == 4:
                return
            time.sleep(0.01)

    texts.hold = all_there
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda index: embed(runtime, [f"text {index}"]), range(4)))
    assert len(texts.texts) == 4
    assert len(texts.passes) <= 1 + len(batcher._lanes)  # one of each lane, and one of what waited meanwhile


def test_text_work_is_cancelled_between_two_passes(runtime: Runtime, texts: TextTower) -> None:
    token, began, go_on = CancelToken(), threading.Event(), threading.Event()

    def hold() -> None:
        began.set()
        assert go_on.wait(20)

    texts.hold = hold
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(embed, runtime, [f"text {index}" for index in range(40)], token)
        assert began.wait(20)
        token.cancel()
        with pytest.raises(Cancelled):
            asked.result(20)
        go_on.set()
    runtime.shelf.close()  # ends the pass that was running
    assert len(texts.passes) <= 3, "the passes that were running, and at most the one that was queued already"


def test_too_many_texts_are_refused_before_any_is_encoded(runtime: Runtime, clip: str, texts: TextTower) -> None:
    with pytest.raises(InvalidRequest, match="make 41 texts") as caught:
        classify(runtime, clip, [f"label {index}" for index in range(41)])
    assert caught.value.details["limit"] == 40
    assert texts.passes == []


def test_questions_about_one_bad_video_decode_it_once(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = keep(runtime, tmp_path, b"this is no video" * 100)
    decodes: list[Path] = []
    submit = DecodePool.submit

    def counting(self: DecodePool, path: Path, **options: Any) -> Any:
        if not decodes:
            all_wait(runtime.videos._flights)
        decodes.append(path)
        return submit(self, path, **options)

    monkeypatch.setattr(DecodePool, "submit", counting)
    with ThreadPoolExecutor(TOGETHER) as pool:
        asked = [pool.submit(classify, runtime, bad, ["a"]) for _ in range(TOGETHER)]
        for future in asked:
            with pytest.raises(UndecodableVideo):
                future.result(30)
    with pytest.raises(UndecodableVideo):  # and the reason is remembered for a moment
        classify(runtime, bad, ["a"])
    assert len(decodes) == 1


SHADOW = {"name": "gym", "alias": "production", "version": 1, "shadow": 2, "normalize_labels": False}


def followed(runtime: Runtime, sha256: str, shadow: dict[str, Any] | None) -> list[ShadowTask]:
    tasks: list[ShadowTask] = []
    request = {"sha256": sha256, "question": {"labels": [{"name": "a"}, {"name": "b"}], "top_k": 1}, "shadow": shadow}
    answer = answer_classify(runtime, job("classification", request), CancelToken(), tasks.append)
    assert [task.answer.label for task in tasks] == [answer["predictions"][0]["label"]] * len(tasks)
    return tasks


def test_a_shadow_says_what_its_version_would_answer(
    runtime: Runtime, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert followed(runtime, clip, None) == []
    (task,) = followed(runtime, clip, SHADOW)
    assert 0 < task.answer.margin < 1
    asked: list[str] = []

    def beside(name: str) -> Any:
        asked.append(name)
        return runtime.shelf.get(None)

    monkeypatch.setattr(runtime.shelf, "get_beside", beside)
    assert score_shadow(runtime, task, CancelToken()) == task.answer
    assert asked == ["gym:2"]
    monkeypatch.setattr(runtime.shelf, "get_beside", lambda _: None)
    assert score_shadow(runtime, task, CancelToken()) is None


def test_a_video_that_only_the_shadow_cannot_decode_stays(
    runtime: Runtime, clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = followed(runtime, clip, SHADOW)
    monkeypatch.setattr(runtime.shelf, "get_beside", lambda _: runtime.shelf.get(None))

    def write(*_: Any) -> None:
        raise AssertionError("the record of the video belongs to those who asked")

    monkeypatch.setattr(runtime.book, "expire", write)
    monkeypatch.setattr(runtime.book, "set_facts", write)
    monkeypatch.setattr(runtime.book, "set_answer", write)
    score_shadow(runtime, task, CancelToken())
    task.sha256 = keep(runtime, tmp_path, b"this is no video" * 99)
    with pytest.raises(UndecodableVideo):
        score_shadow(runtime, task, CancelToken())


def test_the_first_asker_of_a_video_may_leave(runtime: Runtime, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, decodes, go_on = CancelToken(), list[Path](), threading.Event()
    submit = DecodePool.submit

    def counting(self: DecodePool, path: Path, **options: Any) -> Any:
        decodes.append(path)
        assert go_on.wait(20)
        return submit(self, path, **options)

    monkeypatch.setattr(DecodePool, "submit", counting)
    with ThreadPoolExecutor(TOGETHER) as pool:
        asked = [pool.submit(classify, runtime, clip, ["a"], first)]
        while not decodes:
            time.sleep(0.01)
        asked += [pool.submit(classify, runtime, clip, ["a"]) for _ in range(TOGETHER - 1)]
        all_wait(runtime.videos._flights)
        first.cancel()
        with pytest.raises(Cancelled):
            asked[0].result(20)
        go_on.set()
        assert [future.result(30)["predictions"][0]["label"] for future in asked[1:]] == ["a"] * (TOGETHER - 1)
    assert len(decodes) == 1
