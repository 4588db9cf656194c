"""Published checkpoints: every way to save them, and what they compute after the import."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.files import versions
from models.files.bases import open_base
from models.files.published import checkpoint, networks
from models.files.published.heads import find_head
from models.files.saving import save_version
from models.image.pixels import normalised
from models.recognition.base import Base
from models.weights.errors import WeightsUnavailable
from models.weights.states import find_local_weights
from tests.models.conftest import CPU, tiny_resnet
from tests.models.files.published.conftest import publish, quiet, read, video_clip, without
from tests.models.official import (
    CONFIG,
    clip_state,
    fusion_state,
    tiny_model,
    token_conv_state,
    under,
    video_vectors,
    vit_shapes,
)
from tests.models.recognition.test_base import frames, served_vectors
from vireo import export


def pixels(base: Base, views: int, clip: int) -> Tensor:
    """What `served_vectors` looks at [V, T, 3, S, S]."""
    images = normalised(torch.from_numpy(frames(views * clip)), base.profile, CPU)  # [V·T, 3, S, S]
    return images.view(views, clip, *images.shape[1:])


WAYS: dict[str, Callable[[], Any]] = {
    "the release": lambda: {"epoch": 30, "model_state_dict": video_clip(), "optimizer_state_dict": {"state": {}}},
    "DistributedDataParallel": lambda: {"model_state_dict": under("module.", video_clip())},
    "module inside": lambda: {"state_dict": clip_state() | under("fusion_model.module.", fusion_state())},
    "another attribute": lambda: {"model": video_clip("video_header.")},
    "no prefix": lambda: clip_state() | fusion_state(),
    "a prefix before everything": lambda: {"state_dict": under("model.", video_clip())},
    "a prefix before the tower": lambda: under("clip.", clip_state()) | under("video_header.", fusion_state()),
    "apart": lambda: {"model_state_dict": clip_state(), "fusion_model_state_dict": under("module.", fusion_state())},
    "twice the same": lambda: {"model_state_dict": video_clip(), "fusion_model_state_dict": fusion_state()},
    "with OpenAI's numbers": lambda: (
        video_clip() | {"input_resolution": torch.tensor(32), "vocab_size": torch.tensor(9)}
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_save_it_is_the_same_checkpoint(data_dir: Path, way: str) -> None:
    expected = read(data_dir, video_clip(), base="tiny")
    found = read(data_dir, WAYS[way](), base="tiny")
    assert found.temporal == {"kind": "transformer", "text_width": 128, "heads": 2, "layers": 6, "positions": 77}
    assert found.state.keys() == expected.state.keys()
    assert all(torch.equal(found.state[name], expected.state[name]) for name in expected.state)
    assert replace(found, state={}) == replace(expected, state={})


def test_the_file_may_be_safetensors_whatever_its_name(data_dir: Path) -> None:
    state = {name: tensor.contiguous() for name, tensor in video_clip().items()}
    assert read(data_dir, state, "k400.safetensors", base="tiny").temporal["kind"] == "transformer"


@pytest.mark.parametrize("kind", ["mean", "transformer"])
def test_it_computes_what_the_released_code_computes(data_dir: Path, kind: str) -> None:
    fusion = fusion_state() if kind == "transformer" else None
    version = publish(data_dir, {"model_state_dict": clip_state() | under("fusion_model.", fusion or {})}, base="tiny")
    assert (version.temporal_kind, version.dim, version.text_width) == (kind, 32, 128)
    expected = video_vectors(clip_state(), pixels(version, 2, 4), fusion)
    served = served_vectors(version.recognizer(CPU, torch.float32), 2, 4)
    torch.testing.assert_close(served, expected, rtol=1e-4, atol=1e-5)
    base = open_base("tiny", data_dir=data_dir, progress=quiet)
    assert torch.equal(version.text_encoder.encode(["a cat"])[0], base.text_encoder.encode(["a cat"])[0])
    assert version.text_encoder.digest == base.text_encoder.digest


def test_token_t1d_comes_along(data_dir: Path) -> None:
    state = clip_state() | token_conv_state()
    version = publish(data_dir, state, base="tiny")
    assert (version.temporal_kind, version.tower.mixes_time) == ("token_conv", True)
    served = served_vectors(version.recognizer(CPU, torch.float32), 2, 4)
    torch.testing.assert_close(served, video_vectors(state, pixels(version, 2, 4)), rtol=1e-4, atol=1e-5)
    assert (served - video_vectors(clip_state(), pixels(version, 2, 4))).abs().max() > 1e-3


def test_half_precision_becomes_single(data_dir: Path) -> None:
    half = {name: tensor.half() for name, tensor in video_clip().items()}
    found = read(data_dir, half, base="tiny")
    assert {tensor.dtype for tensor in found.state.values()} == {torch.float32}
    assert torch.equal(found.state["visual.proj"], clip_state()["visual.proj"].half().float())


def test_a_version_is_fine_tuned_further_with_the_head_that_it_has(data_dir: Path) -> None:
    version = publish(data_dir, video_clip(), base="tiny")
    model = version.video_model("transformer", "identity").eval()
    expected = video_vectors(clip_state(), pixels(version, 2, 4), fusion_state())
    with torch.no_grad():
        torch.testing.assert_close(model(pixels(version, 2, 4)), expected, rtol=1e-4, atol=1e-5)
    again = data_dir / "again"
    again.mkdir()
    said = save_version(again, model, version, encoder=version.text_encoder, classifier={"rows": torch.eye(2, 32)})
    card = said | {"name": "k400", "version": 2, "classes": ["a", "b"], "open_labels": True}
    (again / "card.json").write_text(json.dumps(card | {"profile": version.profile.to_dict()}))
    reopened = versions.open_version(again, data_dir=Path("nowhere"), progress=quiet)  # its text tower is inside now
    torch.testing.assert_close(
        served_vectors(reopened.recognizer(CPU, torch.float32), 2, 4), expected, rtol=1e-4, atol=1e-5
    )


def test_a_network_of_nobodys_shapes_becomes_an_architecture_of_its_own(data_dir: Path) -> None:
    """Where its text tower is in the file."""
    nce = {"model_state_dict": clip_state(text=True), "fusion_model_state_dict": fusion_state()}
    found = read(data_dir, nce)
    assert found.text == "own"
    assert found.base == found.architecture
    assert (found.profile.size, found.profile.short_side) == (32, 32)
    assert "architecture of its own" in (found.note or "")
    version = publish(data_dir, nce)
    expected, _ = open_clip_texts(tiny_model(), ["a cat", "two dogs"])
    torch.testing.assert_close(version.text_encoder.encode(["a cat", "two dogs"])[0], expected, rtol=1e-4, atol=1e-5)
    served = served_vectors(version.recognizer(CPU, torch.float32), 1, 3)
    torch.testing.assert_close(
        served, video_vectors(clip_state(), pixels(version, 1, 3), fusion_state()), rtol=1e-4, atol=1e-5
    )
    assert read(data_dir, nce, base="tiny").text == "own"


@torch.no_grad()
def open_clip_texts(model: Any, texts: list[str]) -> tuple[Tensor, None]:
    return model.encode_text(open_clip.get_tokenizer("ViT-B-16")(texts)), None


def test_a_resnet_is_told_by_its_stages(data_dir: Path) -> None:
    config = {
        "embed_dim": 32,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 2, 1], "width": 8},
        "text_cfg": CONFIG["text_cfg"] | {"width": 64},
    }
    card = {"like": "clip-rn50", "architecture": config, "profile": {"size": 32, "short_side": 36}}
    (data_dir / "weights" / "rn.json").write_text(json.dumps(card))
    model: Any = tiny_resnet()
    state = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("visual.")}
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    save_file({name: t.contiguous() for name, t in model.state_dict().items()}, data_dir / "weights" / "rn.safetensors")
    found = read(data_dir, without(state, *counters), base="rn")
    assert found.temporal["kind"] == "mean"
    assert found.state["logit_scale"].exp().item() == pytest.approx(100, rel=1e-5)
    assert "no logit_scale" in (found.note or "")
    assert all(name in found.state for name in counters)


REAL = {
    "clip-b32": (32, 768, 12, 7, 512),
    "clip-b16": (16, 768, 12, 14, 512),
    "clip-l14": (14, 1024, 24, 16, 768),
    "clip-l14-336": (14, 1024, 24, 24, 768),
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("head", [False, True])
def test_the_released_sizes_are_known_by_their_shapes(tmp_path: Path, name: str, head: bool) -> None:
    found, rest = find_head(vit_shapes(*REAL[name], head=head), {})
    network = networks.find_network(rest, None, tmp_path)
    assert (network.base, network.architecture) == (name, open_clip_name(name))
    assert networks.fit_to_network(rest, network).keys() == rest.keys()
    described = checkpoint._describe_head(found, network, None)
    heads = {"heads": 12 if "l14" in name else 8, "layers": 6, "positions": 77} if head else {}
    assert (
        described
        == {"kind": "transformer" if head else "mean", "text_width": 64 * (12 if "l14" in name else 8)} | heads
    )


def open_clip_name(name: str) -> str:
    size = {"b32": "B-32", "b16": "B-16", "l14": "L-14"}[name.split("-")[1]]
    return f"ViT-{size}{'-336' if name.endswith('336') else ''}-quickgelu"


def test_rn50_is_known_by_its_shapes(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = open_clip.create_model("RN50-quickgelu", pretrained=None, load_weights=False, device="meta")
    visual = {name: t for name, t in model.state_dict().items() if name.startswith(("visual.", "logit_scale"))}
    network = networks.find_network(visual, None, tmp_path)
    assert (network.base, network.dim, network.text_width) == ("clip-rn50", 1024, 512)  # T-Trans would have 8 heads


@pytest.mark.parametrize(
    ("content", "filename", "asked", "frames", "told"),
    [
        ({}, "k400.pt", None, 8, "does not say how many frames"),
        ({}, "k400-vitb-32-f16.pt", None, 16, "file's name says 16"),
        ({}, "k400-vitb-32-f16.pt", 4, 4, None),
        ({"config": {"data": {"num_segments": 32}}}, "f16.pt", None, 32, None),
        ({"n_seg": 3}, "model_f16-best.pt", None, 3, None),
        ({}, "half-f16.pt", 77, 77, None),
    ],
)
def test_frames_are_asked_for_or_said_or_usual(
    data_dir: Path, content: dict[str, Any], filename: str, asked: int | None, frames: int, told: str | None
) -> None:
    found = read(data_dir, content | {"model_state_dict": video_clip()}, filename, base="tiny", frames=asked)
    assert found.profile.frames == frames
    assert (told or "Its text tower") in (found.note or "")
    assert ("frames" in (found.note or "")) == bool(told)


def test_the_profile_is_that_of_text4vis(data_dir: Path) -> None:
    profile = read(data_dir, video_clip(), base="tiny").profile
    assert profile.templates == ("a video of a person {}.",)
    assert (profile.sampling, profile.aggregate, profile.three_crop) == ("segment_start", "features", "t4v")
    assert (profile.size, profile.short_side) == (32, 36)


def test_where_the_text_tower_comes_from_is_told(data_dir: Path) -> None:
    assert "that of tiny." in (read(data_dir, video_clip(), base="tiny").note or "")
    version = publish(data_dir, video_clip(), base="tiny")
    assert json.loads((data_dir / "version" / "card.json").read_text())["text_digest"] == ""
    assert version.text_encoder.digest
    local = find_local_weights("tiny", data_dir)
    assert local is not None
    local.unlink()
    note = read(data_dir, video_clip(), base="tiny").note or ""
    assert "were not on this machine" in note
    assert "weights/tiny.safetensors" in note
    with pytest.raises(WeightsUnavailable, match=r"k400:1 reads labels with the text tower of tiny.*no weights beside"):
        versions.open_version(data_dir / "version", data_dir=data_dir, progress=quiet)
    (data_dir / "weights" / "tiny.json").unlink()
    with pytest.raises(WeightsUnavailable, match=r"k400:1 reads labels .*There is no model tiny here") as caught:
        versions.open_version(data_dir / "version", data_dir=data_dir, progress=quiet)
    assert "weights/" in (caught.value.hint or "")


def test_other_weights_of_the_base_never_meet_old_rows(data_dir: Path) -> None:
    first = publish(data_dir, video_clip(), base="tiny").recognizer(CPU, torch.float32)
    save_file(dict(tiny_model(seed=8).state_dict()), data_dir / "weights" / "tiny.safetensors")
    second = versions.open_version(data_dir / "version", data_dir=data_dir, progress=quiet)
    assert second.recognizer(CPU, torch.float32).text_digest != first.text_digest


def test_an_export_is_the_same_model_to_others_and_to_us(data_dir: Path) -> None:
    """Import → export → weights/ → the same scores; and open_clip takes it whole."""
    version = publish(data_dir, clip_state(text=True))
    plain = data_dir / "weights" / "exported.safetensors"
    done = export.strip(data_dir / "version" / "model.safetensors", plain)
    assert (done.dropped, done.text) == ((), True)
    theirs = open_clip.create_model(version.architecture, pretrained=None, load_weights=False)
    state = load_file(plain)
    assert len(state) == done.tensors
    theirs.load_state_dict(state, strict=True)
    card = {"like": "clip-b16", "architecture": CONFIG, "profile": version.profile.to_dict()}
    plain.with_suffix(".json").write_text(json.dumps(card))
    ours = open_base("exported", data_dir=data_dir, progress=quiet)
    served, original = ours.recognizer(CPU, torch.float32), version.recognizer(CPU, torch.float32)
    assert torch.equal(served_vectors(served, 1, 4), served_vectors(original, 1, 4))
    assert torch.equal(served.encode_texts(["a cat"])[0], original.encode_texts(["a cat"])[0])
    assert served.logit_scale == original.logit_scale
    assert served.text_digest == original.text_digest
