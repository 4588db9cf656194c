"""Datasets, and what training on them would bring.

Rendered from the server's OpenAPI description by docs/render.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vireo.schema.result import Result


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassCount(Result):
    name: str
    train: int
    val: int
    test: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding(Result):
    """A finding of the check. `error`: no model can be trained on this dataset."""

    severity: str
    code: str
    message: str
    """a sentence that says what is wrong and what to do"""
    paths: list[str]
    """up to 20 of the files, as named in the archive"""
    count: int
    """number of all files, classes or pairs that the finding is about"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item(Result):
    """One clip."""

    path: str
    """as named in the archive"""
    sha256: str
    label: str
    split: str
    seconds: float
    """duration"""
    group: str | None
    """source video or recording, from the manifest's column `group`"""
    splits: dict[str, str]
    """its split by each split column of the manifest, such as `1` for `split:1`"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset(Result):
    """A dataset. `items` is null unless requested."""

    id: str
    """ds_<24 hex digits of the digest>"""
    digest: str
    """sha256 over every clip's content, label and split"""
    name: str
    created_at: float
    classes: list[ClassCount]
    """sorted by name, which is the order of the label indices"""
    splits: dict[str, int]
    """clips per split"""
    split_source: str
    split_seed: int | None
    """seed of a split that was made"""
    split_columns: list[str]
    """split columns of the manifest besides `split`"""
    seconds: float
    """duration of all clips together"""
    bytes: int
    report: list[Finding]
    items: list[Item] | None
    links: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetResult(Result):
    """The result of a job of kind `dataset`."""

    dataset: str
    """id of the dataset"""
    name: str
    classes: int
    """number of classes"""
    clips: int
    """number of clips"""
    report: list[Finding]
    """what was found in the uploaded archive"""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadEstimate(Result):
    """A way to decide among the classes, judged on clips that it was not fitted on."""

    name: str
    top1: float | None
    error: float | None
    interval: list[float] | None
    note: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint(Result):
    shots: int
    top1: float
    low: float
    high: float
    measured: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost(Result):
    """Minutes of work on this machine."""

    features: float
    closed_form: float
    gradient: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice(Result):
    action: str
    sentence: str
    classes: list[str]
    clips: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviewResult(Result):
    """The result of a job of kind `preview`: what training on the dataset would bring. Shares are from 0 to 1."""

    dataset: str
    base: str
    """the model whose frozen features were used"""
    judged_clips: int
    """train clips that were left out once in each round of cross-validation"""
    classes: list[str]
    shots: int
    """clips of the rarest class"""
    heads: list[HeadEstimate]
    """`zero_shot`: the base as it is; `ncm`, `ridge`, `lda`: heads on frozen features; `default`: what the recipe
    `default` would give. Top-1 by repeated stratified cross-validation, with its standard error and its 95 %
    interval; `note` says why a head is left out
    """
    gain: list[float] | None
    """95 % interval of the difference between `default` and `zero_shot`, paired by clip"""
    curve: list[CurvePoint]
    """top-1 of `default` over clips per class with a 90 % band; the last points are predictions"""
    cost: Cost
    """minutes of work here"""
    tower: bool
    """whether there are enough clips to train the image tower itself"""
    advice: Advice
