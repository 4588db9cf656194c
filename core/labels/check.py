"""A check of labels before anything is asked: its request, its findings, its result."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.questions import Label
from core.records import Record

LabelFindingCode = Literal[
    "duplicate",  # the same to a text encoder, but for spelling
    "near_synonyms",  # nearly the same row: the model can hardly tell them apart
    "truncated",  # longer than the text encoder reads
    "camel_case",  # `ApplyEyeMakeup`, `brush_hair`: unknown words
    "numeric",  # ids instead of names: text says nothing about them
    "template_sensitive",  # another template makes it more similar to another label than to itself
]

LabelMapName = Literal["labels.png"]


class LabelFinding(Record):
    severity: Literal["error", "warning", "info"]
    code: LabelFindingCode
    message: str = Field(description="a sentence that says what is wrong")
    suggestion: str = Field(description="what to do about it")
    labels: list[str] = Field(description="the labels that it is about")
    similarity: float | None = Field(None, description="cosine of the two rows, of `near_synonyms`")


class LabelMap(Record):
    """A picture of the cosines between the labels' rows: red is similar, white is unrelated, blue is opposite. Rows and
    columns are numbered in the order of the labels."""

    url: str = Field(description="path of the PNG; it stays as long as the job")
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")


class LabelCheck(Record):
    """The answer of the label doctor."""

    id: str = Field(description="job id")
    model: str = Field(description="the model whose text encoder has read the labels")
    checked: int = Field(description="number of labels")
    findings: list[LabelFinding] = Field(description="the most serious first; empty if nothing was found")
    left_out: int = Field(0, description="number of further findings that are not shown")
    near: float = Field(
        description="rows with a higher cosine are called near-synonyms: no two of 48 different everyday actions are "
        "as similar to this model, read with these templates"
    )
    mean_similarity: float | None = Field(description="mean cosine between two labels; null for one label")
    map: LabelMap = Field(description="a picture of the similarities, and its path")


class LabelCheckRequest(BaseModel):
    """The `request` of a job of kind `label_check`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: tuple[Label, ...]
    model: str | None = None
    templates: tuple[str, ...] | None = None
    normalize_labels: bool = False
    found: tuple[LabelFinding, ...] = Field((), description="what the gateway has found without weights")
