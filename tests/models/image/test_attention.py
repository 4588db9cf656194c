"""Attention maps, computed here a second time: softmax(QKᵀ / √w) by hand, and the weights that torch and timm give."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from torch.nn.functional import multi_head_attention_forward

from models.image.attention import attention_row
from models.image.time_blocks import attach_time_blocks
from models.image.towers import clip_tower
from tests.models.conftest import CPU, clips, tiny_clip, tiny_resnet


def test_a_row_by_hand() -> None:
    """Two heads of width 1. First head: q = 1, keys 0 and ln 3: 1/4 and 3/4. Second: q = 2, keys 0 and 0: 1/2, 1/2."""
    keys = torch.tensor([[[0.0, 0.0], [1.0986123, 0.0]]])  # [N, L, w]
    row = attention_row(torch.tensor([[1.0, 2.0]]), keys, heads=2)
    torch.testing.assert_close(row, torch.tensor([[0.375, 0.625]]))


def test_the_logits_of_a_head_are_divided_by_the_root_of_its_width() -> None:
    """One head of width 4: q·k is 0 and 2 ln 3, divided by 2: ln 3."""
    keys = torch.tensor([[[0.0, 0.0, 0.0, 0.0], [2.1972246, 0.0, 0.0, 0.0]]])
    row = attention_row(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), keys, heads=1)
    torch.testing.assert_close(row, torch.tensor([[0.25, 0.75]]))


def by_hand(block: Any, x: torch.Tensor, heads: int) -> torch.Tensor:
    """softmax(QKᵀ / √w) of a block's attention, one head after the other: [N, heads, L, L]."""
    y, width = block.ln_1(x), x.shape[-1] // heads
    q, k, _ = (y @ block.attn.in_proj_weight.T + block.attn.in_proj_bias).chunk(3, dim=-1)
    found = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        found.append((q[..., part] @ k[..., part].transpose(1, 2) / width**0.5).softmax(dim=-1))
    return torch.stack(found, dim=1)


@torch.no_grad()
@pytest.mark.parametrize("prompts", [0, 3])
def test_a_vit_gives_the_class_tokens_row_of_the_last_block(prompts: int) -> None:
    visual: Any = tiny_clip().visual
    tower, pixels = clip_tower(visual, 32), clips(1, 2)[0]
    x = visual._embeds(pixels)
    blocks = visual.transformer.resblocks
    if prompts:
        learned = torch.randn(1, prompts, 64)
        tower.add_prompts(learned)
        x = torch.cat([x, visual.ln_pre(learned[0]).expand(2, -1, -1)], dim=1)
    weights = by_hand(blocks[1], blocks[0](x), heads=2).mean(dim=1)  # [N, L, L]
    found = tower.attention(pixels)
    assert tower.attends
    assert found.shape == (2, 4, 4)
    torch.testing.assert_close(found.flatten(1), weights[:, 0, 1:17])
    of_torch = blocks[1].attn(*[blocks[1].ln_1(blocks[0](x))] * 3)[1]  # averaged over heads
    torch.testing.assert_close(found.flatten(1), of_torch[:, 0, 1:17])
    assert float(found.sum(dim=(1, 2)).max()) < 1


@torch.no_grad()
def test_a_vit_with_convolutions_over_time_attends_to_what_they_made() -> None:
    visual: Any = tiny_clip().visual
    tower = clip_tower(visual, 32)
    attach_time_blocks(tower, "token_conv")
    pixels = clips(1, 4)[0]
    seen: list[torch.Tensor] = []
    hook = visual.transformer.resblocks[1].ln_1.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    tower.trunk(pixels, 4)  # the block of the forward pass norms what its attention reads
    hook.remove()
    weights = by_hand(visual.transformer.resblocks[1], seen[0], heads=2).mean(dim=1)
    torch.testing.assert_close(tower.attention(pixels, 4).flatten(1), weights[:, 0, 1:])


@torch.no_grad()
def test_a_resnet_of_clip_gives_its_poolers_row() -> None:
    visual: Any = tiny_resnet().visual
    tower, pixels, pool = clip_tower(visual, 32), clips(1, 2)[0], visual.attnpool
    x = tower.trunk(pixels)
    tokens = x.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(dim=0, keepdim=True), tokens]) + pool.positional_embedding[:, None]
    bias = torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias])
    pooled, weights = multi_head_attention_forward(
        tokens, tokens, tokens, tokens.shape[-1], pool.num_heads, None, bias, None, None, False, 0.0,
        pool.c_proj.weight, pool.c_proj.bias, use_separate_proj_weight=True, need_weights=True, training=False,
        q_proj_weight=pool.q_proj.weight, k_proj_weight=pool.k_proj.weight, v_proj_weight=pool.v_proj.weight,
    )  # fmt: skip
    torch.testing.assert_close(pooled[0], tower.neck(x))  # so these are the weights that make the vector
    assert weights is not None
    torch.testing.assert_close(tower.attention(pixels).flatten(1), weights[:, 0, 1:])


@torch.no_grad()
def test_a_tower_that_pools_by_a_latent_gives_the_latents_row() -> None:
    """PE: the row, applied to the values, is what its pooler makes."""
    visual = open_clip.timm_model.TimmModel("vit_pe_core_tiny_patch16_384", embed_dim=512, pool="map", proj=None).eval()
    tower, pixels = clip_tower(visual, 512), clips(1, 1, 384)[0]
    pool = visual.trunk.attn_pool
    torch.nn.init.normal_(pool.latent)
    found = tower.attention(pixels)
    assert found.shape == (1, 24, 24)
    x = tower.trunk(pixels)
    k, v = (part.unflatten(-1, (pool.num_heads, -1)).transpose(1, 2) for part in pool.kv(x).chunk(2, dim=-1))
    q = pool.q_norm(pool.q(pool.latent).unflatten(-1, (pool.num_heads, -1)).transpose(1, 2))  # [1, heads, 1, w]
    weights = (q @ pool.k_norm(k).transpose(-1, -2) * pool.scale).softmax(dim=-1)  # [N, heads, 1, L]
    pooled = pool.proj((weights @ v).transpose(1, 2).flatten(2))
    pooled = pooled + pool.mlp(pool.norm(pooled))
    torch.testing.assert_close(pooled[:, 0], pool(x), rtol=1e-4, atol=1e-4)
    expected = weights.mean(dim=1)[:, 0, visual.trunk.num_prefix_tokens :]
    torch.testing.assert_close(found.flatten(1), expected)


def test_a_tower_that_averages_over_places_says_so() -> None:
    visual = open_clip.timm_model.TimmModel("fastvit_mci1", embed_dim=512, image_size=256, pool="avg", proj=None).eval()
    tower = clip_tower(visual, 512)
    assert not tower.attends
    with pytest.raises(TypeError, match="does not attend"):
        tower.attention(clips(1, 1, 64)[0])


@torch.no_grad()
def test_a_served_tower_in_bf16_gives_nearly_the_same_map() -> None:
    tower, pixels = clip_tower(tiny_clip().visual, 32), clips(1, 2)[0]
    plain = tower.attention(pixels)
    tower.serve(CPU, torch.bfloat16)
    served = tower.attention(pixels.bfloat16())
    assert served.dtype == torch.float32
    torch.testing.assert_close(served, plain, rtol=0.1, atol=0.01)
