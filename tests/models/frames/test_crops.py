from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.frames.crops import crop_boxes, resized_size
from models.profiles.profile import Profile
from tests.models.conftest import tiny_profile

T4V = tiny_profile(size=224, short_side=256)
T4V_336 = tiny_profile(size=336, short_side=336)
VFC = tiny_profile(size=224, short_side=256, three_crop="vfc")
SQUASH = tiny_profile(size=224, short_side=256, resize="squash")


def corners(width: int, height: int, profile: Profile, crops: int) -> list[tuple[int, int]]:
    return [(x, y) for x, y, _, _ in crop_boxes(width, height, profile, crops)]


@pytest.mark.parametrize(
    ("width", "height", "profile", "expected"),
    [  # method §3.1, §3.2; order: start, end, middle
        (340, 256, T4V, [(0, 16), (116, 16), (58, 16)]),
        (256, 455, T4V, [(16, 0), (16, 228), (16, 114)]),  # Text4Vis slides along the width: three near-copies
        (720, 1280, T4V, [(16, 0), (16, 228), (16, 114)]),
        (256, 256, T4V, [(0, 16), (32, 16), (16, 16)]),
        (336, 600, T4V_336, [(0, 0), (0, 264), (0, 132)]),  # Text4Vis: three identical crops
        (340, 256, VFC, [(0, 0), (72, 0), (36, 0)]),
        (256, 455, VFC, [(0, 0), (0, 174), (0, 87)]),
        (256, 256, VFC, [(0, 0), (0, 0), (0, 0)]),
        (340, 256, SQUASH, [(0, 0), (72, 0), (36, 0)]),
    ],
)
def test_three_crops(width: int, height: int, profile: Profile, expected: list[tuple[int, int]]) -> None:
    assert corners(width, height, profile, 3) == expected


@pytest.mark.parametrize(
    ("width", "height", "profile", "size", "corner"),
    [
        (340, 256, T4V, (340, 256), (58, 16)),
        (256, 455, T4V, (256, 455), (16, 116)),  # 115.5 rounds to even, as torchvision's CenterCrop does
        (256, 455, VFC, (256, 455), (16, 115)),
        (1920, 1080, T4V, (455, 256), (116, 16)),
        (1920, 1080, T4V_336, (597, 336), (130, 0)),
        (1920, 1080, SQUASH, (224, 224), (0, 0)),
        (1, 1, T4V, (256, 256), (16, 16)),
    ],
)
def test_one_crop_is_the_centre(
    width: int, height: int, profile: Profile, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    assert resized_size(width, height, profile) == size
    assert corners(width, height, profile, 1) == [corner]


@given(
    width=st.integers(1, 9000),
    height=st.integers(1, 9000),
    profile=st.sampled_from([T4V, T4V_336, VFC, SQUASH]),
    crops=st.sampled_from([1, 3]),
)
def test_boxes_lie_within_the_resized_frame(width: int, height: int, profile: Profile, crops: int) -> None:
    w, h = resized_size(width, height, profile, crops)
    boxes = crop_boxes(width, height, profile, crops)
    assert len(boxes) == crops
    for x, y, box_w, box_h in boxes:
        assert (box_w, box_h) == (profile.size, profile.size)
        assert 0 <= x <= w - box_w
        assert 0 <= y <= h - box_h


@given(width=st.integers(1, 4000), height=st.integers(1, 4000), profile=st.sampled_from([T4V, T4V_336, VFC]))
@example(width=32, height=33, profile=T4V)
def test_portrait_is_landscape_turned(width: int, height: int, profile: Profile) -> None:
    if width != height:
        turned = [(y, x) for x, y in corners(height, width, profile, 3)]
        assert corners(width, height, profile, 3) == turned


@pytest.mark.parametrize(("width", "height", "crops"), [(0, 5, 1), (5, 0, 3), (5, 5, 2)])
def test_nonsense_is_refused(width: int, height: int, crops: int) -> None:
    with pytest.raises(ValueError, match="cannot crop"):
        resized_size(width, height, T4V, crops)
