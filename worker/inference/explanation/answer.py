"""How an explanation is made: the scores as for a question, what each frame adds to one of them, and a picture of where
the image tower looks. One view only: its frames are those of the answer.

The video is decoded again, because frames are not cached; their features may be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from core.errors import InvalidLabels
from core.questions import ExplainRequest, Question
from core.records import (
    AttentionSheet,
    Explanation,
    FrameContribution,
    Job,
    Prediction,
    VideoRef,
    video_id,
)
from core.state.payloads import PictureName
from models.frames.arrays import FloatArray
from models.frames.sampling import Views
from models.recognition.contributions import contributions
from worker.decoding.pool import DecodedClip
from worker.inference.caches.features import VideoVectors, video_key
from worker.inference.confidence import decide
from worker.inference.explanation.sheet import Tile, draw_sheet, shown_places
from worker.inference.handlers import pool, rank, truncations
from worker.inference.label_rows import check_question, label_rows
from worker.inference.loading.shelf import Loaded
from worker.inference.ranking import Ranking
from worker.inference.runtime import Runtime
from worker.inference.stopwatch import Stopwatch
from worker.inference.video_vectors import decode_video, encode_video
from worker.jobs.cancellation import CancelToken

ONE_VIEW = Views(1, 1)
SHEET: PictureName = "attention.png"

KeepPicture = Callable[[PictureName, bytes], None]


def answer_explain(runtime: Runtime, job: Job, token: CancelToken, keep: KeepPicture) -> dict[str, Any]:
    """`keep`: puts a picture beside the job. Raises: VireoError."""
    request = ExplainRequest.model_validate(job.request, extra="ignore")
    question, watch = request.question, Stopwatch(job.waited)
    loaded = runtime.shelf.get(question.model, token)
    check_question(runtime, loaded, question)
    with watch.stage("decode"):
        frames = question.frames or loaded.recognizer.profile.frames
        clip = decode_video(runtime, loaded, request.sha256, ONE_VIEW, frames, token)
    vectors = _features(runtime, loaded, request.sha256, clip, token, watch)
    token.check()
    with watch.stage("text"):
        rows, _ = label_rows(runtime, loaded, question, token)
    with watch.stage("score"):
        scored = rank(loaded, vectors, rows, question)
        ranking = decide(runtime, loaded, lambda: pool(loaded, vectors), scored, question, token).ranking
        explained = _explained(ranking, request.label)
        shares = _shares(loaded, vectors, rows.matrix, question, explained.label)
    sheet = _sheet(loaded, clip, shares, token, watch)
    if sheet:
        keep(SHEET, sheet[1])
    answer = Explanation(
        id=job.id,
        model=loaded.ref.name,
        model_info=loaded.ref,
        video=VideoRef(id=video_id(request.sha256), **vectors.facts.model_dump()),
        label=explained.label,
        score=explained.score,
        similarity=explained.similarity,
        frames=[
            FrameContribution(time=round(float(time), 3), contribution=round(float(share), 8))
            for time, share in zip(clip.report.timestamps[0], shares, strict=True)
        ],
        reads=loaded.recognizer.reads,
        sheet=sheet[0].model_copy(update={"url": f"/v1/jobs/{job.id}/files/{SHEET}"}) if sheet else None,
        sheet_note=None if sheet else _NO_SHEET.format(model=loaded.ref.name),
        predictions=ranking.predictions(),
        warnings=[*vectors.warnings, *truncations(loaded, rows, question)],
        timings_ms=watch.timings(),
    )
    return answer.model_dump(mode="json")


_NO_SHEET = (
    "The image tower of {model} averages over the places of a frame instead of attending to some of them, so there is "
    "no attention to draw. The contributions of the frames are exact all the same."
)


def _features(
    runtime: Runtime, loaded: Loaded, sha256: str, clip: DecodedClip, token: CancelToken, watch: Stopwatch
) -> VideoVectors:
    """Those of a classification of the same frames, from the same cache."""
    key = video_key(sha256, loaded.recognizer, ONE_VIEW, clip.frames.shape[1])
    vectors, _ = runtime.videos.get_or_make(key, token, lambda own: encode_video(loaded, clip, own, watch))
    runtime.book.set_facts(sha256, vectors.facts)
    return vectors


def _explained(ranking: Ranking, label: str | None) -> Prediction:
    """None: the best one. Raises: InvalidLabels for a label that was not asked."""
    place = 0 if label is None else ranking.rank_of(label)
    if place is None:
        raise InvalidLabels(f"{str(label)[:80]!r} is not one of the labels of this question.", hint="Name one of them.")
    return ranking.prediction(place)


def _shares(
    loaded: Loaded, vectors: VideoVectors, matrix: torch.Tensor, question: Question, label: str
) -> torch.Tensor:
    """float64 [T]."""
    row = matrix[[each.name for each in question.labels].index(label)]  # [d]
    by_frame = loaded.recognizer.vectors_by_frame(vectors.features)[0]  # [V, T, d] → [T, d]
    return contributions(by_frame, row, loaded.recognizer.profile.fusion)


def _sheet(
    loaded: Loaded, clip: DecodedClip, shares: torch.Tensor, token: CancelToken, watch: Stopwatch
) -> tuple[AttentionSheet, bytes] | None:
    """The sheet, without its URL, and its PNG; None for a tower without attention. Raises: Cancelled, ModelUnavailable,
    and what a forward pass raises."""
    attention = loaded.towers.attention
    if attention is None:
        return None
    frames = clip.frames[0]  # [T, S, S, 3]
    places = shown_places(len(frames))
    with watch.stage("encode"):
        if loaded.recognizer.mixes_time:
            maps = attention.encode(frames, token, len(frames))[places]  # [n, h, h]
        else:
            maps = attention.encode(np.ascontiguousarray(frames[places]), token)  # [n, h, h]
    token.check()
    with watch.stage("score"):
        drawn: FloatArray = maps.numpy()
        times = clip.report.timestamps[0]
        picture = draw_sheet([Tile(frames[at], drawn[n], times[at], float(shares[at])) for n, at in enumerate(places)])
    return AttentionSheet(url="", width=picture.width, height=picture.height, frames=places), picture.png
