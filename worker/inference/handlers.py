"""How a question is answered: fetch the video if it has a URL, decode it, sample frames, batch them through the
recogniser, score them against the classifier. What is cached is not computed again.

Each handler takes a job's request and returns its result as plain data; every expected failure is a VireoError. Both
raise Postponed while this worker fetches as many videos as it may.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import torch

from core.errors import InvalidRequest, UnknownVideo
from core.prometheus import ABSTAINED, CLASSIFY_MARGIN
from core.questions import ClassifyRequest, EmbedRequest, Options, Question
from core.records import (
    CacheUse,
    Classification,
    Embedding,
    Embeddings,
    Job,
    LastAnswer,
    VideoFacts,
    VideoRef,
    video_id,
)
from core.state.shadow_counts import Look
from models.recognition.scoring import score
from worker.inference.caches.classifiers import ClassifierMatrix
from worker.inference.caches.features import VideoVectors
from worker.inference.confidence import Decided, decide
from worker.inference.label_rows import check_question, label_rows, rows_beside
from worker.inference.loading.shelf import Loaded
from worker.inference.ranking import Ranking
from worker.inference.runtime import Runtime
from worker.inference.shadows import ShadowTask
from worker.inference.stopwatch import Stopwatch
from worker.inference.video_vectors import stored_video, video_vectors
from worker.inference.windows.timeline import make_timeline
from worker.inference.windows.vectors import StoredVideo, gone
from worker.jobs.cancellation import CancelToken


def answer_classify(
    runtime: Runtime, job: Job, token: CancelToken, follow: Callable[[ShadowTask], None] = lambda _: None
) -> dict[str, Any]:
    """follow: gets the question if a shadow is to score it as well. Raises: VireoError."""
    request = ClassifyRequest.model_validate(job.request, extra="ignore")
    watch = Stopwatch(job.waited)
    loaded = runtime.shelf.get(request.question.model, token)
    check_question(runtime, loaded, request.question)
    text = rows_beside(runtime, loaded, request.question, token)
    sha256 = stored_video(runtime, request.video, token, watch)
    vectors, cached = _of_question(runtime, loaded, sha256, request.question, token, watch)
    rows = token.wait_for(text)
    watch.note("text", rows.seconds)
    classifier = rows.classifier
    with watch.stage("score"):
        scored = rank(loaded, vectors, classifier, request.question)
        decided = decide(runtime, loaded, lambda: pool(loaded, vectors), scored, request.question, token)
        predictions = decided.ranking.predictions(request.question.top_k)
    _observe(decided)
    _note(runtime, job, loaded, sha256, vectors.facts, decided, request.question)
    made = None
    if request.question.timeline:
        video = StoredVideo(sha256, vectors.facts)
        made = make_timeline(runtime, loaded, video, request.question, classifier.matrix, token, watch)
    if request.shadow:
        follow(ShadowTask(request.shadow, request.question, sha256, decided.ranking.look, runtime.project))
    warnings = [*vectors.warnings, *(made.warnings if made else ()), *truncations(loaded, classifier, request.question)]
    answer = Classification(
        id=job.id,
        model=loaded.ref.name,
        model_info=loaded.ref,
        video=VideoRef(id=video_id(sha256), **vectors.facts.model_dump()),
        frames=list(vectors.timestamps),
        views=request.question.views,
        predictions=predictions,
        abstained=decided.abstained,
        mode=request.question.mode,
        calibrated=decided.calibration is not None,
        calibration=decided.calibration,
        timeline=made.timeline if made else None,
        warnings=list(dict.fromkeys([*warnings, *decided.warnings])),
        timings_ms=watch.timings(),
        cache=CacheUse(video=_hit(cached), classifier=rows.outcome, timeline=_hit(made.cached) if made else None),
    )
    return answer.model_dump(mode="json")


def _of_question(
    runtime: Runtime, loaded: Loaded, sha256: str, question: Question, token: CancelToken, watch: Stopwatch
) -> tuple[VideoVectors, bool]:
    """Raises: VideoGone if a timeline was asked of a video that has a record only, and what `video_vectors` raises."""
    try:
        return video_vectors(runtime, loaded, sha256, question, token, watch)
    except UnknownVideo as error:
        raise gone(error) if question.timeline else error from None


def _hit(cached: bool) -> Literal["hit", "miss"]:
    return "hit" if cached else "miss"


def score_shadow(runtime: Runtime, task: ShadowTask, token: CancelToken) -> Look | None:
    """What a shadow says to a question that has been answered. It leaves no trace but entries of caches. None if the
    shadow does not fit into memory beside the models that answer. Raises: VireoError."""
    loaded = runtime.shelf.get_beside(f"{task.asked.name}:{task.asked.shadow}")
    if loaded is None:
        return None
    own = {"model": None, "normalize_labels": task.asked.normalize_labels}
    question = task.question.model_copy(update=own)
    token.check()
    classifier, _ = label_rows(runtime, loaded, question, token)
    watch = Stopwatch(0.0, observed=False)
    vectors, _ = video_vectors(runtime, loaded, task.sha256, question, token, watch, live=False)
    token.check()
    return rank(loaded, vectors, classifier, question).look


def answer_embed(runtime: Runtime, job: Job, token: CancelToken) -> dict[str, Any]:
    """Raises: VireoError."""
    request = EmbedRequest.model_validate(job.request, extra="ignore")
    watch = Stopwatch(job.waited)
    loaded = runtime.shelf.get(request.model, token)
    data: list[Embedding] = []
    warnings: list[str] = []
    if request.texts:
        with watch.stage("text"):
            rows = loaded.towers.texts.encode(request.texts, token)  # [n, d]
        truncated = [index for index, cut in enumerate(rows.truncated) if cut]
        warnings += [f"texts[{index}] is longer than the text encoder reads." for index in truncated]
        data += [
            Embedding(object="text", text=text, vector=vector)
            for text, vector in zip(request.texts, _as_lists(rows.vectors, request.normalize), strict=True)
        ]
    if request.video:
        sha256 = stored_video(runtime, request.video, token, watch)
        options = Options(frames=request.frames, views=request.views)
        vectors, _ = video_vectors(runtime, loaded, sha256, options, token, watch)
        runtime.book.set_facts(sha256, vectors.facts)
        pooled = pool(loaded, vectors).mean(dim=0, keepdim=True)  # [V, d] → [1, d]
        warnings += vectors.warnings
        vector = _as_lists(pooled, request.normalize)[0]
        data.append(Embedding(object="video", video_id=video_id(sha256), vector=vector))
    answer = Embeddings(id=job.id, model=loaded.ref.name, dim=loaded.recognizer.dim, data=data, warnings=warnings)
    return answer.model_dump(mode="json")


def rank(loaded: Loaded, vectors: VideoVectors, classifier: ClassifierMatrix, question: Question) -> Ranking:
    """All labels by their scores."""
    recognizer = loaded.recognizer
    pooled = pool(loaded, vectors)  # [V, d]
    aggregate = question.aggregate or recognizer.profile.aggregate
    fusion = recognizer.profile.fusion
    scores = score(pooled, classifier.matrix, recognizer.logit_scale, aggregate, fusion)
    return Ranking.of(question.labels, scores)


def pool(loaded: Loaded, vectors: VideoVectors) -> torch.Tensor:
    """[V, d]. Raises: InvalidRequest for more frames than a temporal transformer has positions."""
    try:
        return loaded.recognizer.pool(vectors.features)  # [V, T, d] → [V, d]
    except ValueError as error:
        raise InvalidRequest(f"{error}.", hint="Ask for fewer frames.", field="frames") from error


def _note(
    runtime: Runtime, job: Job, loaded: Loaded, sha256: str, facts: VideoFacts, decided: Decided, question: Question
) -> None:
    """With the video's record, its facts and how uncertain its answer is. A single label has no margin, and with the
    mode `multi` a small one means nothing."""
    if len(question.labels) < 2 or question.mode == "multi":
        runtime.book.set_facts(sha256, facts)
        return
    best = decided.ranking.prediction(0)
    answer = LastAnswer(
        job=job.id,
        model=loaded.ref.name,
        label=best.label,
        score=best.score,
        confidence=best.confidence,
        uncertainty=round(1 - decided.ranking.look.margin, 6),
        at=time.time(),
    )
    runtime.book.set_answer(sha256, answer, facts)


def _observe(decided: Decided) -> None:
    if len(decided.ranking.places) > 1:
        CLASSIFY_MARGIN.observe(decided.ranking.look.margin)
    if decided.abstained:
        ABSTAINED.inc()


def truncations(loaded: Loaded, classifier: ClassifierMatrix, question: Question) -> list[str]:
    return [
        f"labels[{index}] ({question.labels[index].name[:40]!r}…) is longer than the text encoder of "
        f"{loaded.ref.name} reads; only its beginning counts."
        for index in classifier.truncated
    ]


def _as_lists(vectors: torch.Tensor, normalise: bool) -> list[list[float]]:
    if normalise:
        vectors = torch.nn.functional.normalize(vectors, dim=-1)  # [n, d]
    rows: list[list[float]] = vectors.float().cpu().tolist()
    return rows
