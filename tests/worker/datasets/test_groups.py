from __future__ import annotations

from pathlib import Path

import pytest

from core.datasets import Split
from worker.datasets.findings import Clip
from worker.datasets.groups import related_clips, source_of


def clip(path: str, split: Split, group: str | None = None) -> Clip:
    return Clip(path, Path(), 1, path, "a", split, 1.0, group)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("biking/v_Biking_g01_c02.avi", "v_biking_g01"),
        ("run/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "april_09_brush_hair_u_nm_np1_ba"),
        ("x/-0a1B2c3D4e_000010_000020.mp4", "-0a1b2c3d4e"),
        ("x/kitchen-clip3.mp4", "kitchen"),
        ("x/kitchen scene 12.mp4", "kitchen"),
        ("x/0001.mp4", None),
        ("x/clip_12.mp4", None),
        ("x/video_12.mp4", None),
        ("x/person3_boxing.mp4", None),
    ],
)
def test_the_source_of_a_clip_by_its_name(path: str, source: str | None) -> None:
    assert source_of(path) == source


def test_siblings_in_train_and_in_a_held_out_split_are_a_warning() -> None:
    clips = [
        clip("v_Biking_g01_c01.avi", "train"),
        clip("v_Biking_g01_c02.avi", "val"),
        clip("v_Biking_g02_c01.avi", "val"),
        clip("v_Biking_g02_c02.avi", "test"),
    ]
    [finding] = related_clips(clips)
    assert (finding.code, finding.severity, finding.paths) == ("siblings", "warning", ("v_Biking_g01_c02.avi",))
    assert "column group" in finding.message


def test_a_group_across_a_given_split_is_a_warning_and_names_are_then_not_guessed() -> None:
    clips = [clip("g01_c01.avi", "train", "one"), clip("g01_c02.avi", "val", "two"), clip("b.avi", "test", "one")]
    [finding] = related_clips(clips)
    assert (finding.code, finding.paths) == ("group_leak", ("b.avi",))
