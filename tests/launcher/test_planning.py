"""What `vireo plan` reckons."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from launcher import planning
from launcher.planning import Load, measured, reckon

COSTS = {
    "setting": "fp32, torch",
    "frame_alone": False,
    "fixed": 0.1,
    "megapixel_second": 0.05,
    "frame": 0.2,
    "label": 2e-6,
    "error": 0.05,
    "largest_error": 0.2,
    "worker_mib": 1500,
    "rest_mib": 500,
}
LOAD = Load(per_day=864_000, seconds=10, megapixels=2.0, frames=8, views=3, labels=1000, peak=2.0)  # 20 per second


def test_the_cost_of_a_video_is_the_sum_of_its_parts() -> None:
    plan = reckon("any", LOAD, 8, COSTS)
    assert plan.seconds == pytest.approx({"decode": 1.0, "encode": 4.8, "labels": 0.002, "rest": 0.1})
    assert plan.per_second == pytest.approx(20)
    assert plan.cores == math.ceil(20 * plan.cpu_seconds / planning.BUSY) == 148
    assert (plan.hosts, plan.memory_mib) == (19, 19 * 2000)
    assert plan.gpus is None


def test_twice_the_videos_need_twice_the_cores() -> None:
    once, twice = (reckon("any", replace(LOAD, per_day=LOAD.per_day * times), 8, COSTS).cores for times in (1, 2))
    assert twice == pytest.approx(2 * once, abs=1)


def test_a_little_still_needs_a_core() -> None:
    plan = reckon("any", Load(per_day=1), 8, COSTS)
    assert (plan.cores, plan.hosts) == (1, 1)


def test_gpus_where_one_was_measured() -> None:
    """100 videos of 8 frames in a second on one; asked are 20 of 24 frames."""
    assert reckon("any", LOAD, 8, COSTS | {"videos_per_gpu_second": 100.0}).gpus == 1
    assert reckon("any", LOAD, 8, COSTS | {"videos_per_gpu_second": 10.0}).gpus == 8


@pytest.mark.parametrize("model", measured()["models"])
def test_the_table_that_ships_is_whole_and_says_where_it_is_from(model: str) -> None:
    costs = measured()
    plan = reckon(model, LOAD, 8)
    assert plan.cpu_seconds > 0
    assert 0 <= plan.error <= plan.largest_error
    lines = " ".join(planning.in_words(plan, LOAD))
    assert costs["machine"]["cpu"] in lines
    assert f"{plan.error:.0%}" in lines
    assert f"Cores: {plan.cores}" in lines
    assert ("only a frame was measured" in lines) == (model != "lite")
