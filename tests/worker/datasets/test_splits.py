from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets import Split
from worker.datasets.findings import Clip
from worker.datasets.groups import related_clips
from worker.datasets.splits import assign_splits

SIZES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1)


def clips(sizes: dict[str, int], split: Split | None = None) -> list[Clip]:
    return [
        Clip(f"{label}/{i}", Path(), 1, hashlib.sha256(f"{label}{i}".encode()).hexdigest(), label, split, 1.0)
        for label, size in sizes.items()
        for i in range(size)
    ]


def held_out(found: tuple[Clip, ...]) -> set[str]:
    return {clip.sha256 for clip in found if clip.split == "val"}


@given(SIZES, st.integers(0, 5), st.floats(0.05, 0.5))
def test_each_class_is_split_in_the_same_proportion(sizes: dict[str, int], seed: int, fraction: float) -> None:
    split = assign_splits(clips(sizes), seed, fraction)
    val = Counter(clip.label for clip in split.clips if clip.split == "val")
    assert split.source == "made"
    assert {clip.split for clip in split.clips} <= {"train", "val"}
    for label, size in sizes.items():
        assert abs(val[label] - size * fraction) <= 1
        assert (1 <= val[label] < size) if size >= 2 else not val[label]


@given(SIZES, st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_order_of_the_files_changes_nothing(sizes: dict[str, int], seed: int, rng: random.Random) -> None:
    made = clips(sizes)
    shuffled = list(made)
    rng.shuffle(shuffled)
    assert held_out(assign_splits(made, seed, 0.2).clips) == held_out(assign_splits(shuffled, seed, 0.2).clips)


def test_another_seed_draws_other_clips_and_added_clips_move_few() -> None:
    made = clips({"a": 40, "b": 40})
    first = held_out(assign_splits(made, 0, 0.25).clips)
    assert len(first) == 20
    assert first != held_out(assign_splits(made, 1, 0.25).clips)
    assert len(first & held_out(assign_splits(clips({"a": 41, "b": 41}), 0, 0.25).clips)) >= 18


def test_a_given_split_is_kept() -> None:
    given_ = clips({"a": 3}, "train") + clips({"b": 2}, "test")
    split = assign_splits(given_, 0, 0.2)
    assert (list(split.clips), split.source, split.findings) == (given_, "given", ())


def test_if_only_train_is_given_val_is_drawn_from_it() -> None:
    split = assign_splits(clips({"a": 10, "b": 1}, "train"), 0, 0.2)
    assert (len(held_out(split.clips)), split.source) == (2, "made")
    assert "only the split train" in split.findings[0].message


def test_columns_that_were_not_read_are_named() -> None:
    [finding] = assign_splits(clips({"a": 2}), 7, 0.2, ["subset", "fps"]).findings
    assert finding.code == "no_split"
    assert "seed 7" in finding.message
    assert '"subset", "fps"' in finding.message


def grouped(size: int, groups: int, label: str = "a") -> list[Clip]:
    return [replace(clip, group=f"{label}{i % groups}") for i, clip in enumerate(clips({label: size}))]


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.lists(st.integers(0, 9), min_size=1, max_size=40), min_size=1),
    st.integers(0, 5),
    st.floats(0.05, 0.5),
)
def test_a_made_split_keeps_groups_together(groups: dict[str, list[int]], seed: int, fraction: float) -> None:
    """Groups may span classes: clips of one video with several actions."""
    made = [
        replace(clip, group=f"g{group}")
        for label, numbers in groups.items()
        for clip, group in zip(clips({label: len(numbers)}), numbers, strict=True)
    ]
    split = assign_splits(made, seed, fraction)
    splits = {(clip.group, clip.split) for clip in split.clips}
    assert len(splits) == len({clip.group for clip in made})
    for label, numbers in groups.items():
        assert any(clip.split == "train" for clip in split.clips if clip.label == label), numbers
    assert related_clips(split.clips) == []


def test_groups_are_drawn_up_to_the_wanted_share() -> None:
    val = Counter(clip.split for clip in assign_splits(grouped(100, 25), 0, 0.2).clips)
    assert val == {"val": 20, "train": 80}
    val = Counter(clip.split for clip in assign_splits(grouped(100, 2), 0, 0.2).clips)
    assert val == {"val": 50, "train": 50}, "one of two groups, because a class is measured where it can be"
    val = Counter(clip.split for clip in assign_splits(grouped(100, 1), 0, 0.2).clips)
    assert val == {"train": 100}


@pytest.mark.parametrize(
    ("size", "fraction", "wanted"),
    [(8, 0.2, 2), (7, 0.2, 1), (7, 0.5, 4), (5, 0.3, 2), (2, 0.05, 1), (2, 0.5, 1), (1, 0.5, 0), (100, 0.25, 25)],
)
def test_the_share_of_a_class_is_rounded_to_the_nearest(size: int, fraction: float, wanted: int) -> None:
    assert len(held_out(assign_splits(clips({"a": size}), 0, fraction).clips)) == wanted
