"""Deep prompts in both towers (method §12), against an independent forward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.text.clip_encoder import ClipTextEncoder
from models.text.context_encoder import ContextTextEncoder
from tests.models.conftest import clips, resnet_base, tiny_base, tiny_clip

WIDTH, TOKENS = 64, 3


def prompts(depth: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(depth, TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("depth", [1, 2])
def test_prompts_of_the_image_tower_follow_the_patches_and_are_replaced_in_each_block(depth: int) -> None:
    base, learned = tiny_base(), prompts(depth)
    pixels = clips(1, 2)[0]  # [N, 3, S, S]
    plain = base.tower(pixels)
    base.tower.add_prompts(learned)
    found = base.tower(pixels)
    visual: Any = tiny_clip().visual
    x = visual._embeds(pixels)
    x = torch.cat([x, visual.ln_pre(learned[0]).expand(2, -1, -1)], dim=1)
    for place, block in enumerate(visual.transformer.resblocks):
        if 0 < place < depth:
            x[:, -TOKENS:] = learned[place]
        x = block(x)
    expected = visual.ln_post(x[:, 0]) @ visual.proj
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found, plain, atol=1e-3)


@pytest.mark.parametrize("depth", [1, 2])
def test_prompts_of_the_text_tower_follow_the_start_token_and_are_replaced_in_each_block(depth: int) -> None:
    encoder, learned = tiny_base().text_encoder, prompts(depth)
    assert isinstance(encoder, ClipTextEncoder)
    texts = ["a cat.", "two small dogs."]
    found, _ = ContextTextEncoder(encoder, learned).encode(texts)
    model: Any = tiny_clip()
    tokens = encoder._tokenizer([f"{'x ' * TOKENS}{text}" for text in texts], context_length=77)
    x = model.token_embedding(tokens)
    x[:, 1 : 1 + TOKENS] = learned[0]
    x = x + model.positional_embedding
    for place, block in enumerate(model.transformer.resblocks):
        if 0 < place < depth:
            x[:, 1 : 1 + TOKENS] = learned[place]
        x = block(x, attn_mask=model.attn_mask)
    ends = tokens.argmax(dim=-1)
    expected = model.ln_final(x)[torch.arange(2), ends] @ model.text_projection
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_prompts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        tiny_base().tower.add_prompts(prompts(3))
    with pytest.raises(ValueError, match="no tokens"):
        resnet_base().tower.add_prompts(prompts(1))
    assert (tiny_base().prompt_layers, tiny_base().tower.prompt_places) == (2, (2, WIDTH))
