"""ViFi-CLIP's published files: both towers under its own names, and how such a version is served."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from models.files.published.checkpoint import ImportOptions, read_published, write_published
from models.files.published.vifi import prompts_of
from models.weights.errors import WeightsUnavailable
from models.weights.states import StateDict
from tests.models.conftest import CPU
from tests.models.files.published.conftest import publish, read, without
from tests.models.files.published.test_checkpoint import pixels
from tests.models.official import tiny_model, under, video_vectors
from tests.models.recognition.test_base import served_vectors

WORDS = "token_embedding.weight"
IMAGE_BLOCKS, TEXT_BLOCKS = "image_encoder.transformer.resblocks", "text_encoder.transformer.resblocks"
COUNT = 6  # of prompts
PLAIN = "prompt_learner.complete_text_embeddings"  # of a file without prompts


def vifi_clip(seed: int = 3) -> StateDict:
    """The state dict of ViFiCLIP in trainers/vificlip.py, tuned in full."""
    state = {name: tensor for name, tensor in tiny_model(seed).state_dict().items() if name != "attn_mask"}
    visual = {name: tensor for name, tensor in state.items() if name.startswith("visual.")}
    texts = without(state, WORDS, "logit_scale", *visual)
    return (
        {name.replace("visual.", "image_encoder.", 1): tensor for name, tensor in visual.items()}
        | under("text_encoder.", texts)
        | {"logit_scale": state["logit_scale"] + 0.25}
        | {"prompt_learner.complete_text_embeddings": torch.randn(5, 77, 128)}
    )


def prompts(seed: int = 5) -> StateDict:
    """Of VLPromptLearner and the blocks: two blocks of the image tower, one of the text tower, which has no more."""
    torch.manual_seed(seed)
    return {
        "prompt_learner.ctx": torch.randn(COUNT, 128),
        "prompt_learner.token_prefix": torch.randn(5, 1, 128),
        "prompt_learner.token_suffix": torch.randn(5, 76 - COUNT, 128),
        "image_encoder.VPT": torch.randn(COUNT, 64),
        f"{IMAGE_BLOCKS}.1.VPT_shallow": torch.randn(COUNT, 64),
    }


def embedded(visual: Any, frames: torch.Tensor) -> torch.Tensor:
    """The [class] token and the patches with their positions, before the first norm: [T, 1 + patches, w]."""
    x = visual.conv1(frames).flatten(2).transpose(1, 2)
    tokens: torch.Tensor = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1)
    found: torch.Tensor = tokens + visual.positional_embedding
    return found


class CfgNode(dict[str, Any]):
    """yacs' configuration: a dictionary with attributes of its own."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.__dict__["__immutable__"] = False


def test_both_towers_are_the_files_and_the_token_embedding_is_the_bases(data_dir: Path) -> None:
    base = publish(data_dir, {"model": under("module.", vifi_clip()), "epoch": 9}, base="tiny")
    expected = tiny_model(3)
    with torch.no_grad():
        expected.token_embedding.weight.copy_(tiny_model(7).token_embedding.weight)
        texts = ["a photo of a cat.", "a photo of riding a bicycle."]
        tokens = base.text_encoder._tokenizer(texts, context_length=77)  # type: ignore[attr-defined]
        torch.testing.assert_close(base.text_encoder.encode(texts)[0], expected.encode_text(tokens))
    found = served_vectors(base.recognizer(CPU, torch.float32, keep=True), 2, 4)
    torch.testing.assert_close(found, video_vectors(expected.state_dict(), pixels(base, 2, 4)), rtol=1e-4, atol=1e-4)
    assert base.logit_scale == pytest.approx(float((expected.logit_scale.detach() + 0.25).exp()))
    assert base.temporal_kind == "mean"


