"""What is refused of published checkpoints, and what the messages say."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.files.published.checkpoint import (
    ImportOptions,
    read_published,
)
from models.weights.errors import WeightsUnavailable
from tests.models.conftest import Bomb
from tests.models.files.published.conftest import read, video_clip, without
from tests.models.official import (
    clip_state,
    fusion_state,
    token_conv_state,
    under,
)


def refusal(data_dir: Path, content: Any, filename: str = "k400.pt", **asked: Any) -> str:
    with pytest.raises(WeightsUnavailable) as caught:
        read(data_dir, content, filename, **asked)
    return f"{caught.value.message} {caught.value.hint or ''}"


def two_heads() -> Any:
    return {"model_state_dict": video_clip(), "fusion_model_state_dict": fusion_state(seed=5)}


def numbers(**changes: Any) -> Any:
    return {name: changes.get(name.replace(".", "_"), tensor) for name, tensor in video_clip().items()}


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: {"epoch": 3}, "no tensors"),
    "a list": (lambda: [torch.ones(2)], "no tensors"),
    "another model": (lambda: {"layer1.weight": torch.ones(2, 2)}, r"no image tower of a CLIP.*layer1\.weight"),
    "two towers": (
        lambda: under("model.", clip_state()) | under("ema.", clip_state()),
        r"more than one image tower: ema\.visual\.\* and model\.visual\.\*",
    ),
    "two heads": (two_heads, "2 different temporal models"),
    "two heads inside": (
        lambda: video_clip("a.") | under("b.", fusion_state(seed=5)),
        r"2 different temporal models: a\.frame_pos.*b\.frame_pos",
    ),
    "clashing names": (
        lambda: clip_state(text=True) | fusion_state(),
        "have the same names.*Save the temporal model separately",
    ),
    "a head without its table": (
        lambda: without(video_clip(), "fusion_model.frame_position_embeddings.weight"),
        r"1 names are missing \(temporal\.positions\.weight\)",
    ),
    "half a head": (
        lambda: without(video_clip(), "fusion_model.transformer.resblocks.3.ln_2.bias"),
        r"missing \(temporal\.blocks\.3\.ln_2\.bias\)",
    ),
    "another fusion": (
        lambda: {"model_state_dict": clip_state(), "fusion_model_state_dict": {"lstm.weight": torch.ones(2, 2)}},
        r"not a transformer of Text4Vis: lstm\.weight",
    ),
    "another width": (
        lambda: clip_state() | under("fusion_model.", fusion_state(dim=64)),
        r"temporal\.\S+ has the shape",
    ),
    "half a tower": (
        lambda: without(video_clip(), "visual.ln_post.bias"),
        r"tiny.*1 names are missing \(visual\.ln_post\.bias\)",
    ),
    "one block less": (
        lambda: {name: t for name, t in video_clip().items() if not name.startswith("visual.transformer.resblocks.1.")},
        "12 names are missing .*By its shapes, the image tower is a ViT of 1 blocks.*most similar",
    ),
    "too much": (lambda: video_clip() | {"adapter.weight": torch.ones(2)}, r"1 are unknown \(adapter\.weight\)"),
    "half a text tower": (
        lambda: without(clip_state(text=True), "token_embedding.weight"),
        r"missing \(token_embedding\.weight\)",
    ),
    "another size": (lambda: numbers(visual_proj=torch.ones(64, 16)), r"visual\.proj has the shape \[64, 16\]"),
    "a strange scale": (lambda: numbers(logit_scale=torch.ones(3)), r"logit_scale has the shape \[3\]"),
    "not a number": (
        lambda: numbers(visual_proj=torch.full((64, 32), math.nan)),
        r"visual\.proj holds values .*finite",
    ),
    "joint attention": (
        lambda: clip_state() | {"visual.time_embedding": torch.ones(8, 64)},
        "joint space-time attention",
    ),
    "shifted modules": (
        lambda: {name.replace("resblocks.0.", "resblocks.0.net."): tensor for name, tensor in clip_state().items()},
        "temporal shift modules",
    ),
    "one convolution": (lambda: clip_state() | token_conv_state(layers=1), "1 of TokenT1D's convolutions for 2 blocks"),
    "wide convolutions": (lambda: clip_state() | token_conv_state(width=32), r"\[32, 1, 3\]"),
    "two methods": (lambda: video_clip() | token_conv_state(), "supports one of them"),
    "with and without module": (
        lambda: clip_state() | under("module.", clip_state()),
        "twice, with and without 'module.'",
    ),
    "a bomb": (
        lambda: numbers(visual_proj=torch.ones(1).expand(1 << 20, 1 << 20)),
        "not plain weights",
    ),
    "sparse": (lambda: numbers(visual_proj=torch.ones(64, 32).to_sparse()), "sparse"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore:.*sparse")
def test_what_is_wrong_is_told_in_words(data_dir: Path, name: str) -> None:
    make, words = BAD[name]
    said = refusal(data_dir, make(), base="tiny")
    assert re.search(words, said), said


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"base": "clip-b16"}, "does not fit clip-b16 (ViT-B-16-quickgelu)"),
        ({"base": "lite"}, "lite is not a CLIP"),
        ({"base": "k400:3"}, "'k400:3' cannot be the base"),
        (
            {"base": "tiny", "temporal": "mean"},
            "'mean' was requested, but by its tensors the file has the head 'transformer'",
        ),
        ({}, "text tower is not in the file"),
    ],
)
def test_what_was_asked_for_is_checked(data_dir: Path, asked: dict[str, Any], words: str) -> None:
    assert words in refusal(data_dir, video_clip(), **asked)


def test_more_frames_than_positions_are_refused(data_dir: Path) -> None:
    assert "at most 77" in refusal(data_dir, {"n_seg": 78, "model_state_dict": video_clip()}, base="tiny")


def test_a_head_that_is_asked_for_must_be_there(data_dir: Path) -> None:
    assert "has the head 'mean'" in refusal(data_dir, clip_state(), base="tiny", temporal="transformer")


def test_a_pickle_with_code_is_refused_and_runs_nothing(data_dir: Path) -> None:
    said = refusal(data_dir, {"model_state_dict": video_clip(), "extra": Bomb(data_dir / "boom")}, base="tiny")
    assert "k400.pt is not a state dict" in said
    assert "it asks for posix.mkdir" in said
    assert "weights_only` set to `False`" not in said
    assert not (data_dir / "boom").exists()


def test_damaged_files_are_refused_in_words(data_dir: Path) -> None:
    path = data_dir / "upload"
    torch.save({"model_state_dict": video_clip()}, path)
    whole = path.read_bytes()
    for content in (b"", b"not weights", whole[: len(whole) // 2], b"PK\x03\x04" + bytes(100), whole[:-30]):
        path.write_bytes(content)
        with pytest.raises(WeightsUnavailable, match=r"k400\.pt is not a state dict that can be loaded safely"):
            read_published(path, "k400.pt", ImportOptions(base="tiny"), data_dir)
