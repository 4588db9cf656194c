"""Fields of requests that methods of the client take by keyword. None leaves the choice to the server.

Rendered from the server's OpenAPI description by docs/render.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict


class LabelBody(TypedDict, total=False):
    """A name, which answers show, and optionally prompts that describe it."""

    name: str | None
    prompts: Sequence[str] | None
    """Whole sentences that describe the label. They replace the templates for this label."""


class TimelineOptions(TypedDict, total=False):
    """How a video is divided into points in time, and what counts as a segment. The settings decide what is not
    given. Points are `stride` seconds apart. Each sees a window of `window` seconds around it.
    """

    stride: float | None
    """Seconds between two points. Default: `VIREO_TIMELINE_STRIDE`; less for a video that would have fewer than 8
    points, more for one that would have more than 1,200.
    """
    window: float | None
    """Seconds that each point sees, at least `stride` and at most 32 times as much. Default: as
    `VIREO_TIMELINE_WINDOW` is to `VIREO_TIMELINE_STRIDE`.
    """
    enter: float | None
    """A label has a segment where its score (softmax over the labels) reaches this."""
    leave: float | None
    """The segment goes on to both sides while the score stays at this and no other label reaches `enter`."""


class QuestionBody(TypedDict, total=False):
    """Labels (in the body, or by the name of a label set) and options."""

    model: str | None
    """Model name; default: the server's default model."""
    top_k: int | None
    """Return only the k labels with the highest scores; default: all."""
    templates: Sequence[str] | None
    """Prompt templates, each with one `{}`. Several templates are averaged. Default: the model's."""
    normalize_labels: bool | None
    """Whether the text encoder reads `ApplyEyeMakeup` and `brush_hair` as separate words; the answer shows the
    names as sent. Default: as a fine-tuned model was trained, else false.
    """
    frames: int | None
    """Frames per view, spread over the whole video; default: the model's."""
    views: str | None
    """Clips × crops, `1x1` to `4x3`; 1 or 3 crops, along the longer side."""
    aggregate: Literal["features", "probabilities", "logits"] | None
    """What is averaged over several views; default: the model's."""
    threshold: float | None
    """`abstained` is true if the best label's confidence is below this value; of a model that is not calibrated,
    its score. Default: none with the mode `single`, 0.5 with `multi`.
    """
    mode: Literal["single", "multi"] | None
    """`single`: one of the labels is right, or none. `multi`: any number of them; `present` says which reach the
    threshold.
    """
    label_set: str | None
    """Name of a stored label set: `name`, or `name:version`."""
    timeline: bool | TimelineOptions | None
    """Whether the answer says when each label is seen: `true`, or an object with `stride`, `window`, `enter`,
    `leave`.
    """


class KeepBody(TypedDict, total=False):
    """Body of POST /v1/videos."""

    index: bool | None
    """Whether a job makes the video searchable with the default model; `index_job` names it."""


class EmbedBody(TypedDict, total=False):
    """Body of POST /v1/embeddings: texts, or one video."""

    model: str | None
    """Model name; default: the server's default model."""
    frames: int | None
    """Frames per view; default: the model's."""
    views: str | None
    """clips × crops, `1x1` to `4x3`."""
    normalize: bool | None
    """Scale each vector to length 1."""


class ExplainBody(TypedDict, total=False):
    """Body of POST /v1/videos/{id}/explain: a question in one view, and the label to explain."""

    model: str | None
    """Model name; default: the server's default model."""
    label_set: str | None
    """Name of a stored label set: `name`, or `name:version`."""
    templates: Sequence[str] | None
    """Prompt templates, as in a question."""
    normalize_labels: bool | None
    """As in a question."""
    frames: int | None
    """Frames, spread over the whole video; default: the model's."""


class FramesBody(TypedDict, total=False):
    """Body of POST /v1/videos/{id}/frames: whose frames."""

    model: str | None
    """Model name; default: the server's default model."""
    frames: int | None
    """Frames, spread over the whole video; default: the model's."""


