"""Questions about a video: labels and options. The gateway checks them; the worker reads them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.errors import InvalidLabels, InvalidRequest
from core.vocabulary import Aggregate

VIEWS_PATTERN = r"^[1-4]x[13]$"

# Bounds of the contract, for any settings. They hold before a setting is looked at, so that no request can be so large
# that only checking it takes long. The settings `VIREO_MAX_…` are lower.
MOST_LABELS = 10_000
MOST_TEXTS = 1000  # templates of a question, or prompts of a label
LONGEST_TEXT = 5000  # characters
MOST_FRAMES = 1024
SHORTEST_STRIDE, LONGEST_STRIDE = 0.02, 3600.0  # seconds, of timelines and their windows
MOST_OVERLAP = 32  # strides in one window of a timeline
LONGEST_REFERENCE = 200  # characters of a name that refers to something stored

Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Reference = Annotated[str, Field(min_length=1, max_length=LONGEST_REFERENCE)]
Texts = Annotated[tuple[Text, ...], Field(max_length=MOST_TEXTS, fail_fast=True)]


class Label(BaseModel):
    """One thing to look for: a name, which answers show, and optionally prompts that describe it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    prompts: tuple[str, ...] | None = Field(
        None, description="Whole sentences that describe the label. They replace the templates for this label."
    )


Mode = Literal["single", "multi"]

MULTI_THRESHOLD = 0.5  # of the mode `multi`


def _is_single(mode: object) -> bool:
    return mode == "single"


class Options(BaseModel):
    """Options of a question. The model's profile decides what is not given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Reference | None = Field(
        None, description="Model name; default: the server's default model.", examples=["lite"]
    )
    top_k: int | None = Field(
        None, ge=1, le=MOST_LABELS, description="Return only the k labels with the highest scores; default: all."
    )
    templates: Texts | None = Field(
        None,
        description="Prompt templates, each with one `{}`. Several templates are averaged. Default: the model's.",
        examples=[["a video of a person {}."]],
    )
    normalize_labels: bool | None = Field(
        None,
        description="Whether the text encoder reads `ApplyEyeMakeup` and `brush_hair` as separate words; the answer "
        "shows the names as sent. Default: as a fine-tuned model was trained, else false.",
    )
    frames: int | None = Field(
        None, ge=1, le=MOST_FRAMES, description="Frames per view, spread over the whole video; default: the model's."
    )
    views: str = Field(
        "1x1",
        pattern=VIEWS_PATTERN,
        description="Clips × crops, `1x1` to `4x3`; 1 or 3 crops, along the longer side.",
    )
    aggregate: Aggregate | None = Field(None, description="What is averaged over several views; default: the model's.")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="`abstained` is true if the best label's confidence is below this value; of a model that is not "
        "calibrated, its score. Default: none with the mode `single`, 0.5 with `multi`.",
    )
    mode: Mode = Field(
        "single",
        exclude_if=_is_single,
        description="`single`: one of the labels is right, or none. `multi`: any number of them; `present` says which "
        "reach the threshold.",
    )


class TimelineOptions(BaseModel):
    """How a video is divided into points in time, and what counts as a segment. The settings decide what is not given.

    Points are `stride` seconds apart. Each sees a window of `window` seconds around it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stride: float | None = Field(
        None,
        ge=SHORTEST_STRIDE,
        le=LONGEST_STRIDE,
        description="Seconds between two points. Default: `VIREO_TIMELINE_STRIDE`; less for a video that would have "
        "fewer than 8 points, more for one that would have more than 1,200.",
        examples=[0.5],
    )
    window: float | None = Field(
        None,
        ge=SHORTEST_STRIDE,
        le=LONGEST_STRIDE,
        description="Seconds that each point sees, at least `stride` and at most 32 times as much. Default: as "
        "`VIREO_TIMELINE_WINDOW` is to `VIREO_TIMELINE_STRIDE`.",
        examples=[2.0],
    )
    enter: float = Field(
        0.5, gt=0, le=1, description="A label has a segment where its score (softmax over the labels) reaches this."
    )
    leave: float = Field(
        0.25,
        ge=0,
        le=1,
        description="The segment goes on to both sides while the score stays at this and no other label reaches "
        "`enter`.",
    )

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.leave > self.enter:
            raise ValueError("leave must not be above enter")
        if self.stride and self.window and not self.stride <= self.window <= MOST_OVERLAP * self.stride:
            raise ValueError(f"window must be between stride and {MOST_OVERLAP} times stride")
        return self


