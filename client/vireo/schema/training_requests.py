"""Fields of requests for training, evaluation and calibration. None leaves the choice to the server.

Rendered from the server's OpenAPI description by docs/render.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict


class TrainingOptions(TypedDict, total=False):
    """How a model is trained. The recipe decides the fields that are null."""

    method: Literal["text4vis", "vision_only", "vifi", "image_only", "text_only", "contrastive", "vl_prompt"] | None
    """Training method. `text4vis`: the video half learns to meet a frozen W; `vision_only`: the same with a learned
    W; `vifi`: both towers; `image_only`, `text_only`: one of them; `contrastive`: clips and texts of a batch are
    told apart; `vl_prompt`: prompts in both towers, the base stays as it is.
    """
    recipe: (
        Literal[
            "default",
            "text4vis",
            "text4vis-2023",
            "vifi-zero-shot",
            "vifi-supervised",
            "vifi-base-to-novel",
            "vifi-few-shot",
            "vifi-prompt-base-to-novel",
            "vifi-prompt-few-shot",
        ] | None
    )
    """Recipe that decides every field that is null."""
    solver: Literal["closed_form", "gradient"] | None
    """How the video half is fitted. `closed_form`: heads on frozen features, in seconds; `gradient`: the training
    loop. Default: the recipe's; `default` fits small data in closed form, unless the request says how the loop
    runs (`epochs`, `learning_rate`, `batch_size`, `tune`, `augment`, `temporal`).
    """
    classifier: str | None
    """How the rows of W are made: `text`, `text:<encoder>`, `lda`, `orthogonal`, `random` (all frozen), or
    `learned`.
    """
    text_inputs: Literal["name", "template", "templates", "context"] | None
    """What the text tower reads for each class."""
    templates: Sequence[str] | None
    """Prompt templates, each with one `{}`: one for the text inputs `template`, several for `templates`."""
    normalize_labels: bool | None
    """Whether the text tower reads `BrushHair` and `brush_hair` as separate words. Questions to the version are
    read the same way unless they say otherwise.
    """
    temporal: Literal["mean", "transformer", "token_conv", "conv"] | None
    """Temporal head."""
    temporal_init: Literal["random", "identity", "shift"] | None
    """How a new temporal head starts. `identity`: the head computes the mean at first; `shift`, for `token_conv`: a
    quarter of the channels is shifted by one frame, a quarter by one back (TSM). Default: the recipe's, `shift`
    for `token_conv`.
    """
    fusion: Literal["embedding", "decision", "image"] | None
    """Where frames become a video, for ViFi-CLIP's methods. `embedding` (default): the mean of their vectors;
    `decision`: the mean of their logits; `image`: each frame is trained as an image of its own.
    """
    contrast: Literal["kl", "ce"] | None
    """Loss of the method `contrastive`. `kl` (default): clips of a class share their target; `ce`: each clip
    matches its own text only.
    """
    online_text: bool | None
    """Whether the method `contrastive` trains the text tower as well. Default: true."""
    prompt_tokens: int | None
    """Learned vectors in each tower, for the method `vl_prompt`. Up to 4 text vectors start from the words `a photo
    of a`, more from noise. Default: the recipe's.
    """
    prompt_depth: int | None
    """Blocks of each tower that have learned vectors of their own, for the method `vl_prompt`; a tower with fewer
    blocks has them in all. Default: the recipe's.
    """
    tune: Literal["tower", "projection"] | None
    """Trained part of the image tower. `tower`: all of it; `projection`: only its last projection."""
    frames: int | None
    """T, frames per clip."""
    epochs: float | None
    """Length of the run. A shorter run keeps the warm-up's share, a longer run the warm-up's epochs."""
    batch_size: int | None
    """Clips per step over all processes: the same on any machine."""
    micro_batch: int | None
    """Clips in one forward pass of one process; the gradients of a step are accumulated. Default: 2 on a CPU, 32 on
    a GPU.
    """
    learning_rate: float | None
    """Learning rate of new modules; the tower's follows in the recipe's ratio."""
    augment: bool | None
    """Training augmentation. Default: on, but off where only the projection is trained."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] | None
    """Precision of the computation; the weights stay fp32. `auto`: what the device supports."""
    gradient_checkpointing: bool | None
    """Use less memory and more time."""
    cache_frames: bool | None
    """Keep the decoded frames as uint8 on disk during the run."""


