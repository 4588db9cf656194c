"""Requests to train, evaluate and import models. The gateway checks them; the workers read them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.questions import VIEWS_PATTERN
from core.vocabulary import Aggregate, Precision, RecipeName, TemporalInit, TemporalKind, TextInputKind, TunedPart

CLASSIFIER_PATTERN = r"^(text|text:[A-Za-z0-9][A-Za-z0-9._/\-]{0,199}|lda|orthogonal|random|learned)$"
MODEL_NAME_PATTERN = r"^[a-z0-9][a-z0-9._\-]{0,62}$"
MODEL_REF_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,62}(:[1-9][0-9]{0,8}|@[a-z0-9][a-z0-9._\-]{0,62})?$"

ModelName = Annotated[str, StringConstraints(pattern=MODEL_NAME_PATTERN)]
ModelRefText = Annotated[str, StringConstraints(pattern=MODEL_REF_PATTERN)]


class TrainingRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainingRequest(TrainingRecord):
    """Body of POST /v1/training-jobs, and the `request` of a job of kind `training`. The recipe decides the fields that
    are null; the card of the version has its decisions."""

    name: ModelName = Field(description="Name of the model that gets a new version.", examples=["my-gym"])
    dataset: str = Field(pattern=r"^ds_[0-9a-f]{24}$", examples=["ds_0123456789abcdef01234567"])
    base: ModelRefText | None = Field(
        None, description="Model to start from; default: the server's default model.", examples=["lite"]
    )
    method: Literal["text4vis"] = "text4vis"
    recipe: RecipeName = "default"
    classifier: str = Field(
        "text",
        pattern=CLASSIFIER_PATTERN,
        description="How the rows of W are made: `text`, `text:<encoder>`, `lda`, `orthogonal`, `random` (all "
        "frozen), or `learned`.",
    )
    text_inputs: TextInputKind | None = Field(None, description="What the text tower reads for each class.")
    templates: tuple[str, ...] | None = Field(None, description="Prompt templates, each with one `{}`.")
    normalize_labels: bool = Field(
        True, description="Split CamelCase and underscores of class names for the text tower."
    )
    temporal: TemporalKind | None = Field(None, description="Temporal head.")
    temporal_init: TemporalInit | None = None
    tune: TunedPart | None = Field(
        None, description="`tower`: train the whole image tower; `projection`: train only its last projection."
    )
    frames: int | None = Field(None, ge=1, le=77, description="T, frames per clip.")
    epochs: float | None = Field(None, gt=0, le=1000)
    batch_size: int | None = Field(None, ge=1, le=65536, description="Global batch size: the same on any machine.")
    micro_batch: int | None = Field(
        None, ge=1, le=4096, description="Clips in one forward pass; gradients are accumulated up to the batch size."
    )
    learning_rate: float | None = Field(
        None, gt=0, le=1.0, description="Learning rate of new modules; the recipe's ratio gives that of the tower."
    )
    shots: int | None = Field(None, ge=1, description="Few-shot training: K clips per class, drawn with the seed.")
    seed: int | None = Field(None, ge=0, lt=1 << 31, description="Seed of shots, order, crops and new weights.")
    augment: bool | None = Field(None, description="Augmentation on or off; default: the recipe's.")
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    cache_frames: bool = Field(False, description="Keep the decoded frames as uint8 on disk during the run.")
    novel: float | tuple[str, ...] | None = Field(
        None,
        description="Classes to leave out of training, by name or as a share. The report compares the accuracy on them "
        "before and after training.",
    )
    views: str = Field(
        "1x1",
        pattern=VIEWS_PATTERN,
        description="Views of the multi-view evaluation, clips × crops, which is added to the single-view one.",
    )


class EvaluationRequest(TrainingRecord):
    """Body of POST /v1/evaluations, and the `request` of a job of kind `evaluation`."""

    model: ModelRefText | None = Field(
        None, description="Model: `name`, `name:version` or `name@alias`; default: the server's default model."
    )
    dataset: str = Field(pattern=r"^ds_[0-9a-f]{24}$")
    split: Literal["train", "val", "test", "all"] = Field(
        "val", description="Where there is no `val`, `test` is used instead."
    )
    protocol: Literal["standard", "half_class"] = Field(
        "standard",
        description="`half_class`: mean and deviation over ten seeded halves of the classes (zero-shot, paper §4.3).",
    )
    labels: tuple[str, ...] | None = Field(
        None, description="Labels to use instead of the class names, in the order of the dataset's classes."
    )
    templates: tuple[str, ...] | None = None
    normalize_labels: bool = True
    frames: int | None = Field(None, ge=1, le=77)
    views: str = Field("1x1", pattern=VIEWS_PATTERN)
    aggregate: Aggregate | None = None


class ImportRequest(TrainingRecord):
    """The `request` of a job of kind `import`: a published checkpoint in the store."""

    file: str = Field(description="its key in the store")
    filename: str
    name: ModelName
    base: ModelRefText | None = Field(
        None, description="Zoo model that has the architecture, text tower and tokenizer of the checkpoint."
    )
    temporal: TemporalKind | None = None
    frames: int | None = Field(None, ge=1, le=77)
    classes: tuple[str, ...] = ()
