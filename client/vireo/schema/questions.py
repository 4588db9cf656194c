"""Answers to questions about videos.

Rendered from the server's OpenAPI description by docs/render.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vireo.schema.result import Result


@dataclass(frozen=True, kw_only=True, slots=True)
class Timings(Result):
    """Milliseconds per stage, as the worker measured them."""

    queue: float
    fetch: float
    decode: float
    encode: float
    text: float
    score: float
    total: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheUse(Result):
    video: str
    classifier: str
    timeline: str | None
    """whether the vectors of the windows came from a cache; only with a timeline"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRef(Result):
    """The model that gave an answer, and notes on its strength."""

    name: str
    digest: str
    """digest of the weights, which is part of every cache key"""
    reason: str | None
    """why `auto` chose this model"""
    note: str | None
    """how strong the model is, and how to get a stronger one"""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoRef(Result):
    duration: float
    """seconds"""
    width: int
    height: int
    fps: float | None
    codec: str
    container: str | None
    id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction(Result):
    label: str
    score: float
    """softmax over the labels of the question, 0 to 1"""
    similarity: float
    """cosine of video and label, -1 to 1; comparable between questions"""
    confidence: float | None
    """calibrated probability that the label is right, 0 to 1, independent of the other labels; null if the model is
    not calibrated
    """
    present: bool | None
    """with the mode `multi`: whether the label's confidence (or score, if the model is not calibrated) reaches the
    threshold
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationRef(Result):
    """The calibration that gave the confidences of an answer."""

    id: str
    """`cal_…`"""
    version: int
    """its number among the calibrations of this model and label set"""
    label_set: str | None
    """the label set that it is for; null: any labels"""
    created_at: float
    """unix seconds"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment(Result):
    """A part of a video in which one label is ahead of the others."""

    label: str
    start: float
    """seconds from the start of the video"""
    end: float
    """seconds from the start of the video"""
    peak: float
    """the highest similarity in it"""
    mean: float
    """the mean similarity in it"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelTimeline(Result):
    """When the labels of a question are seen. Its numbers are similarities, not probabilities."""

    stride: float
    """seconds between two points"""
    window: float
    """seconds that each point sees: half of them before it, half after it"""
    timestamps: list[float]
    """the points, in seconds from the start of the video"""
    similarities: dict[str, list[float]]
    """by label: the cosine of the label and what each point sees, -1 to 1"""
    segments: list[Segment]
    """in order, without overlap"""
    enter: float
    """score that a label reaches in its segment"""
    leave: float
    """score below which its segment ends"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Classification(Result):
    """The answer to a question about a video."""

    id: str
    """job id"""
    model: str
    """the model that answered; a fine-tuned one as `name:version`"""
    model_info: ModelRef
    """`name`, `digest` of the weights, `reason` of an automatic choice, `note`"""
    video: VideoRef
    """`id` for further questions, and what the container says"""
    frames: list[float]
    """timestamps of the sampled frames, in seconds"""
    views: str
    """clips × crops"""
    predictions: list[Prediction]
    """`label`, `score`, `similarity` and `confidence` of each label, the highest score first"""
    abstained: bool
    """true if no label reaches `threshold`: by its confidence, or by its score if the model is not calibrated"""
    mode: str
    """whether one label can be right, or several"""
    calibrated: bool
    """whether the predictions have a confidence"""
    calibration: CalibrationRef | None
    """the calibration that was applied; null if there is none"""
    timeline: LabelTimeline | None
    """when each label is seen; only if it was asked for"""
    warnings: list[str]
    """problems that did not prevent an answer: a truncated label, a damaged file of which some frames could be read"""
    timings_ms: Timings
    """milliseconds per stage, as the worker measured them"""
    cache: CacheUse
    """whether the video's features and the classifier's rows came from a cache"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameContribution(Result):
    time: float
    """seconds from the start of the video"""
    contribution: float
    """the frame's part of the similarity; it may be negative"""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionSheet(Result):
    """A picture of the frames that the model looked at, each with the attention of the image tower over it."""

    url: str
    """path of the PNG; it stays as long as the job"""
    width: int
    """pixels"""
    height: int
    """pixels"""
    frames: list[int]
    """the frames that it shows, as places in `frames`; of many frames only some"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation(Result):
    """Why a label got its score: what each frame adds to the similarity, and where the image tower looks."""

    id: str
    """job id"""
    model: str
    """the model that answered; a fine-tuned one as `name:version`"""
    model_info: ModelRef
    """`name`, `digest` of the weights, `reason` of an automatic choice, `note`"""
    video: VideoRef
    """`id` for further questions, and what the container says"""
    label: str
    """the label that is explained"""
    score: float
    """softmax over the labels of the question, 0 to 1"""
    similarity: float
    """cosine of video and label, -1 to 1: the sum of the contributions"""
    frames: list[FrameContribution]
    """`time` and `contribution` of each frame of the view, in order; a short video repeats frames"""
    reads: str
    """what the contribution of a frame has seen: the `frame` alone, also its `neighbours` (convolutions over time),
    or the whole `clip` (a temporal transformer, whose outputs are averaged)
    """
    sheet: AttentionSheet | None
    """null for an image tower without attention over places"""
    sheet_note: str | None
    """why there is no sheet, in words"""
    predictions: list[Prediction]
    """all labels, the highest score first, as a classification's"""
    warnings: list[str]
    """as in a classification"""
    timings_ms: Timings
    """milliseconds per stage; `encode` with the attention, `score` with the drawing"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameSheet(Result):
    """The frames that a model looks at, as one picture: tiles of one size from left to right, row after row."""

    id: str
    """job id"""
    model: str
    """the model whose frames they are; a fine-tuned one as `name:version`"""
    video: VideoRef
    """`id` for further questions, and what the container says"""
    frames: list[float]
    """the time of each tile, seconds; a short video repeats frames"""
    url: str
    """path of the JPEG; it stays as long as the job"""
    width: int
    """pixels"""
    height: int
    """pixels"""
    tile: int
    """width and height of a tile, pixels: the square that the model sees"""
    columns: int
    """tiles in a row"""
    warnings: list[str]
    """as in a classification"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedding(Result):
    object: str
    text: str | None
    video_id: str | None
    vector: list[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Embeddings(Result):
    id: str
    model: str
    dim: int
    data: list[Embedding]
    warnings: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchHit(Result):
    """A stored video, and its window that resembles what was searched most."""

    video: str
    start: float
    end: float
    similarity: float
    duration: float
    tags: list[str]
    metadata: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult(Result):
    """The result of a job of kind `search`."""

    id: str
    """job id"""
    model: str
    """the model that was searched with"""
    model_info: ModelRef
    """as in a classification"""
    data: list[SearchHit]
    """stored videos, the most similar first: `video` is its id, `start` and `end` (seconds) are the window that
    resembles most what was searched, `similarity` is its cosine, -1 to 1
    """
    stored: int
    """stored videos that fit the filter"""
    searched: int
    """of these, the videos with vectors for this model, which were searched"""
    windows: int
    """windows that were compared"""
    warnings: list[str]
    """what was not searched, a text that is too long"""
    timings_ms: Timings
    """milliseconds per stage; `score` with reading new vectors from the cache"""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexFailure(Result):
    """A video that could not be made searchable, and why."""

    video: str
    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexResult(Result):
    """The result of a job of kind `indexing`."""

    model: str
    indexed: int
    """videos whose vectors were computed"""
    known: int
    """videos that had vectors"""
    failed: list[IndexFailure]
    """videos that could not be decoded, or are gone"""
