"""The geometry of crops: the size a frame is resized to, and the S×S boxes cut from it. No torch here.

A single crop is the centre. Three crops lie along the LONG side, in the order start, end, middle (left, right, centre
for landscape; top, bottom, centre for portrait). Text4Vis moves along the width only, so its crops of a portrait video
nearly coincide (method §3.1); ours do not.
"""

from __future__ import annotations

from models.profiles.profile import Profile

Box = tuple[int, int, int, int]  # x, y, width, height in the resized frame


def resized_size(width: int, height: int, profile: Profile, crops: int = 1) -> tuple[int, int]:
    """(width, height) after the resize. Raises: ValueError for an empty frame, or if crops is not 1 or 3."""
    if min(width, height) < 1 or crops not in (1, 3):
        raise ValueError(f"cannot crop {crops} times from a {width}×{height} frame")
    if profile.resize == "squash" and crops == 1:
        return profile.size, profile.size
    short = profile.size if _tight(profile, crops) else profile.short_side
    if width <= height:
        return short, max(short * height // width, short)
    return max(short * width // height, short), short


def crop_boxes(width: int, height: int, profile: Profile, crops: int = 1) -> list[Box]:
    """Boxes of a width×height source frame, in its resized coordinates; golden values in method §3.1, §3.2."""
    w, h = resized_size(width, height, profile, crops)
    size = profile.size
    if crops == 1:
        return [(_middle(w - size, profile), _middle(h - size, profile), size, size)]
    # T4V steps by quarters of the slack, so that "centre" lies between the ends; VFC by halves, with no slack across
    parts = 2 if _tight(profile, crops) else 4
    step_x, step_y = (w - size) // parts, (h - size) // parts
    half = parts // 2
    if width >= height:  # of the source, because rounding may make the resized frame square
        return [(step_x * stop, step_y * half, size, size) for stop in (0, parts, half)]
    return [(step_x * half, step_y * stop, size, size) for stop in (0, parts, half)]


def _tight(profile: Profile, crops: int) -> bool:
    """Whether the short side is exactly S, so that crops leave no margin. It is for three VFC crops. It also is for
    three crops of "squash" models, whose single view is the whole frame: three squares side by side that keep the
    aspect ratio come closest to it."""
    return crops == 3 and (profile.three_crop == "vfc" or profile.resize == "squash")


def _middle(slack: int, profile: Profile) -> int:
    # T4V and open_clip round half to even (torchvision CenterCrop), VFC truncates. The difference is one pixel; each
    # profile keeps the rule it was validated with.
    return slack // 2 if profile.three_crop == "vfc" else round(slack / 2)