def is_none(value: object) -> bool:
    return value is None


class Question(Options):
    """Labels and options: everything that a worker needs besides the video."""

    labels: tuple[Label, ...]
    timeline: TimelineOptions | None = Field(None, exclude_if=is_none)


@dataclass(frozen=True, slots=True)
class AskedVideo:
    """The video of a question: a stored one, or a URL that the worker fetches."""

    sha256: str | None = None
    url: str | None = None


class ShadowQuestion(BaseModel):
    """Asks a shadow as well, once the question is answered. It does not change the answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    alias: str
    version: int = Field(description="the version that answers")
    shadow: int = Field(description="the version that scores the question as well")
    normalize_labels: bool = Field(description="how the shadow reads the labels")


class ClassifyRequest(BaseModel):
    """The `request` of a job of kind `classification`: about a stored video, or about one that the worker fetches.

    A field without a value is left out: a repeat of a request of an earlier version, which had no `url`, is recognised
    by what it looks like as JSON.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str | None = Field(None, exclude_if=is_none)
    url: str | None = Field(None, exclude_if=is_none)
    question: Question
    shadow: ShadowQuestion | None = Field(None, exclude_if=is_none)

    @model_validator(mode="after")
    def _has_one_video(self) -> Self:
        if (self.sha256 is None) == (self.url is None):
            raise ValueError("exactly one of sha256 and url is needed")
        return self

    @property
    def video(self) -> AskedVideo:
        return AskedVideo(self.sha256, self.url)


class ExplainRequest(BaseModel):
    """The `request` of a job of kind `explanation`: about a stored video, in one view."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    question: Question
    label: str | None = Field(None, description="Name of the label to explain; None: the one with the highest score.")


class FramesRequest(BaseModel):
    """The `request` of a job of kind `frames`: those of a stored video that a model looks at, in one view."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    model: str | None = None
    frames: int | None = None


class SearchFilter(BaseModel):
    """Which of the stored videos are meant: those that fit everything that is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tags: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        (), max_length=8, description="Only videos that have all of these tags.", examples=[["kitchen"]]
    )
    videos: tuple[Annotated[str, Field(pattern=r"^vid_[0-9a-f]{64}$")], ...] | None = Field(
        None, max_length=1000, description="Only these videos, by id; default: all."
    )
    created_after: Annotated[float, Field(ge=0, le=1e11, strict=True)] | None = Field(
        None, description="Only videos that were stored after this time, unix seconds."
    )
    created_before: Annotated[float, Field(ge=0, le=1e11, strict=True)] | None = Field(
        None, description="Only videos that were stored before this time, unix seconds."
    )


class SearchRequest(BaseModel):
    """The `request` of a job of kind `search`: by a text, or by a stored video."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = None
    sha256: str | None = None
    model: str | None = None
    templates: tuple[str, ...] | None = None
    normalize_labels: bool | None = None
    top_k: int = 10
    filter: SearchFilter = SearchFilter()


class IndexRequest(BaseModel):
    """The `request` of a job of kind `indexing`: makes stored videos searchable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = None
    filter: SearchFilter = SearchFilter()


class EmbedRequest(BaseModel):
    """The `request` of a job of kind `embedding`: texts, or one video (one vector, averaged over its views)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    texts: tuple[str, ...] = ()
    sha256: str | None = None
    url: str | None = Field(None, exclude_if=is_none)
    model: str | None = None
    frames: int | None = Field(None, ge=1)
    views: str = Field("1x1", pattern=VIEWS_PATTERN)
    normalize: bool = Field(True, description="Scale each vector to length 1.")

    @property
    def video(self) -> AskedVideo | None:
        return AskedVideo(self.sha256, self.url) if self.sha256 or self.url else None


