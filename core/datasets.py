"""A labelled dataset: what it holds, what was found wrong with it, and how it is divided.

It lives in the store, whole and immutable: `datasets/<id>/dataset.json` beside `datasets/<id>/clips/<sha256>`. The id
is content-addressed, so the same archive sent twice is one dataset.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Split = Literal["train", "val", "test"]
Severity = Literal["error", "warning", "info"]
FindingCode = Literal[
    "undecodable",  # files that are no video, or are damaged beyond use; left out
    "missing_file",  # named in the manifest, not in the archive; left out
    "unlisted_file",  # in the archive, not named in the manifest; left out
    "ignored_file",  # not a video by its place or name (README, .DS_Store); left out
    "thin_class",  # fewer clips than training can use
    "imbalance",  # the largest class is many times the smallest
    "duplicate",  # the same bytes twice under one label; kept once
    "conflicting_labels",  # the same bytes under two labels; all left out
    "leak",  # the same bytes in train and in another split; left out of train
    "unseen_class",  # classes in val or test without a train clip: held out, "novel"
    "long_label",  # longer than a text tower reads
    "near_synonyms",  # two labels that differ in spelling only
    "numeric_labels",  # ids instead of names: text says nothing about them, use `lda`
    "no_split",  # one was made, with a seed, stratified
]


class DatasetRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Finding(DatasetRecord):
    """One thing to know before training. `error`: nothing can be trained on this dataset."""

    severity: Severity
    code: FindingCode
    message: str = Field(description="a sentence, with what to do")
    paths: tuple[str, ...] = Field((), description="up to 20 of the files meant, as named in the archive")
    count: int = Field(1, description="how many files, classes or pairs are meant in all")


class Item(DatasetRecord):
    """One clip."""

    path: str = Field(description="as named in the archive")
    sha256: str
    label: str
    split: Split
    seconds: float = Field(description="duration")


class ClassCount(DatasetRecord):
    name: str
    train: int = 0
    val: int = 0
    test: int = 0


class Dataset(DatasetRecord):
    id: str = Field(description="ds_<24 hex digits of the digest>")
    digest: str = Field(description="sha256 over every clip's content, label and split")
    name: str
    created_at: float
    classes: tuple[ClassCount, ...] = Field(description="in the order of the labels' indices: by name")
    splits: dict[Split, int] = Field(description="clips per split")
    split_source: Literal["given", "made"]
    split_seed: int | None = Field(None, description="of a split that was made")
    seconds: float = Field(description="of video in all")
    bytes: int
    report: tuple[Finding, ...]
    items: tuple[Item, ...] = Field(description="sorted by path")

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(counted.name for counted in self.classes)

    def of(self, split: Split) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.split == split)


class DatasetRequest(DatasetRecord):
    """The `request` of a job of kind `dataset`: an archive that the gateway has stored."""

    archive: str = Field(description="its key in the store")
    name: str
    split_seed: int = Field(0, ge=0)
    val_fraction: float = Field(
        0.2, ge=0.05, le=0.5, description="Share of each class held out, where no split is given."
    )


def dataset_key(dataset_id: str) -> str:
    return f"datasets/{dataset_id}"


def archive_key(sha256: str) -> str:
    """Of an upload on its way to becoming a dataset or a model version; deleted once it was read."""
    return f"incoming/{sha256}"
