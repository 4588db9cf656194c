"""Attention maps of image towers: how much of each place of a frame goes into the vector of the frame.

A map is one row of a softmax, averaged over the heads: that of the [class] token in the last block of a vision
transformer, or that of the query of a tower that pools by attention (the ResNets of CLIP, SigLIP, PE). It does not
depend on labels. What goes to no place (the [class] token itself, learned prompts) is left out, so a map sums to at
most 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear


def attention_row(query: Tensor, keys: Tensor, heads: int) -> Tensor:
    """query: [N, w]; keys: [N, L, w] → float32 [N, L]: softmax(q·k / √(w / heads)) of each head, averaged."""
    count, length, width = keys.shape
    q = query.float().view(count, heads, 1, width // heads)  # [N, heads, 1, w / heads]
    k = keys.float().view(count, length, heads, width // heads).transpose(1, 2)  # [N, heads, L, w / heads]
    logits = (q @ k.transpose(-1, -2)).squeeze(2) * (width // heads) ** -0.5  # [N, heads, L]
    row: Tensor = logits.softmax(dim=-1).mean(dim=1)  # [N, L]
    return row


def class_token_row(attention: torch.nn.MultiheadAttention, x: Tensor) -> Tensor:
    """x: [N, L, w], the tokens that the attention reads, the [class] token first → float32 [N, L]."""
    width = x.shape[-1]
    weight, bias = attention.in_proj_weight[: 2 * width], attention.in_proj_bias[: 2 * width]
    query = linear(x[:, 0], weight[:width], bias[:width])  # [N, w]
    keys = linear(x, weight[width:], bias[width:])  # [N, L, w]
    return attention_row(query, keys, attention.num_heads)


def pooling_row(pool: Any, x: Tensor) -> Tensor:
    """The row of CLIP's AttentionPool2d. x: [N, w, h, h] → float32 [N, 1 + h·h]; the first place is their mean."""
    places = x.flatten(2).transpose(1, 2)  # [N, h·h, w]
    tokens = torch.cat([places.mean(dim=1, keepdim=True), places], dim=1)  # [N, 1 + h·h, w]
    tokens = tokens + pool.positional_embedding.to(x.dtype)
    return attention_row(pool.q_proj(tokens[:, 0]), pool.k_proj(tokens), pool.num_heads)


def latent_row(pool: Any, x: Tensor) -> Tensor:
    """The row of the one latent of timm's AttentionPoolLatent. x: [N, L, w] → float32 [N, L]."""
    if pool.pos_embed is not None:
        x = x + pool.pos_embed.to(x.dtype)
    count, length, _ = x.shape
    split = pool.num_heads, pool.head_dim
    query = pool.q_norm(pool.q(pool.latent).view(1, *split))  # [1, heads, w / heads]
    keys = pool.k_norm(pool.kv(x).view(count, length, 2, *split)[:, :, 0])  # [N, L, heads, w / heads]
    return attention_row(query.flatten(1).expand(count, -1), keys.flatten(2), pool.num_heads)
