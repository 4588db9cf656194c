from __future__ import annotations

import pytest

from tests.worker.training.judging.scores import ABC, scored
from worker.training.judging.comparison import base_to_novel_record, compare_scores


def test_what_training_gained_and_lost() -> None:
    before = scored([0] * 10, [1] * 8 + [0] * 2)
    after = scored([0] * 10, [0] * 8 + [0, 1])
    done = compare_scores(before, after)
    assert done is not None
    assert (done["gained"], done["lost"]) == (8, 1)
    assert done["chance"] == pytest.approx(2 * (1 + 9) / 2**9)
    assert done["metrics"]["top1"] == 0.2


def test_clips_are_compared_by_name_if_both_have_them() -> None:
    before = scored([0, 0, 1], [0, 1, 1], ids=["x", "y", "only before"])
    after = scored([1, 0, 0], [0, 0, 0], ids=["only after", "y", "x"])
    done = compare_scores(before, after)
    assert done is not None
    assert (done["gained"], done["lost"], done["chance"]) == (1, 0, 1.0)
    assert compare_scores(scored([], []), after) is None


def test_the_cost_for_other_labels_is_measured_in_each_label_space() -> None:
    base = (scored([0, 1, 2, 2], [0, 0, 0, 2]), scored([0, 1, 2, 2], [0, 1, 2, 2]))
    novel = (scored([0, 1], [0, 1], 2), scored([0, 1], [0, 0], 2))
    done = base_to_novel_record(base, novel, ABC, ["d", "e"])
    assert done is not None
    assert done["before"] == {"base": 0.5, "novel": 1.0, "harmonic_mean": pytest.approx(2 / 3)}
    assert done["after"] == {"base": 1.0, "novel": 0.5, "harmonic_mean": pytest.approx(2 / 3)}
    assert (done["base_clips"], done["novel_clips"]) == (4, 2)
    assert base_to_novel_record(base, (scored([], [], 2), scored([], [], 2)), ABC, ["d", "e"]) is None
