"""The driver of batches against a real Redis and a real store. The questions are answered by a double of the model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.batches.files import BatchFiles
from core.batches.request import BatchRequest
from core.errors import Cancelled, ModelUnavailable, StorageUnavailable, UndecodableVideo, VireoError
from core.questions import Label, Question
from core.records import Job, new_job_id
from core.settings import Settings
from core.state import keys, lifecycle, steps
from core.state.payloads import Payloads
from core.state.project_keys import ProjectKeys
from core.storage import Store
from tests.service.doubles import classification
from worker.inference.batches import driver
from worker.inference.batches.driver import Batches
from worker.jobs.attempt import Handler, run_job
from worker.jobs.book import JobBook
from worker.jobs.cancellation import RunningJobs
from worker.jobs.connection import connect

Answer = Callable[[Job], dict[str, Any]]

ORIGIN = {
    "project": "acme",
    "request_id": "req_1",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}


def video(number: int) -> str:
    return f"{number:064x}"


class Bench:
    """One worker: the messages that it would send are a list."""

    def __init__(self, redis_url: str, folder: Path, **settings: Any) -> None:
        self.redis = connect(redis_url, decode=True)
        self.store = Store(folder.as_uri(), folder / "spool")
        self.payloads = Payloads(self.store, 1024)
        self.book = JobBook(self.redis, keys.INFERENCE, payloads=self.payloads)
        self.messages: list[str] = []
        self.book.send = self.messages.append
        self.batches = Batches(self.book, self.store, Settings(redis_url=redis_url, data_dir=folder, **settings))
        self.asked: Counter[int] = Counter()
        self.most = 0  # questions that waited at the same time

    def create(self, *lines: dict[str, Any] | str) -> Job:
        question = Question(labels=(Label(name="a cat" * 300),), model="lite")  # too large for the record
        request = BatchRequest(manifest_sha256="0" * 64, question=question).model_dump(mode="json")
        job = Job(id=new_job_id(), kind="batch", request=request, created_at=0.0)
        job = job.model_copy(update=ORIGIN)
        with self.store.stage() as staged:
            for line in lines:
                staged.write(f"{line if isinstance(line, str) else json.dumps(line)}\n".encode())
            self.payloads.write_manifest(job.id, staged)
        script_keys, args = lifecycle.create_args(job, keys.INFERENCE, 10)
        self.redis.register_script(steps.CREATE)(keys=script_keys, args=args)
        self.messages.append(job.id)
        return job

    def work(self, answer: Answer = classification, most: int = 10_000) -> None:
        """Handle messages until there are none, or `most`."""

        def asked(job: Job, *_: object) -> dict[str, Any]:
            assert job.request["sha256"]
            assert {name: getattr(job, name) for name in ORIGIN} == ORIGIN  # of its log lines and its spans
            self.asked[int(job.request["sha256"], 16)] += 1
            return answer(job)

        handlers: dict[str, Handler] = {"batch": self.batches.run, "classification": asked}
        for _ in range(most):
            if not self.messages:
                return
            self.most = max(self.most, self.book.waiting())
            run_job(handlers, self.book, RunningJobs(), self.messages.pop(0))

    def job(self, job: Job) -> Job:
        found = self.book.get(job.id)
        assert found is not None
        return found

    def rows(self, job: Job) -> list[dict[str, Any]]:
        return [json.loads(row) for row in BatchFiles(self.store, job.id).rows()]


@pytest.fixture
def bench(redis_url: str, tmp_path: Path) -> Bench:
    return Bench(redis_url, tmp_path, batch_window=4)


def lines(count: int) -> list[dict[str, Any]]:
    return [{"id": f"n{number}", "video_id": f"vid_{video(number)}"} for number in range(count)]


def test_every_item_has_one_row_in_order(bench: Bench) -> None:
    batch = bench.create(*lines(5), "{broken", {"s3": "s3://other/x.mp4"}, *lines(11)[5:])
    bench.work()
    ended = bench.job(batch)
    assert ended.result == {
        "items": 13,
        "answered": 11,
        "unanswered": 2,
        "results": f"/v1/batches/{batch.id}/results",
    }
    rows = bench.rows(batch)
    assert [row["index"] for row in rows] == list(range(13))
    assert [row["id"] for row in rows if not row["error"]] == [f"n{number}" for number in range(11)]
    assert [row["error"]["code"] for row in rows if row["error"]] == ["invalid_request", "url_not_allowed"]
    assert rows[7]["video"]["id"] == f"vid_{video(5)}"
    assert all(count == 1 for count in bench.asked.values())
    assert ended.progress == {"phase": "videos", "step": 13, "steps": 13, "failed": 2, "epoch": 0.0}
    assert bench.most == 4
    # Only the batch is left: its questions, their events and their files are deleted with them.
    assert bench.redis.zrange(ProjectKeys("acme").jobs, 0, -1) == [batch.id]
    assert not bench.redis.keys(f"{keys.job('')}*:children")


def test_a_video_that_fails_is_a_row_and_the_others_go_on(bench: Bench) -> None:
    def answer(job: Job) -> dict[str, Any]:
        if job.request["sha256"] == video(2):
            raise UndecodableVideo("It is damaged.", hint="Send another.")
        return classification(job)

    batch = bench.create(*lines(6))
    bench.work(answer)
    rows = bench.rows(batch)
    assert [bool(row["error"]) for row in rows] == [False, False, True, False, False, False]
    assert rows[2]["error"] == {"code": "undecodable_video", "message": "It is damaged.", "hint": "Send another."}
    assert bench.asked[2] == 1


def test_an_error_that_may_pass_is_asked_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelUnavailable, "retry_after", 0)
    left = {1: 1, 2: 99}

    def answer(job: Job) -> dict[str, Any]:
        number = int(job.request["sha256"], 16)
        if left.get(number, 0):
            left[number] -= 1
            raise ModelUnavailable("The weights cannot be loaded now.")
        return classification(job)

    batch = bench.create(*lines(4))
    bench.work(answer)
    assert [(row["error"] or {}).get("code") for row in bench.rows(batch)] == [None, None, "model_unavailable", None]
    assert bench.asked == {0: 1, 1: 2, 2: driver.TRIES, 3: 1}


def test_a_question_that_is_repeated_later_holds_up_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelUnavailable, "retry_after", 1000)

    def answer(job: Job) -> dict[str, Any]:
        if job.request["sha256"] == video(1):
            raise ModelUnavailable("The weights cannot be loaded now.")
        return classification(job)

    batch = bench.create(*lines(12))
    bench.work(answer)
    assert bench.asked == dict.fromkeys(range(12), 1)
    assert [row["id"] for row in bench.rows(batch)] == ["n0"]
    assert not bench.job(batch).state.final


def test_an_answer_that_the_store_has_lost_is_asked_again_and_then_an_error(bench: Bench) -> None:
    asked: list[str] = []

    def answer(job: Job) -> dict[str, Any]:
        if job.request["sha256"] == video(1):
            asked.append(job.id)
        return classification(job) | {"warnings": ["long" * 500]}  # too large for the record

    batch = bench.create(*lines(6))
    while bench.messages:
        bench.work(answer, most=1)
        for job_id in asked:
            bench.payloads.delete(job_id)
    assert [(row["error"] or {}).get("code") for row in bench.rows(batch)] == [None, "storage_unavailable", *[None] * 4]
    assert bench.asked == {0: 1, 1: driver.TRIES, 2: 1, 3: 1, 4: 1, 5: 1}


def test_a_slow_video_holds_up_no_other(bench: Bench) -> None:
    batch = bench.create(*lines(14))
    bench.work(most=1)
    slow = bench.messages.pop(0)
    bench.work()
    assert sorted(bench.asked) == list(range(1, 14))
    assert bench.rows(batch) == []
    assert bench.job(batch).state == "running"
    bench.messages.append(slow)
    bench.work()
    assert [row["id"] for row in bench.rows(batch)] == [f"n{number}" for number in range(14)]
    assert all(count == 1 for count in bench.asked.values())
    assert bench.most == 4


def test_a_death_between_rows_and_progress_loses_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = bench.create(*lines(6))
    bench.work(most=5)  # the batch, and its first four questions
    write = BatchFiles.write_rows

    def dies(files: BatchFiles, rows: Any) -> None:
        write(files, rows)
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(BatchFiles, "write_rows", dies)
        with pytest.raises(SystemExit):
            bench.work(most=1)
    bench.redis.zadd(keys.running(keys.INFERENCE), {batch.id: 1})  # its lease has run out
    assert bench.book.expire_leases() == {batch.id: "queued"}
    bench.messages.append(batch.id)
    bench.work()
    assert [row["id"] for row in bench.rows(batch)] == [f"n{number}" for number in range(6)]
    assert all(count == 1 for count in bench.asked.values())


def test_a_cancelled_batch_keeps_its_rows_and_asks_no_more(bench: Bench) -> None:
    batch = bench.create(*lines(12))
    bench.work(most=7)  # four rows; the next window has begun
    script_keys, args = lifecycle.cancel_args(batch.id, keys.INFERENCE, Cancelled("stop").to_dict())
    bench.redis.register_script(steps.CANCEL)(keys=script_keys, args=args)
    bench.work()
    assert bench.job(batch).state == "cancelled"
    assert len(bench.rows(batch)) == 4
    assert len(bench.asked) == 5
    assert bench.book.waiting() == 0


def test_a_store_that_is_away_postpones_the_batch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = bench.create(*lines(2))

    def away(*_: object) -> None:
        raise StorageUnavailable("The store cannot be reached.")

    with monkeypatch.context() as patched:
        patched.setattr(BatchFiles, "write_rows", away)
        bench.work()
    assert bench.job(batch).state == "queued"
    bench.messages.append(batch.id)
    bench.work()
    assert bench.job(batch).state == "succeeded"
    assert all(count == 1 for count in bench.asked.values())


def test_the_next_questions_are_asked_while_the_last_ones_wait(bench: Bench) -> None:
    batch = bench.create(*lines(12))
    bench.work(most=3)  # the batch, and half of its questions
    assert bench.messages.pop() == batch.id
    bench.messages.insert(0, batch.id)
    bench.work(most=1)
    assert len(bench.messages) == bench.book.waiting() == 4
    assert len(bench.rows(batch)) == 2


def test_a_batch_leaves_room_for_others(bench: Bench) -> None:
    for _ in range(3):
        bench.create(*lines(1))
    bench.messages.clear()
    bench.create(*lines(6))
    bench.work(most=1)
    assert len(bench.messages) == 1  # one question, because three jobs wait already


@pytest.mark.parametrize(
    ("manifest", "words"),
    [(lines(4), "more than 3 items"), (["name,label"], "neither JSONL nor a CSV"), (["video_id"], "names no videos")],
)
def test_a_manifest_that_cannot_be_used_fails_the_batch(
    redis_url: str, tmp_path: Path, manifest: list[Any], words: str
) -> None:
    bench = Bench(redis_url, tmp_path, max_batch_items=3)
    batch = bench.create(*manifest)
    bench.work()
    ended = bench.job(batch)
    assert ended.state == "failed"
    assert words in VireoError.from_dict(ended.error or {}).message
    assert not bench.asked
