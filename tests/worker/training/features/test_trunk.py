"""Outputs of a trunk as files: their tensors come back, and other trunks and other ways to read do not find them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.image.tower import Extension
from models.image.trunk_digest import trunk_digest
from tests.models.conftest import CPU, resnet_base, tiny_base
from worker.training.features.files import FeatureFiles
from worker.training.features.trunk import TrunkFiles

CLIP = Path("clips") / ("0" * 64)


def opened(folder: Path, *reading: str | int) -> TrunkFiles:
    found = TrunkFiles.of(FeatureFiles(folder, "default", 1 << 20), tiny_base().tower, "trained", CPU, *reading)
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_tensors_come_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    x = torch.randn(3, 4, 5).to(dtype)
    opened(tmp_path).write(CLIP, x)
    found = opened(tmp_path).read(CLIP)
    assert found is not None
    assert found.dtype is dtype
    assert torch.equal(found, x)


def test_outputs_of_another_reading_road_or_trunk_are_not_found(tmp_path: Path) -> None:
    kept, tower = opened(tmp_path, "8 frames"), tiny_base().tower
    kept.write(CLIP, torch.zeros(1))
    others = [
        opened(tmp_path, "4 frames"),
        TrunkFiles.of(kept.files, tower, "served", CPU, "8 frames"),
        TrunkFiles.of(kept.files, tower.bfloat16(), "trained", CPU, "8 frames"),
        TrunkFiles.of(kept.files, resnet_base().tower, "trained", CPU, "8 frames"),
    ]
    assert all(other is not None and other.read(CLIP) is None for other in others)
    assert kept.read(CLIP) is not None


def test_towers_that_differ_behind_the_trunk_share_a_digest() -> None:
    """What a run of `tune=projection`, or the closed form, changes."""
    first, second = tiny_base().tower, tiny_base().tower
    with torch.no_grad():
        for _, parameter in second.projection_parameters():
            parameter.add_(1)
    second.extend(Extension(32, 3))
    assert trunk_digest(first) == trunk_digest(second.eval())


@pytest.mark.parametrize("change", ["weight", "pooling", "activation"])
def test_towers_that_compute_something_else_do_not(change: str) -> None:
    first, second = tiny_base().tower, tiny_base().tower
    visual: Any = second.visual
    if change == "weight":
        with torch.no_grad():
            visual.conv1.weight[0, 0, 0, 0] += 1e-6
    elif change == "pooling":
        visual.pool_type = "avg"
    else:
        visual.transformer.resblocks[0].mlp.gelu = torch.nn.ReLU()
    assert trunk_digest(first) != trunk_digest(second)


def test_a_tower_that_mixes_time_keeps_nothing(tmp_path: Path) -> None:
    base = replace(tiny_base())
    tower = base.video_model("token_conv").tower
    assert TrunkFiles.of(FeatureFiles(tmp_path, "default", 1 << 20), tower, "trained", CPU) is None
