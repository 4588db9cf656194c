"""Text sides: learned context vectors stand where words would, and nothing else learns."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch

from models.recognition.base import Base
from models.text.clip_encoder import ClipTextEncoder, text_width
from models.text.sentence_encoder import SentenceTextEncoder
from tests.models.conftest import tiny_base, tiny_clip

LONG = "cat " * 400


@pytest.fixture(params=["clip", "lite"])
def base(request: pytest.FixtureRequest) -> Base:
    return tiny_base() if request.param == "clip" else request.getfixturevalue("lite_base")


def words(base: Base, text: str) -> torch.Tensor:
    """The text tower's own vectors of a text's tokens, without start and end mark [M, w]."""
    texts: Any = base.text_encoder
    if isinstance(texts, ClipTextEncoder):
        tokens = open_clip.get_tokenizer("ViT-B-16-quickgelu")([text])[0]
        embedded = texts.module.get_submodule("token_embedding")(tokens[1 : int(tokens.argmax())])
    else:
        module: Any = texts.module
        embedded = module.encoder.words(torch.tensor(module.tokenizer.encode(text).ids[1:-1]))
    return embedded.detach()  # type: ignore[no-any-return]


def test_context_vectors_stand_where_words_would(base: Base) -> None:
    expected, _ = base.text_encoder.encode(["a video of cats", "a video of a very large dog in a garden"])
    context = words(base, "a video of")
    actual = base.text_encoder.encode_with_context(["cats", "a very large dog in a garden"], context)
    assert context.shape[1] == base.text_encoder.context_width
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_only_the_context_learns(base: Base) -> None:
    context = words(base, "a video of").requires_grad_(True)
    torch.autograd.backward(base.text_encoder.encode_with_context(["cats", LONG], context).square().sum())
    assert context.grad is not None
    assert (context.grad != 0).all(dim=1).any()
    assert not any(parameter.requires_grad for parameter in base.text_encoder.module.parameters())


def test_texts_are_encoded_without_gradient(base: Base) -> None:
    vectors, truncated = base.text_encoder.encode(["cats", LONG])
    assert vectors.shape == (2, base.dim)
    assert not vectors.requires_grad
    assert not vectors.is_inference()  # a training loop may use them
    assert truncated == [False, True]


def test_what_is_cut_is_the_end(base: Base) -> None:
    context = words(base, "a video of")
    one, other = base.text_encoder.encode_with_context([LONG + "and a dog", LONG + "and a horse"], context)
    torch.testing.assert_close(one, other)


def test_a_bidirectional_tower_learns_no_context() -> None:
    model: Any = tiny_clip()
    model.attn_mask = None
    texts = ClipTextEncoder(model, "ViT-B-16-quickgelu")
    assert texts.context_width is None
    with pytest.raises(TypeError, match="cannot learn a context"):
        texts.encode_with_context(["cats"], torch.zeros(4, 64))


CUSTOM = {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}


def custom_clip(**text: Any) -> Any:
    """A model whose text tower is a module of its own, as PE-Core's and MobileCLIP2's."""
    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 8}
    return open_clip.CustomTextCLIP(embed_dim=32, vision_cfg=vision, text_cfg=CUSTOM | text).eval()


@torch.no_grad()
@pytest.mark.parametrize(("options", "read"), [({}, 8), ({"no_causal_mask": True}, 32)], ids=["causal", "whole"])
def test_a_tower_of_its_own_is_trimmed_only_under_a_causal_mask(options: dict[str, Any], read: int) -> None:
    model = custom_clip(**options)
    tokens = open_clip.get_tokenizer("PE-Core-B-16")(["a cat", "riding a bicycle on a road"])  # [2, 32]
    expected = model.encode_text(tokens)
    encoder = ClipTextEncoder(model, "PE-Core-B-16")
    lengths: list[int] = []
    model.text.ln_final.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    vectors, truncated = encoder.encode(["a cat", "riding a bicycle on a road"])
    torch.testing.assert_close(vectors, expected)
    assert lengths == [read]
    assert truncated == [False, False]
    assert encoder.encode([LONG])[1] == [True]
    assert (encoder.context_width is None) == bool(options)


def test_the_scale_changes_no_row_and_no_digest() -> None:
    model: Any = tiny_clip()
    with torch.no_grad():
        model.logit_scale += 1
    assert ClipTextEncoder(model, "ViT-B-16-quickgelu").digest == tiny_base().text_encoder.digest


@torch.no_grad()
def test_texts_have_open_clips_vectors() -> None:
    texts = ["cats", "a very large dog in a garden", LONG]
    expected = open_clip.CLIP.encode_text(tiny_clip(), open_clip.get_tokenizer("ViT-B-16-quickgelu")(texts))
    torch.testing.assert_close(tiny_base().text_encoder.encode(texts)[0], expected, rtol=1e-4, atol=1e-5)


def test_the_image_tower_does_not_stay_in_memory() -> None:
    module = tiny_base().text_encoder.module
    assert not [name for name, _ in module.named_parameters() if name.startswith("visual.")]


def test_the_width_is_the_towers_own() -> None:
    assert text_width(tiny_clip()) == 64
    assert tiny_base().text_width == 64


def test_lite_reads_with_its_sentence_encoder(lite_base: Base) -> None:
    assert isinstance(lite_base.text_encoder, SentenceTextEncoder)
    assert lite_base.text_width == lite_base.dim == 384
