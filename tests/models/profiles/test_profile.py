from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from models.profiles.profile import PIXELS, Profile
from tests.models.conftest import tiny_profile

BASE = tiny_profile()
OF_VISION: list[dict[str, Any]] = [
    {"mean": [0.4, 0.5, 0.5]},
    {"std": [0.4, 0.5, 0.5]},
    {"size": 24},
    {"short_side": 40},
    {"interpolation": "bilinear"},
    {"resize": "squash"},
    {"three_crop": "vfc"},
    {"sampling": "segment_center"},
    {"frames": 16},
]
OF_TEXT_OR_MERGING: list[dict[str, Any]] = [{"templates": ["{}"]}, {"aggregate": "logits"}]


def test_survives_a_card() -> None:
    assert Profile.from_dict(json.loads(json.dumps(BASE.to_dict()))) == BASE


@pytest.mark.parametrize("change", OF_VISION)
def test_what_changes_video_vectors_changes_both_digests(change: dict[str, Any]) -> None:
    other = tiny_profile(**change)
    assert other.vision_digest() != BASE.vision_digest()
    assert other.digest() != BASE.digest()


@pytest.mark.parametrize("change", OF_TEXT_OR_MERGING)
def test_what_leaves_video_vectors_alone_keeps_the_vision_digest(change: dict[str, Any]) -> None:
    other = tiny_profile(**change)
    assert other.vision_digest() == BASE.vision_digest()
    assert other.digest() != BASE.digest()


def test_other_pixels_are_other_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, whole = BASE.vision_digest(), BASE.digest()
    monkeypatch.setattr("models.profiles.profile.PIXELS", PIXELS + 1)
    assert BASE.vision_digest() != vectors
    assert BASE.digest() == whole


def test_a_name_is_only_a_name() -> None:
    assert replace(BASE, name="other").digest() == BASE.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0},
        {"short_side": 31},
        {"frames": 0},
        {"std": [0.5, 0.5, 0.0]},
        {"mean": [0.5]},
        {"interpolation": "nearest"},
        {"sampling": "random"},
        {"crop": "corner"},
        {"templates": []},
        {"templates": ["no place for the label"]},
        {"colour": "grey"},
    ],
)
def test_nonsense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"profile|template"):
        tiny_profile(**change)


def test_a_card_with_a_missing_field_is_refused() -> None:
    half = BASE.to_dict()
    del half["sampling"]
    with pytest.raises(ValueError, match="missing profile fields: sampling"):
        Profile.from_dict(half)