class TrainingRequest(TypedDict, total=False):
    """Body of POST /v1/training-jobs, and the `request` of a job of kind `training`. The recipe decides the fields
    that are null; the card of the version has its decisions.
    """

    base: str | None
    """Model to start from: a model of the zoo or a version; default: the server's default model."""
    split_column: str | None
    """Split column of the manifest to use: `1` for `split:1`. Clips without a split there are left out. Default:
    the column `split`.
    """
    method: Literal["text4vis", "vision_only", "vifi", "image_only", "text_only", "contrastive", "vl_prompt"] | None
    """Training method. `text4vis`: the video half learns to meet a frozen W; `vision_only`: the same with a learned
    W; `vifi`: both towers; `image_only`, `text_only`: one of them; `contrastive`: clips and texts of a batch are
    told apart; `vl_prompt`: prompts in both towers, the base stays as it is.
    """
    recipe: (
        Literal[
            "default",
            "text4vis",
            "text4vis-2023",
            "vifi-zero-shot",
            "vifi-supervised",
            "vifi-base-to-novel",
            "vifi-few-shot",
            "vifi-prompt-base-to-novel",
            "vifi-prompt-few-shot",
        ] | None
    )
    """Recipe that decides every field that is null."""
    solver: Literal["closed_form", "gradient"] | None
    """How the video half is fitted. `closed_form`: heads on frozen features, in seconds; `gradient`: the training
    loop. Default: the recipe's; `default` fits small data in closed form, unless the request says how the loop
    runs (`epochs`, `learning_rate`, `batch_size`, `tune`, `augment`, `temporal`).
    """
    classifier: str | None
    """How the rows of W are made: `text`, `text:<encoder>`, `lda`, `orthogonal`, `random` (all frozen), or
    `learned`.
    """
    text_inputs: Literal["name", "template", "templates", "context"] | None
    """What the text tower reads for each class."""
    templates: Sequence[str] | None
    """Prompt templates, each with one `{}`: one for the text inputs `template`, several for `templates`."""
    normalize_labels: bool | None
    """Whether the text tower reads `BrushHair` and `brush_hair` as separate words. Questions to the version are
    read the same way unless they say otherwise.
    """
    temporal: Literal["mean", "transformer", "token_conv", "conv"] | None
    """Temporal head."""
    temporal_init: Literal["random", "identity", "shift"] | None
    """How a new temporal head starts. `identity`: the head computes the mean at first; `shift`, for `token_conv`: a
    quarter of the channels is shifted by one frame, a quarter by one back (TSM). Default: the recipe's, `shift`
    for `token_conv`.
    """
    fusion: Literal["embedding", "decision", "image"] | None
    """Where frames become a video, for ViFi-CLIP's methods. `embedding` (default): the mean of their vectors;
    `decision`: the mean of their logits; `image`: each frame is trained as an image of its own.
    """
    contrast: Literal["kl", "ce"] | None
    """Loss of the method `contrastive`. `kl` (default): clips of a class share their target; `ce`: each clip
    matches its own text only.
    """
    online_text: bool | None
    """Whether the method `contrastive` trains the text tower as well. Default: true."""
    prompt_tokens: int | None
    """Learned vectors in each tower, for the method `vl_prompt`. Up to 4 text vectors start from the words `a photo
    of a`, more from noise. Default: the recipe's.
    """
    prompt_depth: int | None
    """Blocks of each tower that have learned vectors of their own, for the method `vl_prompt`; a tower with fewer
    blocks has them in all. Default: the recipe's.
    """
    tune: Literal["tower", "projection"] | None
    """Trained part of the image tower. `tower`: all of it; `projection`: only its last projection."""
    frames: int | None
    """T, frames per clip."""
    epochs: float | None
    """Length of the run. A shorter run keeps the warm-up's share, a longer run the warm-up's epochs."""
    batch_size: int | None
    """Clips per step over all processes: the same on any machine."""
    micro_batch: int | None
    """Clips in one forward pass of one process; the gradients of a step are accumulated. Default: 2 on a CPU, 32 on
    a GPU.
    """
    learning_rate: float | None
    """Learning rate of new modules; the tower's follows in the recipe's ratio."""
    augment: bool | None
    """Training augmentation. Default: on, but off where only the projection is trained."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] | None
    """Precision of the computation; the weights stay fp32. `auto`: what the device supports."""
    gradient_checkpointing: bool | None
    """Use less memory and more time."""
    cache_frames: bool | None
    """Keep the decoded frames as uint8 on disk during the run."""
    shots: int | None
    """Few-shot training: K clips per class, drawn with the seed."""
    seed: int | None
    """Seed of shots, clip order, crops and new weights; default: the recipe's."""
    novel: float | Sequence[str] | None
    """Classes to leave out of training, by name or as a share. The report compares the accuracy on them before and
    after training.
    """
    novel_clips: Literal["all", "judged"] | None
    """Clips of the classes left out that are scored: `all` of them, or only those of the split that the report
    judges.
    """
    views: str | None
    """Views (clips × crops) of a second evaluation beside the single-view one."""
    promote: str | None
    """Alias of `name` to move to the new version, but only if it is better than the base and than the version that
    the alias points to, beyond a paired bootstrap interval on the judged clips. Otherwise it stays where it is,
    and `promotion` in the result says why.
    """


