"""Bodies of questions about videos and texts: where the video is, what is asked, and how."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from core.batches.request import MOST_ITEMS
from core.questions import (
    LONGEST_TEXT,
    MOST_FRAMES,
    MOST_LABELS,
    VIEWS_PATTERN,
    Options,
    Reference,
    SearchFilter,
    Text,
    Texts,
    TimelineOptions,
)
from service.bodies.json_reader import parse_json
from service.bodies.labels import LabelsInput
from service.bodies.schemas import LABELS_EXAMPLE, Body, FileBody

LONGEST_URL = 4096  # characters

Url = Annotated[str, Field(min_length=1, max_length=LONGEST_URL)]
TextsToEmbed = Annotated[tuple[Text, ...], Field(max_length=MOST_LABELS, fail_fast=True)]

Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=r"\S")]
Tags = Annotated[tuple[Tag, ...], Field(max_length=32), AfterValidator(lambda tags: tuple(dict.fromkeys(tags)))]


def _from_text(value: Any) -> Any:
    """A form sends an object as JSON text. Raises: InvalidRequest for text that is not JSON."""
    return parse_json(value.encode()) if isinstance(value, str) else value


Metadata = Annotated[
    dict[Tag, Annotated[str, Field(max_length=1000)]], Field(max_length=32), BeforeValidator(_from_text)
]

_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _as_options(value: Any) -> Any:
    """`true` means the defaults, `false` no timeline. A form sends either, or the options as JSON text. Raises:
    InvalidRequest for text that is not JSON."""
    if isinstance(value, str):
        text = value.strip()
        value = parse_json(text.encode()) if text.startswith("{") else _SWITCH.get(text.lower(), value)
    return {} if value is True else None if value is False else value


TimelineInput = Annotated[
    TimelineOptions | None, BeforeValidator(_as_options, json_schema_input_type=bool | TimelineOptions | None)
]


class VideoSource(Body):
    """The source of the video: exactly one is needed. A multipart body may send the file `video` instead."""

    video_url: Url | None = Field(None, description="http(s) URL of the video file.")
    url: Url | None = Field(
        None, description="The earlier name of `video_url`.", json_schema_extra={"deprecated": True}
    )
    base64: str | None = Field(
        None,
        description="The video file in base64, plain or as a `data:` URI; only in JSON bodies. The decoded file may "
        "have `VIREO_MAX_UPLOAD_BYTES` bytes.",
    )
    video_id: Reference | None = Field(None, description="Id of a stored video.", examples=["vid_6f3a…"])


class QuestionBody(Options):
    """Labels (in the body, or by the name of a label set) and options."""

    labels: LabelsInput | None = Field(
        None, description="What to look for: names, or names with prompts.", examples=[LABELS_EXAMPLE]
    )
    label_set: Reference | None = Field(None, description="Name of a stored label set: `name`, or `name:version`.")
    timeline: TimelineInput = Field(
        None,
        description="Whether the answer says when each label is seen: `true`, or an object with `stride`, `window`, "
        "`enter`, `leave`.",
        examples=[True],
    )


class ClassifyBody(VideoSource, QuestionBody):
    """Body of POST /v1/classify."""


class BatchBody(QuestionBody):
    """Body of POST /v1/batches: a question, and the videos that it is about."""

    items: tuple[dict[str, Any], ...] = Field(
        min_length=1,
        max_length=MOST_ITEMS,
        description="The videos. Each has one of `video_id`, `video_url` and `s3` (an object, as "
        "`s3://bucket/folder/clip.mp4`), and an `id` if you like, which its row repeats. One that cannot be used has "
        "an error in its row; the others are asked.",
        examples=[[{"id": "front door", "video_id": "vid_6f3a…"}]],
    )


class BatchFileBody(FileBody, QuestionBody):
    """Fields of POST /v1/batches that accompany the file `manifest`."""


class ExplainBody(Body):
    """Body of POST /v1/videos/{id}/explain: a question in one view, and the label to explain."""

    model: Reference | None = Field(
        None, description="Model name; default: the server's default model.", examples=["lite"]
    )
    labels: LabelsInput | None = Field(
        None, description="What to look for: names, or names with prompts.", examples=[LABELS_EXAMPLE]
    )
    label_set: Reference | None = Field(None, description="Name of a stored label set: `name`, or `name:version`.")
    label: Text | None = Field(
        None, description="The label to explain, by name; default: the one with the highest score.", examples=["cat"]
    )
    templates: Texts | None = Field(None, description="Prompt templates, as in a question.")
    normalize_labels: bool | None = Field(None, description="As in a question.")
    frames: int | None = Field(
        None, ge=1, le=MOST_FRAMES, description="Frames, spread over the whole video; default: the model's."
    )

    def question(self) -> QuestionBody:
        return QuestionBody(**self.model_dump(exclude={"label"}))


class FramesBody(Body):
    """Body of POST /v1/videos/{id}/frames: whose frames."""

    model: Reference | None = Field(
        None, description="Model name; default: the server's default model.", examples=["lite"]
    )
    frames: int | None = Field(
        None, ge=1, le=MOST_FRAMES, description="Frames, spread over the whole video; default: the model's."
    )


class TimelineBody(TimelineOptions):
    """Body of POST /v1/videos/{id}/timeline: a question, and how its timeline is made."""

    model: Reference | None = Field(
        None, description="Model name; default: the server's default model.", examples=["lite"]
    )
    labels: LabelsInput | None = Field(
        None, description="What to look for: names, or names with prompts.", examples=[LABELS_EXAMPLE]
    )
    label_set: Reference | None = Field(None, description="Name of a stored label set: `name`, or `name:version`.")
    templates: Texts | None = Field(None, description="Prompt templates, as in a question.")
    normalize_labels: bool | None = Field(None, description="As in a question.")

    def question(self) -> QuestionBody:
        own = set(TimelineOptions.model_fields)
        timeline = TimelineOptions(**self.model_dump(include=own))
        return QuestionBody(timeline=timeline, **self.model_dump(exclude=own))


class Description(Body):
    """What a user says about a stored video. What is left out stays as it is."""

    tags: Tags | None = Field(
        None, description="Words to find it by, at most 32; an empty list removes them all.", examples=[["kitchen"]]
    )
    metadata: Metadata | None = Field(
        None, description="Names and texts of your own, at most 32; kept, and never read.", examples=[{"camera": "3"}]
    )


class KeepBody(VideoSource, Description):
    """Body of POST /v1/videos."""

    index: bool = Field(
        False, description="Whether a job makes the video searchable with the default model; `index_job` names it."
    )


class DescribeBody(Description):
    """Body of PATCH /v1/videos/{id}."""


class SearchBody(Body):
    """Body of POST /v1/search: a text or a stored video, and where to look for it."""

    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT, pattern=r"\S")] | None = Field(
        None, description="What to look for, in words.", examples=["a person riding a bicycle"]
    )
    video_id: Reference | None = Field(
        None, description="Look for videos that resemble this stored one, which is not among the results."
    )
    model: Reference | None = Field(None, description="Model name; default: the server's default model.")
    templates: Texts | None = Field(None, description="Prompt templates for the text. Default: the model's.")
    top_k: int = Field(10, ge=1, le=1000, description="Most videos in the answer.")
    filter: SearchFilter = Field(SearchFilter(), description="Which stored videos are searched; default: all.")


class IndexBody(Body):
    """Body of POST /v1/search/index."""

    model: Reference | None = Field(None, description="Model name; default: the server's default model.")
    filter: SearchFilter = Field(SearchFilter(), description="Which stored videos are meant; default: all.")


class EmbedBody(VideoSource):
    """Body of POST /v1/embeddings: texts, or one video."""

    texts: TextsToEmbed | None = Field(None, description="Texts to embed.", examples=[["a person riding a bicycle"]])
    model: Reference | None = Field(None, description="Model name; default: the server's default model.")
    frames: int | None = Field(None, ge=1, le=MOST_FRAMES, description="Frames per view; default: the model's.")
    views: str = Field("1x1", pattern=VIEWS_PATTERN, description="clips × crops, `1x1` to `4x3`.")
    normalize: bool = Field(True, description="Scale each vector to length 1.")
