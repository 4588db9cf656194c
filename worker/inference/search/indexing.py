"""Makes stored videos searchable: computes the vectors of their windows, one video after the other.

A video that cannot be decoded is named in the result, and the others go on. The work is kept video by video, so a job
that is put back, or is sent again, goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.errors import DeadlineExceeded, UndecodableVideo, UnknownVideo, VideoGone, VideoTooLarge, VireoError
from core.questions import IndexRequest, Options
from core.records import Job, Progress, video_id
from core.results import IndexFailure, IndexResult
from worker.inference.guard import Guard
from worker.inference.loading.shelf import Loaded
from worker.inference.runtime import Runtime
from worker.inference.search.library import add, index_of, load, meant, spacing_of
from worker.inference.stopwatch import Stopwatch
from worker.inference.video_vectors import video_vectors
from worker.inference.windows.vectors import StoredVideo, window_vectors
from worker.jobs.cancellation import CancelToken, StopReason

OF_THE_VIDEO = (UndecodableVideo, VideoTooLarge, UnknownVideo, VideoGone, DeadlineExceeded)
"""Errors that the next video need not have."""


def index_videos(
    runtime: Runtime, job: Job, token: CancelToken, report: Callable[[Progress], None], guard: Guard
) -> dict[str, Any]:
    """guard: gives each video the deadline of a question. Raises: VireoError, Interrupted, and what `report` raises."""
    request = IndexRequest.model_validate(job.request, extra="ignore")
    loaded = runtime.shelf.get(request.model, token)
    wanted = meant(runtime, request.filter)
    index = index_of(runtime, loaded.recognizer)
    load(runtime, loaded.recognizer, index, wanted, token)
    missing = [sha256 for sha256 in wanted if sha256 not in index]
    failed: list[IndexFailure] = []
    for number, sha256 in enumerate(missing):
        token.check()
        report(Progress(phase="features", step=number, steps=len(missing)))
        try:
            _index(runtime, loaded, sha256, token, guard)
        except OF_THE_VIDEO as error:
            failed.append(_failure(sha256, error))
    result = IndexResult(
        model=loaded.ref.name,
        indexed=len(missing) - len(failed),
        known=len(wanted) - len(missing),
        failed=failed,
    )
    return result.model_dump(mode="json")


def _index(runtime: Runtime, loaded: Loaded, sha256: str, token: CancelToken, guard: Guard) -> None:
    own = CancelToken()  # the deadline of one video may not end the job

    def compute() -> None:
        watch = Stopwatch(0.0, observed=False)
        facts = next((record.facts for record in runtime.book.records([sha256]) if record), None)
        if facts is None:
            facts = video_vectors(runtime, loaded, sha256, Options(), own, watch)[0].facts
            runtime.book.set_facts(sha256, facts)
        spacing = spacing_of(runtime, facts.duration)
        vectors, _ = window_vectors(runtime, loaded, StoredVideo(sha256, facts), spacing, own, watch)
        add(runtime, loaded.recognizer, index_of(runtime, loaded.recognizer), sha256, vectors)

    with token.on_cancel(lambda: own.cancel(token.reason or StopReason.CANCELLED)):
        guard.run(own, compute)


def _failure(sha256: str, error: VireoError) -> IndexFailure:
    return IndexFailure(video=video_id(sha256), code=error.code, message=error.message)
