from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import open_clip
import pytest
import torch
from open_clip.pretrained import get_pretrained_cfg
from PIL import Image

from models.frames.arrays import UInt8Array
from models.frames.transforms import crop_frame
from models.image.pixels import normalised
from models.profiles import zoo
from models.weights.hub import check_quick_gelu

FROM_OPEN_CLIP = [entry for entry in zoo.ENTRIES.values() if entry.name != "lite"]


@pytest.fixture(scope="module")
def frame(bikes: Path) -> UInt8Array:
    """A frame of a real clip, uint8 [272, 640, 3]."""
    with av.open(str(bikes)) as container:
        return np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)


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


@pytest.mark.parametrize("entry", FROM_OPEN_CLIP, ids=lambda entry: entry.name)
def test_a_frame_reaches_the_tower_as_open_clip_shows_it(entry: zoo.ZooEntry, frame: UInt8Array) -> None:
    """Except for the short side: Text4Vis resizes to 256 before it crops 224 (method §3.1), open_clip to 224."""
    published = get_pretrained_cfg(entry.architecture, entry.tag)
    model = open_clip.get_model_config(entry.architecture)
    assert model is not None
    transform = open_clip.image_transform(
        model["vision_cfg"]["image_size"],
        is_train=False,
        **{name: published[name] for name in ("mean", "std", "interpolation", "resize_mode")},
    )
    expected = transform(Image.fromarray(frame))  # [3, S, S]
    profile = replace(entry.profile, short_side=entry.profile.size)
    shown = normalised(torch.from_numpy(crop_frame(frame, profile)), profile, torch.device("cpu"))[0]  # [3, S, S]
    assert shown.shape == expected.shape
    off = (shown - expected).abs() * torch.tensor(profile.std)[:, None, None] * 255  # grey levels
    assert float(off.mean()) < 0.6  # where to round half a pixel is each library's own choice
    assert float((off > 4).float().mean()) < 0.02


def test_the_zoo_holds_every_model_of_the_design() -> None:
    wanted = {"clip-rn50", "clip-b32", "clip-b16", "clip-l14", "clip-l14-336", "laion-b16", "dfn-b16", "siglip-b16"}
    wanted |= {"clip-b32-256", "pe-b16", "pe-l14-336", "siglip2-b16", "siglip2-b32", "mobileclip2-s2"}
    assert wanted | {"mobileclip-s1", "lite"} <= set(zoo.model_names())
    openai = [entry for entry in FROM_OPEN_CLIP if entry.tag == "openai"]
    assert all(entry.architecture.endswith("-quickgelu") for entry in openai)


@pytest.mark.parametrize(("typed", "meant"), [("clip-b-16", "clip-b16"), ("CLIP-L14", "clip-l14"), ("light", "lite")])
def test_a_slip_of_the_keyboard_finds_its_model(typed: str, meant: str) -> None:
    assert meant in zoo.nearest_names(typed)
