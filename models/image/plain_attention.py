"""Attention as three products, as a graph computes it fastest, and torch where queries are fewer than keys.

torch's own `MultiheadAttention` turns tokens and batch around and computes queries, keys and values in one product,
which it then takes apart. In a graph each of these steps moves all tokens through memory once more, and hides from
OpenVINO that it is attention. For queries of other tokens than the keys, it turns the tokens around and copies the
weights once per token (bf16 on a CPU: 0.5 s for four frames of ViT-B/16).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention


@contextmanager
def plain_attention(module: nn.Module) -> Iterator[None]:
    """While the block runs, the self-attentions below `module` are three products, attention and one more product."""
    replaced = [each for each in module.modules() if isinstance(each, nn.MultiheadAttention) and _is_plain(each)]
    for each in replaced:
        each.forward = MethodType(attend, each)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for each in replaced:
            del each.forward


def _is_plain(attention: nn.MultiheadAttention) -> bool:
    """Of one input of the form [N, L, w], without tokens of its own."""
    own_tokens = attention.bias_k is not None or attention.add_zero_attn
    return bool(attention.batch_first) and attention.in_proj_weight is not None and not own_tokens


def attend(
    attention: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *_: Any,
    attn_mask: Any = None,
    **__: Any,
) -> tuple[Tensor, None]:
    """query: [N, Q, w]; key, value: [N, L, w] → [N, Q, w], and no weights."""
    count, _length, width = query.shape
    heads = attention.num_heads
    weights = attention.in_proj_weight.chunk(3)  # each [w, w]
    biases = attention.in_proj_bias.chunk(3) if attention.in_proj_bias is not None else (None, None, None)
    q, k, v = (
        linear(each, weight, bias).view(count, -1, heads, width // heads).transpose(1, 2)  # [N, heads, …, w / heads]
        for each, weight, bias in zip((query, key, value), weights, biases, strict=True)
    )
    mixed = scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)  # [N, heads, Q, w / heads]
    joined = mixed.transpose(1, 2).reshape(count, -1, width)  # [N, Q, w]
    return linear(joined, attention.out_proj.weight, attention.out_proj.bias), None
