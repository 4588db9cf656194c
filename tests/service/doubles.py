"""A test double for workers: it takes Celery messages and finishes jobs through the scripts of `core`.

It decodes nothing. The end-to-end tests run real workers.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

import redis

from core.errors import VireoError
from core.records import (
    CacheUse,
    Classification,
    Embedding,
    Embeddings,
    Explanation,
    FrameSheet,
    Job,
    ModelRef,
    Prediction,
    Timings,
    VideoRef,
    WorkerInfo,
    video_id,
)
from core.state import keys, lifecycle, steps
from core.state.lifecycle import Attempt, Standing

Answer = Callable[[Job], "dict[str, Any] | VireoError | None"]
"""What the double does with a job: returns its result or its error, or None to leave it running."""

LITE = ModelRef(name="lite", digest="d1", reason="no hub can be reached", note="small")


def classification(job: Job) -> dict[str, Any]:
    labels = [label["name"] for label in job.request["question"]["labels"]]
    sha256 = job.request.get("sha256") or "0" * 64  # a request with a URL has none before the video is fetched
    answer = Classification(
        id=job.id,
        model=job.request["question"]["model"] or "lite",
        model_info=LITE,
        video=VideoRef(id=video_id(sha256), duration=1.0, width=4, height=2, codec="h264"),
        frames=[0.5],
        views=job.request["question"]["views"],
        predictions=[Prediction(label=label, score=1 / len(labels), similarity=0.1) for label in labels],
        abstained=False,
        timings_ms=Timings(),
        cache=CacheUse(video="miss", classifier="miss"),
    )
    return answer.model_dump(mode="json")


def embeddings(job: Job) -> dict[str, Any]:
    data = [Embedding(object="text", text=text, vector=[1.0]) for text in job.request["texts"]]
    if job.request["sha256"]:
        data.append(Embedding(object="video", video_id=video_id(job.request["sha256"]), vector=[1.0]))
    return Embeddings(id=job.id, model="lite", dim=1, data=data).model_dump(mode="json")


def explanation(job: Job) -> dict[str, Any]:
    asked = classification(job)
    label = job.request["label"] or asked["predictions"][0]["label"]
    answer = Explanation.model_validate(
        asked
        | {
            "label": label,
            "score": asked["predictions"][0]["score"],
            "similarity": 0.1,
            "frames": [{"time": 0.5, "contribution": 0.1}],
            "reads": "frame",
            "sheet": {"url": f"/v1/jobs/{job.id}/files/attention.png", "width": 161, "height": 348, "frames": [0]},
            "sheet_note": None,
        }
    )
    return answer.model_dump(mode="json")


def frames(job: Job) -> dict[str, Any]:
    answer = FrameSheet(
        id=job.id,
        model=job.request["model"] or "lite",
        video=VideoRef(id=video_id(job.request["sha256"]), duration=1.0, width=4, height=2, codec="h264"),
        frames=[0.5] * (job.request["frames"] or 1),
        url=f"/v1/jobs/{job.id}/files/frames.jpg",
        width=160,
        height=160,
        tile=160,
        columns=1,
    )
    return answer.model_dump(mode="json")


_ANSWERS = {"classification": classification, "embedding": embeddings, "explanation": explanation, "frames": frames}


def answer_all(job: Job) -> dict[str, Any]:
    return _ANSWERS[job.kind](job)


class AnsweringWorker:
    """Announces itself and answers jobs one after the other, in a thread."""

    def __init__(self, url: str, answer: Answer = answer_all, queue: str = keys.INFERENCE) -> None:
        self.answer = answer
        self.queue = queue
        self._id = f"{queue}-1" if queue != keys.INFERENCE else "w1"
        self.seen: list[str] = []
        self.cancelled: list[str] = []
        self.redis = redis.Redis.from_url(url, decode_responses=True)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answering worker")

    def announce(
        self,
        state: Literal["starting", "ready", "failed"] = "ready",
        detail: str = "ready",
        error: VireoError | None = None,
        store: str | None = None,
        model: ModelRef = LITE,
    ) -> None:
        now = time.time()
        info = WorkerInfo(
            id=self._id,
            queue=self.queue,
            state=state,
            detail=detail,
            error=error.to_dict() if error else None,
            model=model if state == "ready" and self.queue == keys.INFERENCE else None,
            models=["clip-b16", "clip-l14", "lite"] if self.queue == keys.INFERENCE else [],
            promptable=["clip-b16", "clip-l14"] if self.queue == keys.INFERENCE else [],
            device="cpu",
            precision="fp32",
            store=store,
            started_at=now,
            seen_at=now,
        )
        self.redis.set(keys.worker(self._id), info.model_dump_json())
        self.redis.zadd(keys.WORKERS, {self._id: now + 60})

    def finish(self, job_id: str, outcome: dict[str, Any] | VireoError) -> bool:
        failed = isinstance(outcome, VireoError)
        value = outcome.to_dict() if isinstance(outcome, VireoError) else outcome
        state, field = ("failed", "error") if failed else ("succeeded", "result")
        script_keys, args = lifecycle.finish_args(self._attempt(job_id), self.queue, state, field, value)
        return bool(self.redis.register_script(steps.FINISH)(keys=script_keys, args=args))

    def report(self, job_id: str, event: str, data: Any, progress: dict[str, Any] | None = None) -> bool:
        script_keys, args = lifecycle.report_args(self._attempt(job_id), self.queue, event, data, progress)
        standing = Standing(self.redis.register_script(steps.REPORT)(keys=script_keys, args=args))
        return standing is not Standing.SUPERSEDED

    def _attempt(self, job_id: str) -> Attempt:
        """The attempt that the job belongs to."""
        number, holder = self.redis.hmget(keys.job(job_id), "attempts", "holder")
        return Attempt(job_id, int(number or 0), str(holder))

    def job(self, job_id: str) -> Job:
        return lifecycle.job_from_fields(cast(dict[str, str], self.redis.hgetall(keys.job(job_id))))

    def start(self) -> None:
        self.announce()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(10)
        self.redis.close()

    def _run(self) -> None:
        channel = self.redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        channel.subscribe(keys.CANCEL_CHANNEL)
        while not self._stopped.is_set():
            try:
                if told := channel.get_message():
                    self.cancelled.append(told["data"])
                if message := self.redis.brpop([self.queue], timeout=0.05):
                    self._take(json.loads(message[1]))
            except redis.ConnectionError:
                time.sleep(0.05)
        channel.close()

    def _take(self, message: dict[str, Any]) -> None:
        (job_id,), _, _ = json.loads(base64.b64decode(message["body"]))
        self.seen.append(job_id)
        script_keys, args = lifecycle.start_args(job_id, self.queue, secrets.token_hex(8))
        if started := cast(list[Any] | None, self.redis.register_script(steps.START)(keys=script_keys, args=args)):
            job_id = started[0]
            outcome = self.answer(self.job(job_id))
            if outcome is not None:
                self.finish(job_id, outcome)


@contextmanager
def answering(url: str, answer: Answer = answer_all, queue: str = keys.INFERENCE) -> Iterator[AnsweringWorker]:
    worker = AnsweringWorker(url, answer, queue)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
