"""What a person said about a video, or about a part of it. The latest statement counts; those before it are kept.

A video that somebody has said something about is kept until it is deleted by hand. If it is, the feedback goes with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.datasets import StoredClip
from core.labels.spelling import clean_label
from core.questions import MOST_LABELS, Reference, Texts
from core.records import Record

MOST_HISTORY = 100
"""Statements before the latest one that are kept of one feedback."""


class Statement(Record):
    """What was said once."""

    video: str = Field(description="`vid_…`")
    start: float | None = Field(None, description="seconds; null: the statement is about the whole video")
    end: float | None = Field(None, description="seconds")
    label: str = Field(description="what the video shows, as the person says")
    confirmed: bool | None = Field(
        None, description="true: the answer was right; false: it was corrected; null: no answer is known"
    )
    predicted: str | None = Field(None, description="the best label of the answer")
    model: str | None = Field(None, description="the model whose answer it is about")
    job: str | None = Field(None, description="the job whose answer it is about")

    @property
    def sha256(self) -> str:
        return self.video.removeprefix("vid_")


class PastStatement(Statement):
    said_at: float = Field(description="unix seconds")


class Feedback(Statement):
    id: str = Field(description="`fb_…`, which follows from the video and the span")
    revision: int = Field(description="number of statements so far")
    created_at: float = Field(description="unix seconds")
    updated_at: float = Field(description="unix seconds of the latest statement")


class FeedbackFilter(BaseModel):
    """Which feedback is meant; what is left out does not matter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: Texts | None = Field(None, description=f"Only these labels, at most {MOST_LABELS}.")
    model: Reference | None = Field(
        None, description="Only feedback about answers of this model: `lite`, `my-gym` (all versions) or `my-gym:3`."
    )
    confirmed: bool | None = Field(None, description="Only answers that were confirmed (true) or corrected (false).")

    @field_validator("labels")
    @classmethod
    def _as_stored(cls, labels: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return labels and tuple(clean_label(label) for label in labels)

    def accepts(self, said: Statement) -> bool:
        return (
            (self.labels is None or said.label in self.labels)
            and (self.model is None or is_version_of(said.model, self.model))
            and self.confirmed in (None, said.confirmed)
        )


def is_version_of(model: str | None, ref: str) -> bool:
    """Whether a model as answers name it is the one that `ref` names, with a version or without."""
    return model is not None and ref in (model, model.partition(":")[0])


def feedback_id(sha256: str, start: float | None, end: float | None) -> str:
    """One for each video and span."""
    return f"fb_{hashlib.sha256(f'{sha256} {start} {end}'.encode()).hexdigest()[:24]}"


def stored_clips(statements: Sequence[Statement]) -> tuple[StoredClip, ...]:
    """Those about whole videos, as the clips of a dataset."""
    return tuple(StoredClip(sha256=said.sha256, label=said.label) for said in statements if said.start is None)
