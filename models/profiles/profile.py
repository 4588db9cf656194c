"""A profile says how a recogniser was validated, and therefore how it must be served. Every card.json holds one; it is
never inferred from the architecture. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from core.vocabulary import Aggregate, Fusion
from models.profiles.prompts import check_templates
from models.weights.digests import digest

Interpolation = Literal["bicubic", "bilinear"]
Resize = Literal["short_side", "squash"]
ThreeCrop = Literal["t4v", "vfc"]
Sampling = Literal["segment_start", "segment_center"]


PIXELS = 2
"""Raised when the same video and profile give other pixels. It is part of the names of cached frames and video vectors.
1: frames were converted at their full size, then reduced by Pillow. 2: swscale converts and reduces in one pass."""

_LATER = frozenset({"fusion"})
"""Fields that earlier cards do not have: their versions are served as the default says."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Preprocessing, sampling, view aggregation and prompts of one recogniser. Raises: ValueError for invalid
    values."""

    name: str
    mean: tuple[float, float, float]  # of RGB in [0, 1]
    std: tuple[float, float, float]
    size: int  # side S of the image tower's square input, pixels
    short_side: int  # the frame's short side before the centre crop, pixels; unused by "squash"
    templates: tuple[str, ...]  # "{}" is the label
    interpolation: Interpolation = "bicubic"
    resize: Resize = "short_side"  # "squash": straight to S×S, the aspect ratio is lost (SigLIP)
    crop: Literal["center"] = "center"
    three_crop: ThreeCrop = "t4v"  # geometry of the 3-crop views, method §3.1 / §3.2
    sampling: Sampling = "segment_start"  # T4V / VFC "segment_center", method §1
    frames: int = 8  # T, frames of one clip
    aggregate: Aggregate = "features"  # what is averaged over views, method §9
    fusion: Fusion = "embedding"  # where frames become a video

    def __post_init__(self) -> None:
        _check_choices(self)
        if not 1 <= self.size <= self.short_side:
            raise ValueError(f"profile {self.name!r}: need 1 ≤ size ≤ short_side, not {self.size}, {self.short_side}")
        if not 1 <= self.frames <= 1024:
            raise ValueError(f"profile {self.name!r}: frames must be 1 … 1024, not {self.frames}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"profile {self.name!r}: mean and std are three numbers each, and std is positive")
        check_templates(self.templates)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types; `from_dict` reads it back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Profile:
        """Raises: ValueError for an unknown or missing field, because a model served with an incomplete profile gives
        wrong answers."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ValueError(f"unknown profile fields: {', '.join(unknown)}")
        if missing := sorted(known - set(data) - _LATER):
            raise ValueError(f"missing profile fields: {', '.join(missing)}")
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**plain)

    def digest(self) -> str:
        """Covers every field except the name, which changes no answer."""
        unused = {"name"} | ({"fusion"} if self.fusion == "embedding" else set())  # as before there was a choice
        return _digest_fields(self, without=unused)

    def vision_digest(self) -> str:
        """Covers `PIXELS` and every field that changes a video's vectors: all but name, templates, aggregation and
        fusion, because vectors are cached by frame."""
        return digest(PIXELS, _digest_fields(self, without={"name", "templates", "aggregate", "fusion"}))


def _digest_fields(profile: Profile, without: set[str]) -> str:
    return digest(
        *(part for key, value in sorted(asdict(profile).items()) if key not in without for part in (key, value))
    )


def _check_choices(profile: Profile) -> None:
    choices = {
        "interpolation": Interpolation,
        "resize": Resize,
        "three_crop": ThreeCrop,
        "sampling": Sampling,
        "aggregate": Aggregate,
        "fusion": Fusion,
        "crop": Literal["center"],
    }
    for field, allowed in choices.items():
        value = getattr(profile, field)
        if value not in get_args(allowed):
            raise ValueError(f"profile {profile.name!r}: {field} must be one of {get_args(allowed)}, not {value!r}")
