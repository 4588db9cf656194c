"""Tensors of a published file that are not plain finite weights, at the border of what is refused."""

from __future__ import annotations

import pytest
import torch

from models.files.published.wrappers import check_size, saved_frames, to_plain
from models.weights.errors import WeightsUnavailable


def test_tensors_may_take_as_much_memory_as_the_file_and_no_more() -> None:
    ten = torch.ones(10)
    check_size([ten, ten.view(2, 5), ten], 40)  # shared ones count once
    with pytest.raises(WeightsUnavailable, match="44 bytes, but the file has 40"):
        check_size([torch.ones(1).expand(11)], 40)
    with pytest.raises(WeightsUnavailable, match="not plain weights"):
        check_size([ten, torch.ones(1)], 40)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_value_that_is_not_finite_is_enough(value: float) -> None:
    weights = torch.ones(3, 3)
    assert torch.equal(to_plain("proj", weights), weights)
    weights[1, 2] = value
    with pytest.raises(WeightsUnavailable, match="proj holds values that are not finite"):
        to_plain("proj", weights)


def test_plain_tensors_are_copies_in_fp32_and_integers_stay_integers() -> None:
    half, count = torch.ones(2, dtype=torch.float16), torch.tensor([7])
    assert to_plain("half", half).dtype == torch.float32
    assert (to_plain("count", count).dtype, to_plain("count", count).data_ptr() == count.data_ptr()) == (
        torch.int64,
        False,
    )


def test_the_number_of_frames_is_looked_for_two_levels_deep() -> None:
    assert saved_frames({"num_segments": 8}) == 8
    assert saved_frames({"config": {"data": {"num_segments": 16}}}) == 16
    assert saved_frames({"config": {"data": {"args": {"num_segments": 16}}}}) is None
    for value in (0, -1, True, "8", None):
        assert saved_frames({"num_segments": value}) is None
