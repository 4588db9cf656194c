"""The draws among classes, against the published sizes and against numpy's seeded generator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.protocols.class_splits import ClassSplit, frequent_half, half_of, leave_out


@pytest.mark.parametrize("seed", range(10))
def test_a_half_is_drawn_as_by_the_seeded_global_generator(seed: int) -> None:
    """Method §11: seed numpy with s, permute the C classes, keep the first C // 2, sorted."""
    np.random.seed(seed)
    kept = sorted(np.random.permutation(9)[: 9 // 2].tolist())
    assert half_of([str(index) for index in range(9)], seed) == tuple(map(str, kept))


def test_the_half_of_seed_0_is_this_one() -> None:
    assert half_of("abcdef", 0) == ("b", "c", "f")


@pytest.mark.parametrize(("classes", "base", "novel"), [(51, 26, 25), (101, 51, 50), (174, 87, 87), (400, 200, 200)])
def test_the_more_frequent_half_is_base(classes: int, base: int, novel: int) -> None:
    """P2 §3; sizes of HMDB-51, UCF-101, SSv2 and Kinetics-400."""
    clips = {f"class {index:03}": index + 1 for index in range(classes)}
    split = frequent_half(clips)
    assert (len(split.base), len(split.novel)) == (base, novel)
    assert min(clips[name] for name in split.base) > max(clips[name] for name in split.novel)


def test_equally_frequent_classes_are_split_by_name() -> None:
    assert frequent_half({"d": 1, "a": 1, "c": 1, "b": 1}) == ClassSplit(base=("a", "b"), novel=("d", "c"))


@given(seed=st.integers(0, 1000), order=st.permutations([f"label {index}" for index in range(10)]))
def test_a_share_is_drawn_with_the_seed_whatever_the_order(seed: int, order: list[str]) -> None:
    split = leave_out(order, 0.3, seed)
    assert len(split.novel) == 3
    assert set(split.novel) == set(leave_out(sorted(order), 0.3, seed).novel)
    assert [name for name in order if name in split.base] == list(split.base)


def test_named_classes_are_left_out() -> None:
    assert leave_out(["a", "b", "c", "d"], ["d", "a"], 0) == ClassSplit(base=("b", "c"), novel=("a", "d"))


@pytest.mark.parametrize(
    ("novel", "message"), [(("x", "a"), "'x'"), (0.01, "each side"), (0.9, "each side"), (("a",), "each")]
)
def test_unusable_splits_are_refused(novel: float | tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        leave_out(["a", "b", "c", "d", "e"], novel, 0)
