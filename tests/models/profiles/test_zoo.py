from __future__ import annotations

import open_clip
import pytest
from open_clip.pretrained import get_pretrained_cfg

from models.profiles import zoo
from models.weights.hub import check_quick_gelu

FROM_OPEN_CLIP = [entry for entry in zoo.ENTRIES.values() if entry.name != "lite"]


@pytest.mark.parametrize("entry", FROM_OPEN_CLIP, ids=lambda entry: entry.name)
def test_an_entry_says_what_open_clip_says(entry: zoo.ZooEntry) -> None:
    published = get_pretrained_cfg(entry.architecture, entry.tag)
    model = open_clip.get_model_config(entry.architecture)
    assert published, "open_clip knows no such weights"
    assert model is not None
    check_quick_gelu(entry.architecture, entry.tag)
    profile = entry.profile
    assert (profile.mean, profile.std) == (published["mean"], published["std"])
    assert profile.interpolation == published["interpolation"]
    assert profile.resize == {"shortest": "short_side", "squash": "squash"}[published["resize_mode"]]
    assert profile.size == model["vision_cfg"]["image_size"]


def test_the_zoo_holds_every_model_of_the_design() -> None:
    wanted = {"clip-rn50", "clip-b32", "clip-b16", "clip-l14", "clip-l14-336", "laion-b16", "dfn-b16", "siglip-b16"}
    assert wanted | {"mobileclip-s1", "lite"} <= set(zoo.model_names())
    openai = [entry for entry in FROM_OPEN_CLIP if entry.tag == "openai"]
    assert all(entry.architecture.endswith("-quickgelu") for entry in openai)


@pytest.mark.parametrize(("typed", "meant"), [("clip-b-16", "clip-b16"), ("CLIP-L14", "clip-l14"), ("light", "lite")])
def test_a_slip_of_the_keyboard_finds_its_model(typed: str, meant: str) -> None:
    assert meant in zoo.nearest_names(typed)