def test_it_is_served_as_it_was_validated(data_dir: Path) -> None:
    published = read(data_dir, {"model": vifi_clip()}, "vifi.pth", base="tiny")
    profile = published.profile
    assert (published.method, published.text) == ("vifi", "own")
    assert [round(255 * value, 3) for value in profile.mean] == [123.675, 116.28, 103.53]
    assert [round(255 * value, 3) for value in profile.std] == [58.395, 57.12, 57.375]
    assert (profile.sampling, profile.three_crop, profile.aggregate) == ("segment_center", "vfc", "probabilities")
    assert (profile.templates, profile.interpolation, profile.frames) == (("a photo of a {}.",), "bilinear", 16)
    assert (profile.size, profile.short_side) == (32, 36)  # the base's


@torch.no_grad()
def test_learned_prompts_work_in_both_towers_of_the_same_file(data_dir: Path) -> None:
    """Against the forward passes of clip/model.py and trainers/vificlip.py, by hand."""
    learned = prompts()
    base = publish(data_dir, {"model": under("module.", without(vifi_clip(), PLAIN) | learned)}, base="tiny")
    expected: Any = tiny_model(3)
    expected.token_embedding.weight.copy_(tiny_model(7).token_embedding.weight)
    texts = ["a cat.", "riding a bicycle."]
    filled = [f"{'X ' * COUNT}{text}" for text in texts]
    tokens = base.text_encoder.inner._tokenizer(filled, context_length=77)  # type: ignore[attr-defined]
    x = expected.token_embedding(tokens)
    x = torch.cat([x[:, :1], learned["prompt_learner.ctx"].expand(2, -1, -1), x[:, 1 + COUNT :]], dim=1)
    x = expected.transformer(x + expected.positional_embedding, attn_mask=expected.attn_mask)
    rows = expected.ln_final(x)[torch.arange(2), tokens.argmax(dim=-1)] @ expected.text_projection
    torch.testing.assert_close(base.text_encoder.encode(texts)[0], rows, rtol=1e-4, atol=1e-5)

    visual, frames = expected.visual, pixels(base, 1, 3)[0]
    x = torch.cat([embedded(visual, frames), learned["image_encoder.VPT"].expand(3, -1, -1)], dim=1)
    x = visual.transformer.resblocks[0](visual.ln_pre(x))
    x = torch.cat([x[:, :-COUNT], learned[f"{IMAGE_BLOCKS}.1.VPT_shallow"].expand(3, -1, -1)], dim=1)
    x = visual.transformer.resblocks[1](x)
    found = visual.ln_post(x[:, 0]) @ visual.proj
    torch.testing.assert_close(base.tower(frames), found, rtol=1e-4, atol=1e-4)


def test_a_prompted_file_is_served_with_any_labels_as_it_was_trained(data_dir: Path) -> None:
    published = read(data_dir, {"model": vifi_clip() | prompts()}, base="tiny")
    assert (published.method, published.text) == ("vl_prompt", "own")
    assert (published.profile.templates, published.profile.frames) == (("{}.",), 32)
    assert published.state["prompts.image"].shape == (2, COUNT, 64)
    assert published.state["prompts.text"].shape == (1, COUNT, 128)


def test_prompts_change_the_digests_of_a_version(data_dir: Path) -> None:
    """So rows and features of other prompts are never taken from a cache."""
    facts = []
    for place, content in enumerate((vifi_clip(), vifi_clip() | prompts(), vifi_clip() | prompts(6))):
        directory = data_dir / f"v{place}"
        directory.mkdir()
        facts.append(write_published(directory, read(data_dir, {"model": content}, base="tiny")))
    assert len({each["digest"] for each in facts}) == len({each["text_digest"] for each in facts}) == 3


