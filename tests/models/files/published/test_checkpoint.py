"""Published checkpoints: every way to save them, what they compute after the import, and what is refused."""

from __future__ import annotations

import json
import math
import os
import re
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
from models.files.published.checkpoint import (
    ImportOptions,
    PublishedCheckpoint,
    read_published,
    write_published,
)
from models.files.published.heads import find_head
from models.files.saving import save_version
from models.image.pixels import normalised
from models.recognition.base import Base
from models.weights.errors import WeightsUnavailable
from models.weights.states import StateDict, find_local_weights
from tests.models.conftest import CPU, tiny_resnet
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


def quiet(_what: str, _share: float) -> None:
    """A progress that nobody watches."""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """With the base of the tiny checkpoints, as OpenAI's model would be there."""
    place = tmp_path / "data" / "weights"
    place.mkdir(parents=True)
    save_file(dict(tiny_model(seed=7).state_dict()), place / "tiny.safetensors")
    card = {"like": "clip-b16", "architecture": CONFIG, "profile": {"size": 32, "short_side": 36}}
    (place / "tiny.json").write_text(json.dumps(card))
    return tmp_path / "data"


def read(data_dir: Path, content: Any, filename: str = "k400.pt", **asked: Any) -> PublishedCheckpoint:
    path = data_dir / "upload"
    if filename.endswith(".safetensors"):
        save_file(content, path)
    else:
        torch.save(content, path)
    return read_published(path, filename, ImportOptions(**asked), data_dir)


def publish(data_dir: Path, content: Any, **asked: Any) -> Base:
    """Read, written, and opened again as a worker does."""
    directory = data_dir / "version"
    directory.mkdir()
    facts = write_published(directory, read(data_dir, content, **asked))
    card = facts | {"name": "k400", "version": 1, "classes": ["a", "b"], "open_labels": True}
    (directory / "card.json").write_text(json.dumps(card))
    return versions.open_version(directory, data_dir=data_dir, progress=quiet)


def pixels(base: Base, views: int, clip: int) -> Tensor:
    """What `served_vectors` looks at [V, T, 3, S, S]."""
    images = normalised(torch.from_numpy(frames(views * clip)), base.profile, CPU)  # [V·T, 3, S, S]
    return images.view(views, clip, *images.shape[1:])


def refusal(data_dir: Path, content: Any, filename: str = "k400.pt", **asked: Any) -> str:
    with pytest.raises(WeightsUnavailable) as caught:
        read(data_dir, content, filename, **asked)
    return f"{caught.value.message} {caught.value.hint or ''}"


def video_clip(prefix: str = "fusion_model.") -> StateDict:
    """The state dict of VideoCLIP."""
    return clip_state() | under(prefix, fusion_state())


def without(state: StateDict, *names: str) -> StateDict:
    return {name: tensor for name, tensor in state.items() if name not in names}


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


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


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
