"""Answers to questions: the results of jobs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.questions import Mode, is_none
from core.records.base import Record
from core.records.videos import VideoRef
from core.vocabulary import FrameReads


class Prediction(Record):
    label: str
    score: float = Field(description="softmax over the labels of the question, 0 to 1")
    similarity: float = Field(description="cosine of video and label, -1 to 1; comparable between questions")
    confidence: float | None = Field(
        None,
        description="calibrated probability that the label is right, 0 to 1, independent of the other labels; null if "
        "the model is not calibrated",
    )
    present: bool | None = Field(
        None,
        exclude_if=is_none,
        description="with the mode `multi`: whether the label's confidence (or score, if the model is not calibrated) "
        "reaches the threshold",
    )


class CalibrationRef(Record):
    """The calibration that gave the confidences of an answer."""

    id: str = Field(description="`cal_…`")
    version: int = Field(description="its number among the calibrations of this model and label set")
    label_set: str | None = Field(description="the label set that it is for; null: any labels")
    created_at: float = Field(description="unix seconds")


class Timings(Record):
    """Milliseconds per stage, as the worker measured them."""

    queue: float = 0.0
    fetch: float = 0.0
    decode: float = 0.0
    encode: float = 0.0
    text: float = 0.0
    score: float = 0.0
    total: float = 0.0


class CacheUse(Record):
    video: Literal["hit", "miss"]
    classifier: Literal["hit", "partial", "miss"]
    timeline: Literal["hit", "miss"] | None = Field(
        None,
        exclude_if=is_none,
        description="whether the vectors of the windows came from a cache; only with a timeline",
    )


class ModelRef(Record):
    """The model that gave an answer, and notes on its strength."""

    name: str
    digest: str = Field(description="digest of the weights, which is part of every cache key")
    reason: str | None = Field(None, description="why `auto` chose this model")
    note: str | None = Field(None, description="how strong the model is, and how to get a stronger one")


class Segment(Record):
    """A part of a video in which one label is ahead of the others."""

    label: str
    start: float = Field(description="seconds from the start of the video")
    end: float = Field(description="seconds from the start of the video")
    peak: float = Field(description="the highest similarity in it")
    mean: float = Field(description="the mean similarity in it")


class LabelTimeline(Record):
    """When the labels of a question are seen. Its numbers are similarities, not probabilities."""

    stride: float = Field(description="seconds between two points")
    window: float = Field(description="seconds that each point sees: half of them before it, half after it")
    timestamps: list[float] = Field(description="the points, in seconds from the start of the video")
    similarities: dict[str, list[float]] = Field(
        description="by label: the cosine of the label and what each point sees, -1 to 1"
    )
    segments: list[Segment] = Field(description="in order, without overlap")
    enter: float = Field(description="score that a label reaches in its segment")
    leave: float = Field(description="score below which its segment ends")


class Classification(Record):
    """The answer to a question about a video."""

    id: str = Field(description="job id")
    model: str = Field(description="the model that answered; a fine-tuned one as `name:version`")
    model_info: ModelRef = Field(description="`name`, `digest` of the weights, `reason` of an automatic choice, `note`")
    video: VideoRef = Field(description="`id` for further questions, and what the container says")
    frames: list[float] = Field(description="timestamps of the sampled frames, in seconds")
    views: str = Field(description="clips × crops")
    predictions: list[Prediction] = Field(
        description="`label`, `score`, `similarity` and `confidence` of each label, the highest score first"
    )
    abstained: bool = Field(
        description="true if no label reaches `threshold`: by its confidence, or by its score if the model is not "
        "calibrated"
    )
    mode: Mode = Field("single", description="whether one label can be right, or several")
    calibrated: bool = Field(False, description="whether the predictions have a confidence")
    calibration: CalibrationRef | None = Field(
        None, description="the calibration that was applied; null if there is none"
    )
    timeline: LabelTimeline | None = Field(
        None, exclude_if=is_none, description="when each label is seen; only if it was asked for"
    )
    warnings: list[str] = Field(
        default_factory=list,
        description="problems that did not prevent an answer: a truncated label, a damaged file of which some frames "
        "could be read",
    )
    timings_ms: Timings = Field(description="milliseconds per stage, as the worker measured them")
    cache: CacheUse = Field(description="whether the video's features and the classifier's rows came from a cache")


class FrameContribution(Record):
    time: float = Field(description="seconds from the start of the video")
    contribution: float = Field(description="the frame's part of the similarity; it may be negative")


class AttentionSheet(Record):
    """A picture of the frames that the model looked at, each with the attention of the image tower over it."""

    url: str = Field(description="path of the PNG; it stays as long as the job")
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    frames: list[int] = Field(description="the frames that it shows, as places in `frames`; of many frames only some")


class Explanation(Record):
    """Why a label got its score: what each frame adds to the similarity, and where the image tower looks."""

    id: str = Field(description="job id")
    model: str = Field(description="the model that answered; a fine-tuned one as `name:version`")
    model_info: ModelRef = Field(description="`name`, `digest` of the weights, `reason` of an automatic choice, `note`")
    video: VideoRef = Field(description="`id` for further questions, and what the container says")
    label: str = Field(description="the label that is explained")
    score: float = Field(description="softmax over the labels of the question, 0 to 1")
    similarity: float = Field(description="cosine of video and label, -1 to 1: the sum of the contributions")
    frames: list[FrameContribution] = Field(
        description="`time` and `contribution` of each frame of the view, in order; a short video repeats frames"
    )
    reads: FrameReads = Field(
        description="what the contribution of a frame has seen: the `frame` alone, also its `neighbours` (convolutions "
        "over time), or the whole `clip` (a temporal transformer, whose outputs are averaged)"
    )
    sheet: AttentionSheet | None = Field(description="null for an image tower without attention over places")
    sheet_note: str | None = Field(description="why there is no sheet, in words")
    predictions: list[Prediction] = Field(description="all labels, the highest score first, as a classification's")
    warnings: list[str] = Field(default_factory=list, description="as in a classification")
    timings_ms: Timings = Field(
        description="milliseconds per stage; `encode` with the attention, `score` with the drawing"
    )


class FrameSheet(Record):
    """The frames that a model looks at, as one picture: tiles of one size from left to right, row after row."""

    id: str = Field(description="job id")
    model: str = Field(description="the model whose frames they are; a fine-tuned one as `name:version`")
    video: VideoRef = Field(description="`id` for further questions, and what the container says")
    frames: list[float] = Field(description="the time of each tile, seconds; a short video repeats frames")
    url: str = Field(description="path of the JPEG; it stays as long as the job")
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    tile: int = Field(description="width and height of a tile, pixels: the square that the model sees")
    columns: int = Field(description="tiles in a row")
    warnings: list[str] = Field(default_factory=list, description="as in a classification")


class Embedding(Record):
    object: Literal["text", "video"]
    text: str | None = None
    video_id: str | None = None
    vector: list[float]


class Embeddings(Record):
    id: str
    model: str
    dim: int
    data: list[Embedding]
    warnings: list[str] = Field(default_factory=list)