def test_the_saved_configuration_is_read_without_its_library(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a dictionary of a class of yacs, which need not be installed, and is not imported."""
    module = types.ModuleType("yacs.config")
    module.CfgNode = CfgNode  # type: ignore[attr-defined]
    monkeypatch.setattr(CfgNode, "__module__", "yacs.config")
    content = {"model": vifi_clip(), "config": CfgNode({"DATA": CfgNode({"NUM_FRAMES": 32})}), "max_accuracy": 81.2}
    file = data_dir / "vifi.pth"
    with monkeypatch.context() as installed:
        installed.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
        installed.setitem(sys.modules, "yacs.config", module)
        torch.save(content, file)
    assert b"yacs" in file.read_bytes()
    assert read_published(file, file.name, ImportOptions(base="tiny"), data_dir).profile.frames == 32
    assert "yacs" not in sys.modules


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt_learner.ctx": torch.zeros(4, 128)}, "has 4 vectors"),
        ({"prompt_learner.ctx": torch.zeros(80, 128)}, "do not fit"),
        ({"prompt_learner.ctx": torch.zeros(16, 64)}, "do not fit"),
        ({"image_encoder.VPT": torch.zeros(16, 64)}, "but not prompt_learner.ctx"),
        ({"image_encoder.VPT_deep": torch.zeros(16, 64)}, "ViFi-CLIP has none of this name"),
        ({f"{TEXT_BLOCKS}.1.VPT_shallow": torch.zeros(16, 128)}, "counted from 0"),
        (
            {"prompt_learner.ctx": torch.zeros(16, 128), f"{IMAGE_BLOCKS}.1.VPT_shallow": torch.zeros(16, 64)},
            "before the blocks 1",
        ),
        (
            {
                "prompt_learner.ctx": torch.zeros(16, 128),
                "image_encoder.VPT": torch.zeros(16, 64),
                f"{IMAGE_BLOCKS}.1.VPT_shallow": torch.zeros(8, 64),
            },
            "have one shape",
        ),
        (
            {"prompt_learner.ctx": torch.zeros(16, 128), f"{TEXT_BLOCKS}.1.VPT_shallow": torch.zeros(16, 128)},
            "do not fit",  # the tiny text tower has one block
        ),
        ({"fusion.weight": torch.zeros(2)}, "fusion.weight is not a name of ViFi-CLIP"),
        ({"text_encoder.ln_final.bias": torch.zeros(3)}, "has the shape"),
    ],
)
def test_another_file_is_refused_in_words(data_dir: Path, change: StateDict, words: str) -> None:
    with pytest.raises(WeightsUnavailable, match=words):
        read(data_dir, {"model": vifi_clip() | change}, base="tiny")


def test_without_the_bases_weights_it_says_where_to_put_them(data_dir: Path) -> None:
    (data_dir / "weights" / "tiny.safetensors").unlink()
    with pytest.raises(WeightsUnavailable, match="no token embedding") as refused:
        read(data_dir, {"model": vifi_clip()}, base="tiny")
    assert "weights/tiny.safetensors" in (refused.value.hint or "")


def test_without_a_base_the_image_tower_must_be_one_of_the_zoo(data_dir: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="No model of the zoo has this image tower") as refused:
        read(data_dir, {"model": vifi_clip()})
    assert "Name its base" in (refused.value.hint or "")


def test_deep_prompts_are_stacked_by_their_block() -> None:
    """Of both towers, whatever the order in the file; the number of blocks may differ."""
    state = {f"{TEXT_BLOCKS}.{place}.VPT_shallow": torch.full((10, 8), float(place)) for place in (10, 2, 1)}
    state |= {f"{TEXT_BLOCKS}.{place}.VPT_shallow": torch.full((10, 8), float(place)) for place in range(3, 10)}
    state |= {"prompt_learner.ctx": torch.zeros(10, 8), "image_encoder.VPT": torch.full((16, 6), 0.5)}
    found = prompts_of(state)
    assert found["prompts.text"][:, 0, 0].tolist() == [float(place) for place in range(11)]
    assert found["prompts.image"].tolist() == torch.full((1, 16, 6), 0.5).tolist()
    assert prompts_of(vifi_clip()) == {}
