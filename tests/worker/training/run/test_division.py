"""How a dataset is divided: what is trained on, what is judged, and what is left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.datasets import ClassCount, Dataset, Item, Split
from core.errors import InvalidTraining
from core.training_requests import TrainingRequest
from worker.training.run.division import ClipDivision, divide_dataset, samples_of, shots_record

LABELS = ("jump", "run", "sit", "walk")
FEW: dict[Split, int] = {"train": 6, "val": 2, "test": 3}


def dataset(counts: dict[str, dict[Split, int]]) -> Dataset:
    """counts: label → clips of each split."""
    items = [
        Item(
            path=f"{label}/{split}{number}.mp4", sha256=f"{label}-{split}-{number}", label=label, split=split, seconds=1
        )
        for label, splits in counts.items()
        for split, count in splits.items()
        for number in range(count)
    ]
    return Dataset(
        id="ds_" + "0" * 24,
        digest="0" * 64,
        name="set",
        created_at=0.0,
        classes=tuple(ClassCount(name=label, **splits) for label, splits in sorted(counts.items())),
        splits=dict(Counter(item.split for item in items)),
        split_source="given",
        seconds=1.0,
        bytes=1,
        report=(),
        items=tuple(sorted(items, key=lambda item: item.path)),
    )


def divided(counts: dict[str, dict[Split, int]] | None = None, seed: int = 0, **options: Any) -> ClipDivision:
    request = TrainingRequest.model_validate({"name": "run", "dataset": "ds_" + "0" * 24} | options)
    return divide_dataset(request, dataset(counts or dict.fromkeys(LABELS, FEW)), seed)


def kinds(items: tuple[Item, ...]) -> set[tuple[str, str]]:
    return {(item.label, item.split) for item in items}


def test_training_sees_the_train_split_and_the_report_the_test_split() -> None:
    division = divided()
    assert division.classes == LABELS
    assert kinds(division.train) == {(label, "train") for label in LABELS}
    assert kinds(division.val) == {(label, "val") for label in LABELS}
    assert kinds(division.judged) == {(label, "test") for label in LABELS}
    assert (division.judged_split, division.available, len(division.train)) == ("test", 24, 24)
    assert (division.novel, division.unseen, division.drawn) == ((), (), None)


@pytest.mark.parametrize("only", ["val", "test"])
def test_the_only_split_beside_train_is_looked_at_while_training_and_judged(only: Split) -> None:
    division = divided({label: {"train": 6, only: 2} for label in LABELS})
    assert division.judged_split == only
    assert division.val == division.judged
    assert {split for _, split in kinds(division.judged)} == {only}


def test_classes_left_out_are_nowhere_but_among_the_unseen_with_every_clip() -> None:
    division = divided(novel=["sit", "jump"])
    assert (division.classes, division.novel) == (("run", "walk"), ("jump", "sit"))
    for clips in (division.train, division.val, division.judged):
        assert {item.label for item in clips} == {"run", "walk"}
    assert kinds(division.unseen) == {(label, split) for label in ("jump", "sit") for split in ("train", "val", "test")}
    assert len(division.unseen) == 22
    assert division.available == 12


def test_unseen_clips_may_be_those_of_the_judged_split_only() -> None:
    division = divided(novel=["sit", "jump"], novel_clips="judged")
    assert kinds(division.unseen) == {("jump", "test"), ("sit", "test")}


def test_a_class_without_a_clip_to_train_on_may_be_named_as_novel() -> None:
    division = divided(dict.fromkeys(LABELS, FEW) | {"fly": {"test": 2}}, novel=["fly", "jump"])
    assert (division.classes, division.novel) == (("run", "sit", "walk"), ("fly", "jump"))


def test_a_class_without_a_clip_to_train_on_is_novel() -> None:
    division = divided(dict.fromkeys(LABELS, FEW) | {"fly": {"test": 2}})
    assert (division.classes, division.novel) == (LABELS, ("fly",))
    assert "fly" not in {item.label for item in division.judged}
    assert kinds(division.unseen) == {("fly", "test")}


def test_a_share_of_the_classes_is_drawn_with_the_seed() -> None:
    assert len(divided(novel=0.5).novel) == 2
    assert len({divided(novel=0.5, seed=seed).novel for seed in range(12)}) > 2
    assert divided(novel=0.5, seed=4) == divided(novel=0.5, seed=4)


def test_shots_are_drawn_with_the_seed_and_recorded_by_path() -> None:
    division = divided(shots=2, seed=5)
    assert Counter(item.label for item in division.train) == dict.fromkeys(LABELS, 2)
    assert division.available == 24
    paths = {label: sorted(item.path for item in division.train if item.label == label) for label in LABELS}
    assert division.drawn is not None
    assert {label: sorted(drawn) for label, drawn in division.drawn.items()} == paths
    assert divided(shots=2, seed=5).train == division.train
    draws = {tuple(item.path for item in divided(shots=2, seed=seed).train) for seed in range(6)}
    assert len(draws) > 3
    request = TrainingRequest(name="run", dataset="ds_" + "0" * 24, shots=2)
    assert shots_record(request, division, 5) == {"k": 2, "seed": 5, "clips": division.drawn}
    assert shots_record(request, divided(), 5) is None


def test_the_label_of_a_sample_is_the_place_of_its_class() -> None:
    division = divided(novel=["jump", "walk"])
    samples = samples_of(division.train, division.classes, Path("clips"))
    assert [sample.path.name for sample in samples] == [item.sha256 for item in division.train]
    assert {(sample.path.parent, sample.path.name.split("-")[0], sample.label) for sample in samples} == {
        (Path("clips"), "run", 0),
        (Path("clips"), "sit", 1),
    }


@pytest.mark.parametrize(
    ("options", "field"),
    [({"shots": 7}, "shots"), ({"novel": ["jump", "fly"]}, "novel"), ({"novel": ["jump", "run", "sit"]}, "novel")],
)
def test_what_cannot_be_divided_is_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidTraining) as caught:
        divided(**options)
    assert caught.value.details["field"] == field
