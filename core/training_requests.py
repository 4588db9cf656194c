"""Requests to train, evaluate and import models. The gateway checks them; the workers read them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from core.questions import VIEWS_PATTERN, Text, Texts
from core.vocabulary import (
    Aggregate,
    Contrast,
    Fusion,
    MethodName,
    Precision,
    ProtocolName,
    RecipeName,
    Solver,
    TemporalInit,
    TemporalKind,
    TextInputKind,
    TunedPart,
)

CLASSIFIER_PATTERN = r"^(text|text:[A-Za-z0-9][A-Za-z0-9._/\-]{0,199}|lda|orthogonal|random|learned)$"
MODEL_NAME_PATTERN = r"^[a-z0-9][a-z0-9._\-]{0,62}$"
MODEL_REF_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,62}(:[1-9][0-9]{0,8}|@[a-z0-9][a-z0-9._\-]{0,62})?$"
SPLIT_COLUMN_PATTERN = r"^[a-z0-9][a-z0-9._\-]{0,31}$"

ModelName = Annotated[str, StringConstraints(pattern=MODEL_NAME_PATTERN)]
ModelRefText = Annotated[str, StringConstraints(pattern=MODEL_REF_PATTERN)]
SplitColumn = Annotated[str, StringConstraints(pattern=SPLIT_COLUMN_PATTERN)]

Share = Annotated[float, WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})]
"""The gateway checks the range, so that the error is `invalid_training`."""

MOST_CLASSES = 100_000
MOST_PROMPT_TOKENS = 64  # of CLIP's 77 positions, the class name needs some
MOST_PROMPT_DEPTH = 48  # as many blocks as the largest CLIP has
Names = Annotated[tuple[Text, ...], Field(max_length=MOST_CLASSES, fail_fast=True)]
"""Names of classes, or one label for each of them."""


class TrainingRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainingSubject(TrainingRecord):
    """What is trained on what."""

    name: ModelName = Field(description="Name of the model that gets a new version.", examples=["my-gym"])
    dataset: str = Field(
        pattern=r"^ds_[0-9a-f]{24}$", description="Id of the dataset.", examples=["ds_0123456789abcdef01234567"]
    )
    base: ModelRefText | None = Field(
        None,
        description="Model to start from: a model of the zoo or a version; default: the server's default model.",
        examples=["lite"],
    )
    split_column: SplitColumn | None = Field(
        None,
        description="Split column of the manifest to use: `1` for `split:1`. Clips without a split there are left out. "
        "Default: the column `split`.",
        examples=["1"],
    )


class TrainingOptions(TrainingRecord):
    """How a model is trained. The recipe decides the fields that are null."""

    method: MethodName = Field(
        "text4vis",
        description="Training method. `text4vis`: the video half learns to meet a frozen W; `vision_only`: the same "
        "with a learned W; `vifi`: both towers; `image_only`, `text_only`: one of them; `contrastive`: "
        "clips and texts of a batch are told apart; `vl_prompt`: prompts in both towers, the base stays as it is.",
    )
    recipe: RecipeName = Field("default", description="Recipe that decides every field that is null.")
    solver: Solver | None = Field(
        None,
        description="How the video half is fitted. `closed_form`: heads on frozen features, in seconds; `gradient`: "
        "the training loop. Default: the recipe's; `default` fits small data in closed form, unless the request says "
        "how the loop runs (`epochs`, `learning_rate`, `batch_size`, `tune`, `augment`, `temporal`).",
    )
    classifier: str = Field(
        "text",
        pattern=CLASSIFIER_PATTERN,
        description="How the rows of W are made: `text`, `text:<encoder>`, `lda`, `orthogonal`, `random` (all "
        "frozen), or `learned`.",
    )
    text_inputs: TextInputKind | None = Field(None, description="What the text tower reads for each class.")
    templates: Texts | None = Field(
        None,
        description="Prompt templates, each with one `{}`: one for the text inputs `template`, several for "
        "`templates`.",
    )
    normalize_labels: bool = Field(
        True,
        description="Whether the text tower reads `BrushHair` and `brush_hair` as separate words. Questions to the "
        "version are read the same way unless they say otherwise.",
    )
    temporal: TemporalKind | None = Field(None, description="Temporal head.")
    temporal_init: TemporalInit | None = Field(
        None,
        description="How a new temporal head starts. `identity`: the head computes the mean at first; `shift`, for "
        "`token_conv`: a quarter of the channels is shifted by one frame, a quarter by one back (TSM). Default: the "
        "recipe's, `shift` for `token_conv`.",
    )
    fusion: Fusion | None = Field(
        None,
        description="Where frames become a video, for ViFi-CLIP's methods. `embedding` (default): the mean of their "
        "vectors; `decision`: the mean of their logits; `image`: each frame is trained as an image of its own.",
    )
    contrast: Contrast | None = Field(
        None,
        description="Loss of the method `contrastive`. `kl` (default): clips of a class share their target; `ce`: each "
        "clip matches its own text only.",
    )
    online_text: bool | None = Field(
        None, description="Whether the method `contrastive` trains the text tower as well. Default: true."
    )
    prompt_tokens: int | None = Field(
        None,
        ge=1,
        le=MOST_PROMPT_TOKENS,
        description="Learned vectors in each tower, for the method `vl_prompt`. Up to 4 text vectors start from the "
        "words `a photo of a`, more from noise. Default: the recipe's.",
    )
    prompt_depth: int | None = Field(
        None,
        ge=1,
        le=MOST_PROMPT_DEPTH,
        description="Blocks of each tower that have learned vectors of their own, for the method `vl_prompt`; a tower "
        "with fewer blocks has them in all. Default: the recipe's.",
    )
    tune: TunedPart | None = Field(
        None, description="Trained part of the image tower. `tower`: all of it; `projection`: only its last projection."
    )
    frames: int | None = Field(None, ge=1, le=77, description="T, frames per clip.")
    epochs: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="Length of the run. A shorter run keeps the warm-up's share, a longer run the warm-up's epochs.",
    )
    batch_size: int | None = Field(
        None, ge=1, le=65536, description="Clips per step over all processes: the same on any machine."
    )
    micro_batch: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Clips in one forward pass of one process; the gradients of a step are accumulated. Default: 2 on "
        "a CPU, 32 on a GPU.",
    )
    learning_rate: float | None = Field(
        None, gt=0, le=1.0, description="Learning rate of new modules; the tower's follows in the recipe's ratio."
    )
    augment: bool | None = Field(
        None, description="Training augmentation. Default: on, but off where only the projection is trained."
    )
    precision: Precision = Field(
        "auto", description="Precision of the computation; the weights stay fp32. `auto`: what the device supports."
    )
    gradient_checkpointing: bool = Field(False, description="Use less memory and more time.")
    cache_frames: bool = Field(False, description="Keep the decoded frames as uint8 on disk during the run.")


class TrainingRequest(TrainingOptions, TrainingSubject):
    """Body of POST /v1/training-jobs, and the `request` of a job of kind `training`. The recipe decides the fields that
    are null; the card of the version has its decisions."""

    shots: int | None = Field(
        None, ge=1, le=1_000_000, description="Few-shot training: K clips per class, drawn with the seed."
    )
    seed: int | None = Field(
        None, ge=0, lt=1 << 31, description="Seed of shots, clip order, crops and new weights; default: the recipe's."
    )
    novel: Share | Names | None = Field(
        None,
        description="Classes to leave out of training, by name or as a share. The report compares the accuracy on them "
        "before and after training.",
    )
    novel_clips: Literal["all", "judged"] = Field(
        "all",
        description="Clips of the classes left out that are scored: `all` of them, or only those of the split that the "
        "report judges.",
    )
    views: str = Field(
        "1x1",
        pattern=VIEWS_PATTERN,
        description="Views (clips × crops) of a second evaluation beside the single-view one.",
    )
    promote: ModelName | None = Field(
        None,
        description="Alias of `name` to move to the new version, but only if it is better than the base and than the "
        "version that the alias points to, beyond a paired bootstrap interval on the judged clips. Otherwise it stays "
        "where it is, and `promotion` in the result says why.",
        examples=["production"],
    )


def _not_a_word(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("input should be a number")  # noqa: TRY004 -- pydantic reports it as the field's error
    return value


WholeNumber = Annotated[int, BeforeValidator(_not_a_word)]
"""JSON's integers: 1 and 1.0, but neither true nor "1"."""