class EvaluationRequest(TypedDict, total=False):
    """Body of POST /v1/evaluations, and the `request` of a job of kind `evaluation`."""

    protocol: (
        Literal[
            "full-class",
            "single-view",
            "multi-view",
            "image",
            "half-class",
            "fixed-splits",
            "k-shot",
            "base-to-novel",
        ] | None
    )
    """How the model is judged. `full-class`: all classes; `single-view`, `multi-view` (4x3), `image` (one frame);
    `half-class`: seeded halves of the classes; `fixed-splits`: the split columns of the manifest; `k-shot`,
    `base-to-novel`: models are trained from the model and judged.
    """
    split_column: str | None
    """Split column of the manifest to use, as in a training request. Default: the column `split`."""
    split: Literal["train", "val", "test", "all"] | None
    """Clips to judge. `val` means `test` where the dataset has no `val`."""
    splits: Sequence[str] | None
    """Of `fixed-splits`: the split columns to judge one by one. Default: all."""
    shots: Sequence[int] | None
    """Clips per class. `k-shot`: each number is one point of the curve, 2, 4, 8 and 16 by default; `base-to-novel`:
    one number, 16 by default.
    """
    seeds: Sequence[int] | None
    """Seeds of the draws. Default: 0 to 9 of `half-class`, 0 to 2 of protocols that train."""
    training: TrainingOptions | None
    """Of protocols that train: how, as in a training request. Default: as a training job would."""
    name: str | None
    """Of protocols that train: the model that keeps the trained versions. Default: they are deleted once the report
    is written.
    """
    labels: Sequence[str] | None
    """Labels to use instead of the class names, in the order of the dataset's classes."""
    templates: Sequence[str] | None
    """Prompt templates, each with one `{}`; default: the model's."""
    normalize_labels: bool | None
    """Whether the text tower reads `BrushHair` and `brush_hair` as separate words. Default: as in questions to the
    model, which for a fine-tuned model is as it was trained, else false.
    """
    frames: int | None
    """T, frames per clip; default: the model's."""
    views: str | None
    """Views (clips × crops) of a second evaluation beside the single-view one."""
    aggregate: Literal["features", "probabilities", "logits"] | None
    """What is averaged over several views; default: the model's."""


class CalibrationBody(TypedDict, total=False):
    """Body of POST /v1/calibrations."""

    label_set: str | None
    """Label set, `name` or `name:version`, whose questions alone the calibration is for. Classes of the dataset
    that have the name of one of its labels count. Default: questions with any labels.
    """
    normalize_labels: bool | None
    """Whether the text encoder reads `BrushHair` and `brush_hair` as separate words. Default: as in questions to
    the model.
    """


class PreviewBody(TypedDict, total=False):
    """Body of POST /v1/datasets/{id}/preview."""

    base: str | None
    """Model to start from: a model of the zoo or a version; default: the server's default model."""
    templates: Sequence[str] | None
    """Prompt templates, each with one `{}`; default: the base's."""
    normalize_labels: bool | None
    """Whether `BrushHair` and `brush_hair` are read as separate words."""
    frames: int | None
    """T, frames per clip; default: the base's."""
    split_column: str | None
    """Split column of the manifest to use: `1` for `split:1`. Default: the column `split`."""
    seed: int | None
    """Seed of the folds and of the subsamples."""
