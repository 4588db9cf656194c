"""Models, their versions and aliases.

Rendered from the server's OpenAPI description by docs/render.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vireo.schema.result import Result


@dataclass(frozen=True, kw_only=True, slots=True)
class Card(Result):
    """Everything that is needed to serve a version and to train it again. docs/training.md explains the mappings."""

    format: int
    """version of the card's format"""
    name: str
    """name of the model"""
    version: int
    """number of the version"""
    created_at: float
    """unix seconds"""
    origin: str
    """how the version was made"""
    base: str
    """model that the version started from, as `name` or `name:version`"""
    architecture: str
    """`lite`, or open_clip's name"""
    method: str
    """training method; of an imported version, as its file shows"""
    recipe: str | None
    """name of the recipe; null for an imported version"""
    temporal: dict[str, Any]
    """temporal head: `kind`, and what is needed to build it (`heads`, `layers`, `positions`, `text_width`)"""
    classifier: dict[str, Any]
    """classifier: `kind`, `text_inputs`, `templates`, `normalize_labels`"""
    classes: list[str]
    """classes of the training, in the order of W's rows"""
    open_labels: bool
    """true: questions may have any labels; false: only `classes`"""
    text: str
    """whether the text tower is in the file or is the base's"""
    prompts: dict[str, Any] | None
    """for a version that consists of prompts: `base`, the model that they are for, with its `digest` and
    `text_digest`, and the shapes of the prompts (`image`, `text`); else null
    """
    profile: dict[str, Any]
    """how the version was validated and is served: normalisation, crop, sampling, frames, templates"""
    dim: int
    """d, width of the vectors"""
    logit_scale: float
    """exp(s)"""
    digest: str
    """digest of the weights; it is in every answer and in every cache key"""
    text_digest: str
    """digest of the text side"""
    hyperparameters: dict[str, Any]
    """every number of the run: the recipe's, and `global_batch`, `micro_batch`, `lr`, `tune`, `frames`,
    `precision`, `augment`, `repeats`; `trained_parameters`: how many numbers each role trained
    """
    dataset: dict[str, Any] | None
    """id, digest, name, clips per split"""
    shots: dict[str, Any] | None
    """K, seed, and the drawn clips by class; null without few-shot"""
    seeds: dict[str, int]
    """`run`; `split`, where a split was made"""
    metrics: dict[str, Any]
    """`split` that was judged; `precision` in which the version was served to judge it; `views`: the numbers of the
    version; `before`: those of the base model on the same clips
    """
    base_to_novel: dict[str, Any] | None
    """top-1 on base and novel classes before and after training, with harmonic means; null where the dataset does
    not allow it
    """
    job: str | None
    """job that made the version"""
    packages: dict[str, str]
    """versions of Python and of the packages that computed it"""
    note: str | None
    """what a user of the version should know"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Model(Result):
    name: str
    kind: str
    default: bool
    """true: it answers requests that name no model"""
    digest: str | None
    """digest of the weights; null until they are loaded"""
    reason: str | None
    """why this model is the default"""
    note: str | None
    workers: list[str]
    """ids of the workers that serve it"""
    newest: int | None
    """latest version of a fine-tuned model, which its name without a version means"""
    versions: list[int]
    """versions of a fine-tuned model, ascending"""
    aliases: dict[str, int]
    """aliases of a fine-tuned model: alias to version"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDetail(Result):
    """A model with the cards of the requested versions, newest first."""

    name: str
    kind: str
    default: bool
    """true: it answers requests that name no model"""
    digest: str | None
    """digest of the weights; null until they are loaded"""
    reason: str | None
    """why this model is the default"""
    note: str | None
    workers: list[str]
    """ids of the workers that serve it"""
    newest: int | None
    """latest version of a fine-tuned model, which its name without a version means"""
    versions: list[int]
    """versions of a fine-tuned model, ascending"""
    aliases: dict[str, int]
    """aliases of a fine-tuned model: alias to version"""
    cards: list[Card]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shadow(Result):
    """A version that is tried out: it scores a share of the questions to an alias, but never answers them."""

    version: int
    """the version that is tried out"""
    share: float
    """share of the questions that it scores as well, above 0 to 1"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alias(Result):
    """An alias of a fine-tuned model."""

    model: str
    alias: str
    version: int
    """the version that the alias points to"""
    shadow: Shadow | None
    """the version that is tried out beside it; null if there is none"""
    links: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShadowDifference(Result):
    """What the version that answers and its shadow said about the same videos, where they differ."""

    label: str
    """best label of the version that answered"""
    shadow_label: str
    """best label of the shadow"""
    questions: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ShadowCounts(Result):
    """What was counted of a shadow, for the version that answers and this shadow together. `margin` is the score of
    the best label minus the score of the second best.
    """

    since: float | None
    """unix seconds of the first question; null before it"""
    seen: int
    """questions that both have scored"""
    agreed: int
    """of these, the questions with the same best label"""
    agreement: float | None
    """`agreed` / `seen`; null if `seen` is 0"""
    margin: float | None
    """mean margin of the version that answers, on the questions seen"""
    shadow_margin: float | None
    """mean margin of the shadow on the same questions"""
    skipped: int
    """questions that the shadow did not score because its worker was busy"""
    failed: int
    """questions that the shadow could not score"""
    last_error: str | None
    """why it could not score the last of these"""
    differences: list[ShadowDifference]
    """the best labels where they differ, the most frequent first; at most 50"""


@dataclass(frozen=True, kw_only=True, slots=True)
class AliasShadow(Result):
    """The shadow of an alias, and what was counted of it."""

    model: str
    alias: str
    version: int
    """the version that is tried out"""
    share: float
    """share of the questions that it scores as well"""
    standing: int
    """the version that answers"""
    counts: ShadowCounts
    links: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison(Result):
    """top-1 of both on the same clips, the difference in favour of the candidate, and its 95 % interval."""

    candidate: str
    standing: str
    clips: int
    candidate_top1: float
    standing_top1: float
    gain: float
    interval: list[float]
    verdict: str
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportResult(Result):
    """The result of a job of kind `import`: a new version."""

    model: str
    """the version, as `name:version`"""
    version: int
    architecture: str
    temporal: str
    """temporal head"""
    frames: int
    """T, frames per clip"""
    text: str
    """whether the text tower is in the file or is the base's"""
    note: str | None
    """what a user of the version should know"""
