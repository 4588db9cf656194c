"""A labelled dataset: its clips, the findings of its check, and its splits.

A dataset in the store never changes: `datasets/<id>/dataset.json` and `datasets/<id>/clips/<sha256>`. The id is made
from the content, so an archive that is sent twice is one dataset.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Severity = Literal["error", "warning", "info"]
FindingCode = Literal[
    "undecodable",  # files that are not videos, or are too damaged; left out
    "missing_file",  # in the manifest, not in the archive, or deleted since; left out
    "unlisted_file",  # in the archive, not in the manifest; left out
    "ignored_file",  # by its path or name not a video (README, .DS_Store); left out
    "thin_class",  # too few clips to train on
    "imbalance",  # the largest class is many times the smallest
    "duplicate",  # the same bytes twice under one label; kept once
    "conflicting_labels",  # the same bytes under two labels; all left out
    "leak",  # the same bytes in train and in another split; left out of train
    "group_leak",  # clips of one group in train and in another split; they stay
    "siblings",  # clips in train and in another split that, by their names, are cut from one video; they stay
    "unseen_class",  # classes in val or test without a train clip: "novel" classes
    "long_label",  # longer than the input of a text tower
    "near_synonyms",  # two labels that differ in spelling only
    "numeric_labels",  # numbers instead of names: text says nothing about them, use `lda`
    "span",  # feedback about parts of videos; left out
    "no_split",  # the archive gives no split: one was made, seeded and stratified
]


class DatasetRecord(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)  # a newer worker may have written it


class Finding(DatasetRecord):
    """A finding of the check. `error`: no model can be trained on this dataset."""

    severity: Severity
    code: FindingCode
    message: str = Field(description="a sentence that says what is wrong and what to do")
    paths: tuple[str, ...] = Field((), description="up to 20 of the files, as named in the archive")
    count: int = Field(1, description="number of all files, classes or pairs that the finding is about")


class Item(DatasetRecord):
    """One clip."""

    path: str = Field(description="as named in the archive")
    sha256: str
    label: str
    split: Split
    seconds: float = Field(description="duration")
    group: str | None = Field(None, description="source video or recording, from the manifest's column `group`")
    splits: dict[str, Split] = Field(
        default_factory=dict, description="its split by each split column of the manifest, such as `1` for `split:1`"
    )


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
    classes: tuple[ClassCount, ...] = Field(description="sorted by name, which is the order of the label indices")
    splits: dict[Split, int] = Field(description="clips per split")
    split_source: Literal["given", "made"]
    split_seed: int | None = Field(None, description="seed of a split that was made")
    split_columns: tuple[str, ...] = Field((), description="split columns of the manifest besides `split`")
    seconds: float = Field(description="duration of all clips together")
    bytes: int
    report: tuple[Finding, ...]
    items: tuple[Item, ...] = Field(description="sorted by path")

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(counted.name for counted in self.classes)

    def of(self, split: Split) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.split == split)

    def under(self, column: str | None) -> Dataset:
        """The dataset as a split column divides it, without the clips that have no split there; None: as it is."""
        if column is None:
            return self
        items = tuple(
            item.model_copy(update={"split": item.splits[column]}) for item in self.items if column in item.splits
        )
        counts = Counter(item.split for item in items)
        return self.model_copy(
            update={
                "items": items,
                "classes": count_classes((item.label, item.split) for item in items),
                "splits": {name: counts[name] for name in SPLITS},
                "split_source": "given",
                "split_seed": None,
            }
        )


def count_classes(clips: Iterable[tuple[str, Split]]) -> tuple[ClassCount, ...]:
    """clips: label and split of each. Clips per class and split, sorted by class name."""
    counts: dict[str, Counter[Split]] = defaultdict(Counter)
    for label, split in clips:
        counts[label][split] += 1
    return tuple(
        ClassCount(name=name, train=count["train"], val=count["val"], test=count["test"])
        for name, count in sorted(counts.items())
    )


class StoredClip(DatasetRecord):
    """A stored video that is to be a clip of a dataset."""

    sha256: str
    label: str


class StoredClips(DatasetRecord):
    """Stored videos that are to be a dataset, as a file in the place of an archive."""

    clips: tuple[StoredClip, ...]
    parts: tuple[str, ...] = Field((), description="sha256 for each statement about a part of a video: no clip")


DatasetSource = Literal["archive", "feedback"]


class DatasetRequest(DatasetRecord):
    """The `request` of a job of kind `dataset`: an archive in the store, or a file that lists stored videos."""

    archive: str = Field(description="its key in the store")
    source: DatasetSource = Field(
        "archive",
        exclude_if=lambda source: source == "archive",
        description="what the file is: an archive, or JSON of `StoredClips`",
    )
    name: str
    split_seed: int = Field(0, ge=0)
    val_fraction: float = Field(
        0.2, ge=0.05, le=0.5, description="Share of each class that goes to `val` where the archive gives no split."
    )


def dataset_key(dataset_id: str) -> str:
    return f"datasets/{dataset_id}"


def archive_key(sha256: str) -> str:
    """The key of an uploaded archive or checkpoint, which is deleted when its job has read it."""
    return f"incoming/{sha256}"
