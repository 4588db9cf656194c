"""What is said about videos, and the answers to it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from core.feedback.record import Feedback, FeedbackFilter, PastStatement
from core.questions import LONGEST_TEXT, Reference, Texts
from service.bodies.schemas import Body, DatasetBody, Links, Page

MOST_PROBLEMS = 100
"""Problems that the answer to an import lists."""

StatedLabel = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT, pattern=r"\S")]
Seconds = Annotated[float, Field(ge=0, le=1e7)]


class FeedbackBody(Body):
    """Body of POST /v1/feedback: what a video shows. An answer or a video is needed, and a label or `confirmed`."""

    job: Reference | None = Field(
        None, description="The job whose answer this is about; it says which video, which model and which label."
    )
    video: Reference | None = Field(
        None, description="Id of a stored video. Not needed with `job`.", examples=["vid_6f3a…"]
    )
    label: StatedLabel | None = Field(
        None, description="What it shows. Default with `confirmed`: the answer's best label.", examples=["a cat"]
    )
    labels: Texts | None = Field(
        None, description="The labels to choose from. `label` must be one of them; they are not stored."
    )
    model: Reference | None = Field(
        None,
        description="Model whose answer this is about; one with a closed set of classes must know the label. Default "
        "with `job`: the model that answered.",
    )
    start: Seconds | None = Field(
        None,
        description="Where the label begins, in seconds. Default: this is about the whole video. A dataset from "
        "feedback leaves parts of videos out, and says so.",
    )
    end: Seconds | None = Field(None, description="Where it ends, in seconds; with `start` only.")
    confirmed: bool | None = Field(
        None,
        strict=True,
        description="Whether the answer was right. Default with `job`: whether `label` is the answer's best label.",
    )


class ImportedBody(Body):
    """One statement of an imported file. `predicted` and `job` are taken as they are."""

    video: Reference
    label: StatedLabel
    start: Seconds | None = None
    end: Seconds | None = None
    confirmed: bool | None = None
    predicted: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None
    model: Reference | None = None
    job: Reference | None = None


class FeedbackDatasetBody(DatasetBody):
    """JSON body of POST /v1/datasets: a dataset of what people said about stored videos."""

    source: Literal["feedback"] = Field(alias="from", description="`feedback`: the clips are stored videos.")
    name: str | None = Field(None, min_length=1, max_length=200, description="Default: `feedback`.")
    filter: FeedbackFilter = Field(FeedbackFilter(), description="Which feedback is meant; default: all.")


class FeedbackView(Feedback):
    """What a person said about a video. The latest statement counts."""

    video_kept: bool | None = Field(
        description="true: the video is stored until it is deleted, as every video with feedback; null: it has been "
        "deleted"
    )
    history: list[PastStatement] | None = Field(
        None, description="the statements before this one, the oldest first, at most 100; null in lists"
    )
    links: Links = Field(description="`self`: the feedback, with its history")


class FeedbackPage(Page[FeedbackView]):
    """A page of feedback."""


class ImportProblem(BaseModel):
    where: str = Field(description="the task of the JSON or the line of the CSV, counted from 1")
    code: str = Field(description="as of an error")
    message: str


class ImportReport(BaseModel):
    """What became of an imported file. A statement that cannot be used does not keep the others out."""

    imported: int = Field(description="statements that are new, or that change what was said")
    unchanged: int = Field(description="statements that say what is known already")
    skipped: int = Field(description="tasks that nobody has annotated")
    failed: int = Field(description="statements that could not be used")
    problems: list[ImportProblem] = Field(description=f"why, for the first {MOST_PROBLEMS} of these")
