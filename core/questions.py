"""What can be asked about a video: labels and options, checked once at the gateway and understood by the worker."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from core.errors import InvalidLabels, InvalidRequest
from core.vocabulary import Aggregate

VIEWS_PATTERN = r"^[1-4]x[13]$"


class Label(BaseModel):
    """One thing to look for: a name that is shown, and optionally the prompts that describe it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    prompts: tuple[str, ...] | None = Field(
        None, description="Whole sentences that describe the label; they replace the templates for it."
    )


def _as_label(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


LabelInput = Annotated[Label, BeforeValidator(_as_label)]


class Options(BaseModel):
    """How to look; every field has a default that the model's own profile decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(None, description="Model name; default: the server's.", examples=["lite"])
    top_k: int | None = Field(None, ge=1, description="Return only the k best labels; default: all.")
    templates: tuple[str, ...] | None = Field(
        None,
        description="Prompt templates, each with one `{}`; several are averaged. Default: the model's.",
        examples=[["a video of a person {}."]],
    )
    normalize_labels: bool | None = Field(
        None,
        description="Whether the text encoder reads `ApplyEyeMakeup` and `brush_hair` as separate words; the answer "
        "shows the names as sent. Default: as a fine-tuned model was trained, else false.",
    )
    frames: int | None = Field(
        None, ge=1, description="Frames per view, spread over the whole video; default: the model's."
    )
    views: str = Field(
        "1x1",
        pattern=VIEWS_PATTERN,
        description="Clips × crops, `1x1` to `4x3`; 1 or 3 crops, along the longer side.",
    )
    aggregate: Aggregate | None = Field(None, description="How several views are merged; default: the model's.")
    threshold: float | None = Field(
        None, ge=0, le=1, description="`abstained` is true when the best score is below it."
    )


class Question(Options):
    """Labels plus options: all that a worker needs to know besides the video."""

    labels: tuple[Label, ...]


class ClassifyRequest(BaseModel):
    """The `request` of a job of kind `classify`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    question: Question


class EmbedRequest(BaseModel):
    """The `request` of a job of kind `embed`: texts, or one video (one vector per question, views merged)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    texts: tuple[str, ...] = ()
    sha256: str | None = None
    model: str | None = None
    frames: int | None = Field(None, ge=1)
    views: str = Field("1x1", pattern=VIEWS_PATTERN)
    normalize: bool = Field(True, description="Scale every vector to length 1.")


class Limits(BaseModel):
    """The part of the settings that bounds a question."""

    model_config = ConfigDict(frozen=True)

    max_labels: int
    max_label_chars: int
    max_frames: int


def check_labels(labels: tuple[Label, ...], limits: Limits) -> None:
    """Raises: InvalidLabels, naming the index of the first label that cannot be used."""
    if not labels:
        raise InvalidLabels("No labels were given.", hint='Send labels=["riding a bicycle","a cat"] or label_set=NAME.')
    if len(labels) > limits.max_labels:
        raise InvalidLabels(
            f"{len(labels)} labels were given; at most {limits.max_labels} are allowed: "
            f"labels[{limits.max_labels}] is the first too many.",
            hint="Ask in several requests, or raise VIREO_MAX_LABELS.",
            index=limits.max_labels,
            limit=limits.max_labels,
        )
    seen: dict[str, int] = {}
    for index, label in enumerate(labels):
        _check_label(index, label, limits)
        key = _folded(label.name)
        if key in seen:
            raise InvalidLabels(
                f"labels[{index}] ({label.name!r}) repeats labels[{seen[key]}].",
                hint="Each label may appear once; upper and lower case and spaces make no difference.",
                index=index,
                first_index=seen[key],
            )
        seen[key] = index


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _check_label(index: int, label: Label, limits: Limits) -> None:
    texts = {"": label.name} | {f".prompts[{i}]": p for i, p in enumerate(label.prompts or ())}
    if label.prompts is not None and not label.prompts:
        raise InvalidLabels(
            f"labels[{index}].prompts is empty.", hint="Leave it out to use the templates.", index=index
        )
    for where, text in texts.items():
        if not _folded(text):
            raise InvalidLabels(f"labels[{index}]{where} is empty.", hint="Every label needs some text.", index=index)
        if len(text) > limits.max_label_chars:
            raise InvalidLabels(
                f"labels[{index}]{where} has {len(text)} characters; at most {limits.max_label_chars} are allowed.",
                hint="Say it shorter: text encoders read a few dozen words at most.",
                index=index,
                limit=limits.max_label_chars,
            )


def check_options(options: Options, limits: Limits) -> None:
    """Raises: InvalidRequest for templates without exactly one `{}`, or more frames than allowed."""
    for index, template in enumerate(options.templates or ()):
        if template.count("{}") != 1 or "{" in template.replace("{}", "") or "}" in template.replace("{}", ""):
            raise InvalidRequest(
                f"templates[{index}] ({template[:80]!r}) must hold {{}} exactly once and no other brace.",
                hint='For example "a video of a person {}."',
                index=index,
            )
        if len(template) > limits.max_label_chars:
            raise InvalidRequest(f"templates[{index}] is longer than {limits.max_label_chars} characters.", index=index)
    if options.templates is not None and not options.templates:
        raise InvalidRequest("templates is empty.", hint="Leave it out to use the model's own.")
    if options.frames is not None and options.frames > limits.max_frames:
        raise InvalidRequest(
            f"frames is {options.frames}; at most {limits.max_frames} are allowed.", limit=limits.max_frames
        )
