"""Options that several commands share, and those of `vireo train` and `vireo eval`, each with its help text. A value of
None leaves the choice to the server."""

from __future__ import annotations

from typing import Annotated

import typer

DatasetSource = Annotated[
    str,
    typer.Argument(
        metavar="DIR|ARCHIVE|DATASET",
        help="A directory with one folder of videos per class (or with a manifest.csv), a zip or tar archive of it, or "
        "the id of a dataset that was sent before.",
    ),
]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        help='Labels: all words up to the next option, "a,b,c", a JSON array, or @file with one label per line.',
    ),
]
LabelSetOption = Annotated[str | None, typer.Option("--label-set", help="A stored label set: name or name:version.")]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="The model: name, name:3 or name@alias. Default: the server's.")
]
ViewsOption = Annotated[
    str | None, typer.Option(help="Evaluate with several views as well: clips × crops, for example 4x3.")
]
WebhookOption = Annotated[
    str | None, typer.Option(help="A URL to which the end of the job is announced, as docs/api.md describes.")
]
BaseOption = Annotated[str | None, typer.Option(help="The model to start from. Default: the server's.")]
EpochsOption = Annotated[float | None, typer.Option(help="Passes over the training clips. Default: the recipe's.")]
NameOption = Annotated[str | None, typer.Option(help="Name of the new model. Default: the folder's name.")]
MethodOption = Annotated[
    str | None,
    typer.Option(
        help="What is trained: text4vis (the video half, the default), vifi (both towers), image_only, text_only, "
        "contrastive, vl_prompt (prompts only), or vision_only (without text)."
    ),
]
RecipeOption = Annotated[
    str | None, typer.Option(help="The recipe: default, text4vis, text4vis-2023, or one of ViFi-CLIP (vifi-…).")
]
ClassifierOption = Annotated[
    str | None, typer.Option(help="text (keeps taking any labels), text:<encoder>, lda, orthogonal, random or learned.")
]
TextInputsOption = Annotated[
    str | None, typer.Option(help="What the text encoder reads: name, template, templates or context.")
]
TemplateOption = Annotated[
    list[str] | None, typer.Option(help="A prompt template with one {}. The option may be repeated.")
]
TemporalOption = Annotated[str | None, typer.Option(help="Temporal head: mean, transformer, token_conv or conv.")]
FusionOption = Annotated[str | None, typer.Option(help="Where frames become a video: embedding, decision or image.")]
ContrastOption = Annotated[str | None, typer.Option(help="Loss of the method contrastive: kl or ce.")]
OnlineTextOption = Annotated[
    bool | None,
    typer.Option("--online-text/--offline-text", help="Whether the method contrastive trains the text tower too."),
]
PromptTokensOption = Annotated[int | None, typer.Option(help="Learned vectors in each tower, of the method vl_prompt.")]
PromptDepthOption = Annotated[
    int | None, typer.Option(help="Blocks with learned vectors of their own, of the method vl_prompt.")
]
TuneOption = Annotated[
    str | None, typer.Option(help="What is trained: tower (the image tower), or projection (only its last layer).")
]
FramesOption = Annotated[int | None, typer.Option(help="Frames per clip.")]
ShotsOption = Annotated[int | None, typer.Option(help="Few-shot training: clips per class.")]
BatchSizeOption = Annotated[int | None, typer.Option(help="Clips per optimiser step, over all processes.")]
MicroBatchOption = Annotated[int | None, typer.Option(help="Clips in one forward pass.")]
LearningRateOption = Annotated[float | None, typer.Option(help="Learning rate of the new modules.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of the random numbers.")]
NovelOption = Annotated[
    str | None,
    typer.Option(help="Classes to leave out, by name (a,b) or as a share (0.5): shows what training does to others."),
]
AugmentOption = Annotated[
    bool | None,
    typer.Option("--augment/--no-augment", help="Random crops, flips and grey frames. Default: the recipe's."),
]
TemporalInitOption = Annotated[
    str | None, typer.Option(help="How a new temporal head starts: random, identity or shift.")
]
PrecisionOption = Annotated[str | None, typer.Option(help="Numeric precision: auto, fp32, bf16 or fp16.")]
CheckpointingOption = Annotated[
    bool | None, typer.Option("--gradient-checkpointing", help="Use less memory and a third more time.")
]
NormalizeLabelsOption = Annotated[
    bool | None,
    typer.Option("--normalize-labels/--raw-labels", help="Whether the text encoder reads BrushHair as Brush Hair."),
]
CacheFramesOption = Annotated[bool | None, typer.Option(help="Keep decoded frames on disk during the run.")]
SolverOption = Annotated[
    str | None, typer.Option(help="How the video half is fitted: closed_form or gradient. Default: the recipe's.")
]
PromoteOption = Annotated[
    str | None, typer.Option(help="The alias to move to the new version if it is better, for example production.")
]
PreviewOption = Annotated[
    bool, typer.Option("--preview", help="Do not train: show what training would bring and what it would cost.")
]
SplitOption = Annotated[str | None, typer.Option(help="The part of the dataset: train, val, test or all.")]
ProtocolOption = Annotated[
    str | None,
    typer.Option(
        help="The evaluation protocol: full-class (the default), single-view, multi-view, image (one frame), "
        "half-class, fixed-splits, k-shot or base-to-novel. The last two train models."
    ),
]
ShotListOption = Annotated[
    str | None, typer.Option(help="Clips per class: several for k-shot (1,2,4), one for base-to-novel.")
]
SeedListOption = Annotated[str | None, typer.Option(help="Seeds of the protocol's draws, for example 0,1,2.")]
SplitsOption = Annotated[str | None, typer.Option(help="Split columns that fixed-splits judges. Default: all.")]
SplitColumnOption = Annotated[
    str | None, typer.Option(help="The manifest's split column to use: 1 for split:1. Default: the column split.")
]
KeepOption = Annotated[
    str | None, typer.Option("--keep-as", help="The model that keeps what the protocol trains. Default: it is deleted.")
]
StrideOption = Annotated[float | None, typer.Option(help="Timeline: seconds between two points.")]
WindowOption = Annotated[float | None, typer.Option(help="Timeline: seconds that each point sees.")]