class PreviewBody(TrainingRecord):
    """Body of POST /v1/datasets/{id}/preview."""

    base: ModelRefText | None = Field(
        None,
        description="Model to start from: a model of the zoo or a version; default: the server's default model.",
        examples=["lite"],
    )
    templates: Texts | None = Field(None, description="Prompt templates, each with one `{}`; default: the base's.")
    normalize_labels: bool = Field(
        True, strict=True, description="Whether `BrushHair` and `brush_hair` are read as separate words."
    )
    frames: Annotated[int, Field(ge=1, le=77), BeforeValidator(_not_a_word)] | None = Field(
        None, description="T, frames per clip; default: the base's."
    )
    split_column: SplitColumn | None = Field(
        None,
        description="Split column of the manifest to use: `1` for `split:1`. Default: the column `split`.",
        examples=["1"],
    )
    seed: WholeNumber = Field(0, ge=0, lt=1 << 31, description="Seed of the folds and of the subsamples.")


class PreviewRequest(PreviewBody):
    """The `request` of a job of kind `preview`."""

    dataset: str = Field(pattern=r"^ds_[0-9a-f]{24}$", description="Id of the dataset.")

    def as_training(self) -> TrainingRequest:
        """The training run whose first phase this preview is."""
        return TrainingRequest(
            name="preview",
            solver="closed_form",
            dataset=self.dataset,
            base=self.base,
            templates=self.templates,
            text_inputs="templates" if self.templates is not None and len(self.templates) > 1 else None,
            normalize_labels=self.normalize_labels,
            frames=self.frames,
            split_column=self.split_column,
            seed=self.seed,
        )


