"""How a search is answered: the vector of what is searched, the windows that resemble it, and how much was searched."""

from __future__ import annotations

from typing import Any

import torch

from core.errors import UnknownVideo
from core.questions import Label, Options, Question, SearchRequest
from core.records import Job, StoredVideo, video_id
from core.results import SearchHit, SearchResult
from models.frames.arrays import FloatArray
from worker.inference.caches.windows import Hit
from worker.inference.label_rows import label_rows
from worker.inference.loading.shelf import Loaded
from worker.inference.runtime import Runtime
from worker.inference.search.library import index_of, load, meant
from worker.inference.stopwatch import Stopwatch
from worker.inference.video_vectors import video_vectors
from worker.inference.windows.vectors import gone
from worker.jobs.cancellation import CancelToken


def answer_search(runtime: Runtime, job: Job, token: CancelToken) -> dict[str, Any]:
    """Raises: VireoError."""
    request = SearchRequest.model_validate(job.request, extra="ignore")
    watch = Stopwatch(job.waited)
    loaded = runtime.shelf.get(request.model, token)
    query, warnings = _query(runtime, loaded, request, token, watch)  # [d]
    with watch.stage("score"):
        wanted = meant(runtime, request.filter)
        index = index_of(runtime, loaded.recognizer)
        load(runtime, loaded.recognizer, index, wanted, token)
        searched = {sha256 for sha256 in wanted if sha256 in index}
        hits = index.search(query, request.top_k, searched - {request.sha256})
        records = runtime.book.records([hit.sha256 for hit in hits.best])
    if len(searched) < len(wanted):
        warnings.append(
            f"{len(wanted) - len(searched)} of {len(wanted)} stored videos were not searched: they have no vectors for "
            f"{loaded.ref.name}, or there is no room for them. POST /v1/search/index computes vectors."
        )
    answer = SearchResult(
        id=job.id,
        model=loaded.ref.name,
        model_info=loaded.ref,
        data=[_shown(hit, record) for hit, record in zip(hits.best, records, strict=True) if record],
        stored=len(wanted),
        searched=len(searched),
        windows=hits.windows,
        warnings=warnings,
        timings_ms=watch.timings(),
    )
    return answer.model_dump(mode="json")


def _query(
    runtime: Runtime, loaded: Loaded, request: SearchRequest, token: CancelToken, watch: Stopwatch
) -> tuple[FloatArray, list[str]]:
    """A unit vector [d], and warnings."""
    if request.text is not None:
        question = Question(
            labels=(Label(name=request.text),),
            templates=request.templates,
            normalize_labels=request.normalize_labels,
        )
        with watch.stage("text"):
            rows, _ = label_rows(runtime, loaded, question, token)  # [1, d]
        cut = [f"The text is longer than the text encoder of {loaded.ref.name} reads."] if rows.truncated else []
        return rows.matrix[0].float().numpy(), cut
    assert request.sha256 is not None  # a request has one of them
    try:
        vectors, _ = video_vectors(runtime, loaded, request.sha256, Options(), token, watch)
    except UnknownVideo as error:
        raise gone(error) from None
    runtime.book.set_facts(request.sha256, vectors.facts)
    pooled = loaded.recognizer.pool(vectors.features).mean(dim=0)  # [V, d] → [d]
    return torch.nn.functional.normalize(pooled.float(), dim=0).numpy(), list(vectors.warnings)


def _shown(hit: Hit, record: StoredVideo) -> SearchHit:
    return SearchHit(
        video=video_id(hit.sha256),
        start=hit.start,
        end=hit.end,
        similarity=round(hit.similarity, 6),
        duration=record.facts.duration if record.facts else hit.end,
        tags=list(record.tags),
        metadata=record.metadata,
    )