@dataclass(frozen=True, slots=True)
class TimelineLimits:
    """The settings of timelines: stride and window in seconds, most points, most points times labels."""

    stride: float
    window: float
    points: int
    values: int


class QuestionLimits(BaseModel):
    """The settings that limit a question."""

    model_config = ConfigDict(frozen=True)

    max_labels: int
    max_label_chars: int
    max_texts: int
    max_frames: int


def check_text_count(labels: tuple[Label, ...], templates: tuple[str, ...], limit: int) -> None:
    """Each label is read once per prompt of its own, or once per template. Raises: InvalidRequest."""
    count = sum(len(templates) if label.prompts is None else len(label.prompts) for label in labels)
    if count > limit:
        raise InvalidRequest(
            f"These labels and templates make {count} texts for the text encoder; at most {limit} are allowed.",
            hint="Send fewer labels, templates or prompts, or raise VIREO_MAX_TEXTS.",
            field="templates" if len(labels) <= limit and len(templates) > 1 else "labels",
            limit=limit,
        )


def check_labels(
    labels: tuple[Label, ...],
    limits: QuestionLimits,
    templates: tuple[str, ...] | None = None,
    *,
    distinct: bool = True,
) -> None:
    """distinct: whether a label may appear only once. Raises: InvalidLabels, naming the index of the first label that
    cannot be used; InvalidRequest for too many texts in all."""
    if not labels:
        raise InvalidLabels("No labels were given.", hint='Send labels=["riding a bicycle","a cat"] or label_set=NAME.')
    if len(labels) > limits.max_labels:
        raise InvalidLabels(
            f"{len(labels)} labels were given; at most {limits.max_labels} are allowed.",
            hint="Split the labels over several requests, or raise VIREO_MAX_LABELS.",
            index=limits.max_labels,
            limit=limits.max_labels,
        )
    check_text_count(labels, templates or ("{}",), limits.max_texts)
    seen: dict[str, int] = {}
    for index, label in enumerate(labels):
        _check_label(index, label, limits)
        key = folded(label.name)
        if distinct and key in seen:
            raise InvalidLabels(
                f"labels[{index}] ({label.name!r}) repeats labels[{seen[key]}].",
                hint="Each label may appear once. Case and spaces are ignored.",
                index=index,
                first_index=seen[key],
            )
        seen[key] = index


def folded(text: str) -> str:
    """The text without differences of case and spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _check_label(index: int, label: Label, limits: QuestionLimits) -> None:
    texts = {"": label.name} | {f".prompts[{i}]": p for i, p in enumerate(label.prompts or ())}
    if label.prompts is not None and not label.prompts:
        raise InvalidLabels(
            f"labels[{index}].prompts is empty.", hint="Leave it out to use the templates.", index=index
        )
    for where, text in texts.items():
        if len(text) > limits.max_label_chars:
            raise InvalidLabels(
                f"labels[{index}]{where} has {len(text)} characters; at most {limits.max_label_chars} are allowed.",
                hint="Shorten it: text encoders read a few dozen words at most.",
                index=index,
                limit=limits.max_label_chars,
            )
        if not text.strip():
            raise InvalidLabels(f"labels[{index}]{where} is empty.", hint="Every label needs text.", index=index)


def check_options(options: Options, limits: QuestionLimits) -> None:
    """Raises: InvalidRequest for templates without exactly one `{}`, or more frames than allowed."""
    for index, template in enumerate(options.templates or ()):
        if template.count("{}") != 1 or "{" in template.replace("{}", "") or "}" in template.replace("{}", ""):
            raise InvalidRequest(
                f"templates[{index}] ({template[:80]!r}) must contain {{}} exactly once and no other brace.",
                hint='For example "a video of a person {}."',
                index=index,
            )
        if len(template) > limits.max_label_chars:
            raise InvalidRequest(f"templates[{index}] is longer than {limits.max_label_chars} characters.", index=index)
    if options.templates is not None and not options.templates:
        raise InvalidRequest("templates is empty.", hint="Leave it out to use the model's templates.")
    if options.frames is not None and options.frames > limits.max_frames:
        raise InvalidRequest(
            f"frames is {options.frames}; at most {limits.max_frames} are allowed.", limit=limits.max_frames
        )