_EARLIER_PROTOCOLS = {"standard": "full-class", "half_class": "half-class"}

AcceptedProtocol = Annotated[
    ProtocolName, BeforeValidator(lambda name: _EARLIER_PROTOCOLS.get(name, name) if isinstance(name, str) else name)
]
"""A protocol in a request, which may have the name of an earlier version."""

MOST_RUNS = 100  # of one protocol
Shot = Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(_not_a_word)]
Seed = Annotated[int, Field(ge=0, lt=1 << 31), BeforeValidator(_not_a_word)]
Shots = Annotated[tuple[Shot, ...], Field(min_length=1, max_length=16)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1, max_length=MOST_RUNS)]


class EvaluationRequest(TrainingRecord):
    """Body of POST /v1/evaluations, and the `request` of a job of kind `evaluation`."""

    model: ModelRefText | None = Field(
        None, description="Model: `name`, `name:version` or `name@alias`; default: the server's default model."
    )
    dataset: str = Field(pattern=r"^ds_[0-9a-f]{24}$", description="Id of the dataset.")
    protocol: AcceptedProtocol = Field(
        "full-class",
        description="How the model is judged. `full-class`: all classes; `single-view`, `multi-view` (4x3), `image` "
        "(one frame); `half-class`: seeded halves of the classes; `fixed-splits`: the split columns of the manifest; "
        "`k-shot`, `base-to-novel`: models are trained from the model and judged.",
    )
    split_column: SplitColumn | None = Field(
        None, description="Split column of the manifest to use, as in a training request. Default: the column `split`."
    )
    split: Literal["train", "val", "test", "all"] = Field(
        "val", description="Clips to judge. `val` means `test` where the dataset has no `val`."
    )
    splits: tuple[SplitColumn, ...] | None = Field(
        None,
        min_length=1,
        max_length=16,
        description="Of `fixed-splits`: the split columns to judge one by one. Default: all.",
        examples=[["1", "2", "3"]],
    )
    shots: Shots | None = Field(
        None,
        description="Clips per class. `k-shot`: each number is one point of the curve, 2, 4, 8 and 16 by default; "
        "`base-to-novel`: one number, 16 by default.",
        examples=[[2, 4, 8, 16]],
    )
    seeds: Seeds | None = Field(
        None,
        description="Seeds of the draws. Default: 0 to 9 of `half-class`, 0 to 2 of protocols that train.",
        examples=[[0, 1, 2]],
    )
    training: TrainingOptions | None = Field(
        None, description="Of protocols that train: how, as in a training request. Default: as a training job would."
    )
    name: ModelName | None = Field(
        None,
        description="Of protocols that train: the model that keeps the trained versions. Default: they are deleted "
        "once the report is written.",
    )
    labels: Names | None = Field(
        None, description="Labels to use instead of the class names, in the order of the dataset's classes."
    )
    templates: Texts | None = Field(None, description="Prompt templates, each with one `{}`; default: the model's.")
    normalize_labels: bool | None = Field(
        None,
        description="Whether the text tower reads `BrushHair` and `brush_hair` as separate words. Default: as in "
        "questions to the model, which for a fine-tuned model is as it was trained, else false.",
    )
    frames: int | None = Field(None, ge=1, le=77, description="T, frames per clip; default: the model's.")
    views: str = Field(
        "1x1",
        pattern=VIEWS_PATTERN,
        description="Views (clips × crops) of a second evaluation beside the single-view one.",
    )
    aggregate: Aggregate | None = Field(None, description="What is averaged over several views; default: the model's.")


class ComparisonRequest(TrainingRecord):
    """The `request` of a job of kind `comparison`: whether a model is better than another on the held-out clips of a
    dataset."""

    candidate: ModelRefText
    standing: ModelRefText
    dataset: str = Field(pattern=r"^ds_[0-9a-f]{24}$")


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
