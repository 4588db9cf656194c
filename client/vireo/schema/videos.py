"""Stored videos, batches, and what people say about videos.

Rendered from the server's OpenAPI description by docs/render.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vireo.schema.questions import CalibrationRef, LabelTimeline, Prediction, VideoRef
from vireo.schema.result import Result


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFacts(Result):
    """Facts from the video container. Width and height are those after rotation."""

    duration: float
    """seconds"""
    width: int
    height: int
    fps: float | None
    codec: str
    container: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LastAnswer(Result):
    """What the last question about a video was answered: of those with two labels at least, in the mode `single`."""

    job: str
    """id of its job"""
    model: str
    """the model that answered; a fine-tuned one as `name:version`"""
    label: str
    """the best label"""
    score: float
    """its score, 0 to 1"""
    confidence: float | None
    """its confidence; null if the model is not calibrated"""
    uncertainty: float
    """1 minus the margin, which is the best score minus the second best: 0 is certain, 1 undecided"""
    at: float
    """unix seconds"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Video(Result):
    """A stored video."""

    id: str
    bytes: int
    kept: bool
    """true: stored until it is deleted; false: stored until `expires_at`"""
    created_at: float
    expires_at: float | None
    facts: VideoFacts | None
    """null until a worker has decoded the video"""
    tags: list[str]
    metadata: dict[str, str]
    answer: LastAnswer | None
    """what the last question about it was answered: the best label, and how uncertain it was"""
    index_job: str | None
    """the job that makes it searchable, if the request asked for one"""
    links: dict[str, str]
    """`self`: the video; `content`: its bytes, which a player can show"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowError(Result):
    code: str
    message: str
    hint: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRow(Result):
    """The result of one item: the answer to the question about its video, or its error."""

    index: int
    """its place in the manifest, from 0"""
    id: str | None
    """the name that the manifest gives it"""
    source: str | None
    """what the manifest gives: the id or the URL of a video"""
    error: RowError | None
    """why there is no answer; null if there is one"""
    model: str | None
    """the model that answered; a fine-tuned one as `name:version`"""
    video: VideoRef | None
    """`id` for further questions, and what the container says"""
    predictions: list[Prediction]
    """as in a classification"""
    abstained: bool | None
    """as in a classification"""
    mode: str | None
    """as in a classification"""
    calibrated: bool | None
    """as in a classification"""
    calibration: CalibrationRef | None
    """as in a classification"""
    timeline: LabelTimeline | None
    """only if it was asked for"""
    warnings: list[str]
    """as in a classification"""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchResult(Result):
    """The result of a job of kind `batch`."""

    items: int
    """number of items in the manifest"""
    answered: int
    """how many of them have an answer"""
    unanswered: int
    """how many of them have an error"""
    results: str
    """path of the rows, one per item"""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastStatement(Result):
    video: str
    """`vid_…`"""
    start: float | None
    """seconds; null: the statement is about the whole video"""
    end: float | None
    """seconds"""
    label: str
    """what the video shows, as the person says"""
    confirmed: bool | None
    """true: the answer was right; false: it was corrected; null: no answer is known"""
    predicted: str | None
    """the best label of the answer"""
    model: str | None
    """the model whose answer it is about"""
    job: str | None
    """the job whose answer it is about"""
    said_at: float
    """unix seconds"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Feedback(Result):
    """What a person said about a video. The latest statement counts."""

    video: str
    """`vid_…`"""
    start: float | None
    """seconds; null: the statement is about the whole video"""
    end: float | None
    """seconds"""
    label: str
    """what the video shows, as the person says"""
    confirmed: bool | None
    """true: the answer was right; false: it was corrected; null: no answer is known"""
    predicted: str | None
    """the best label of the answer"""
    model: str | None
    """the model whose answer it is about"""
    job: str | None
    """the job whose answer it is about"""
    id: str
    """`fb_…`, which follows from the video and the span"""
    revision: int
    """number of statements so far"""
    created_at: float
    """unix seconds"""
    updated_at: float
    """unix seconds of the latest statement"""
    video_kept: bool | None
    """true: the video is stored until it is deleted, as every video with feedback; null: it has been deleted"""
    history: list[PastStatement] | None
    """the statements before this one, the oldest first, at most 100; null in lists"""
    links: dict[str, str]
    """`self`: the feedback, with its history"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportProblem(Result):
    where: str
    """the task of the JSON or the line of the CSV, counted from 1"""
    code: str
    """as of an error"""
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport(Result):
    """What became of an imported file. A statement that cannot be used does not keep the others out."""

    imported: int
    """statements that are new, or that change what was said"""
    unchanged: int
    """statements that say what is known already"""
    skipped: int
    """tasks that nobody has annotated"""
    failed: int
    """statements that could not be used"""
    problems: list[ImportProblem]
    """why, for the first 100 of these"""