class TimelineBody(TypedDict, total=False):
    """Body of POST /v1/videos/{id}/timeline: a question, and how its timeline is made."""

    stride: float | None
    """Seconds between two points. Default: `VIREO_TIMELINE_STRIDE`; less for a video that would have fewer than 8
    points, more for one that would have more than 1,200.
    """
    window: float | None
    """Seconds that each point sees, at least `stride` and at most 32 times as much. Default: as
    `VIREO_TIMELINE_WINDOW` is to `VIREO_TIMELINE_STRIDE`.
    """
    enter: float | None
    """A label has a segment where its score (softmax over the labels) reaches this."""
    leave: float | None
    """The segment goes on to both sides while the score stays at this and no other label reaches `enter`."""
    model: str | None
    """Model name; default: the server's default model."""
    label_set: str | None
    """Name of a stored label set: `name`, or `name:version`."""
    templates: Sequence[str] | None
    """Prompt templates, as in a question."""
    normalize_labels: bool | None
    """As in a question."""


class SearchFilter(TypedDict, total=False):
    """Which of the stored videos are meant: those that fit everything that is given."""

    tags: Sequence[str] | None
    """Only videos that have all of these tags."""
    videos: Sequence[str] | None
    """Only these videos, by id; default: all."""
    created_after: float | None
    """Only videos that were stored after this time, unix seconds."""
    created_before: float | None
    """Only videos that were stored before this time, unix seconds."""


class SearchBody(TypedDict, total=False):
    """Body of POST /v1/search: a text or a stored video, and where to look for it."""

    model: str | None
    """Model name; default: the server's default model."""
    templates: Sequence[str] | None
    """Prompt templates for the text. Default: the model's."""
    top_k: int | None
    """Most videos in the answer."""


class FeedbackBody(TypedDict, total=False):
    """Body of POST /v1/feedback: what a video shows. An answer or a video is needed, and a label or `confirmed`."""

    labels: Sequence[str] | None
    """The labels to choose from. `label` must be one of them; they are not stored."""
    model: str | None
    """Model whose answer this is about; one with a closed set of classes must know the label. Default with `job`:
    the model that answered.
    """
    start: float | None
    """Where the label begins, in seconds. Default: this is about the whole video. A dataset from feedback leaves
    parts of videos out, and says so.
    """
    end: float | None
    """Where it ends, in seconds; with `start` only."""
    confirmed: bool | None
    """Whether the answer was right. Default with `job`: whether `label` is the answer's best label."""


class FeedbackFilter(TypedDict, total=False):
    """Which feedback is meant; what is left out does not matter."""

    labels: Sequence[str] | None
    """Only these labels, at most 10000."""
    model: str | None
    """Only feedback about answers of this model: `lite`, `my-gym` (all versions) or `my-gym:3`."""
    confirmed: bool | None
    """Only answers that were confirmed (true) or corrected (false)."""


class FeedbackDatasetBody(TypedDict, total=False):
    """JSON body of POST /v1/datasets: a dataset of what people said about stored videos."""

    split_seed: int | None
    """Seed of the split that is made where the archive gives none."""
    val_fraction: float | None
    """Share of each class that goes to `val` where the archive gives no split."""


class LabelSetBody(TypedDict, total=False):
    """Body of PUT /v1/label-sets/{name}."""

    templates: Sequence[str] | None
    """Prompt templates for questions that give none."""
    description: str | None
    """What the label set is for."""


class LabelSetCheckBody(TypedDict, total=False):
    """Body of POST /v1/label-sets/{name}/check."""

    model: str | None
    """Model whose text encoder reads the labels; default: the server's default model."""
    templates: Sequence[str] | None
    """Prompt templates, each with one `{}`; default: those of the label set, or the model's."""
    normalize_labels: bool | None
    """Whether `BrushHair` and `brush_hair` are read as separate words. Default: as in questions."""
