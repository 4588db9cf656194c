"""Self-attention in the form in which it is exported computes what torch's own computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.image.plain_attention import plain_attention

TOKENS = torch.randn(3, 7, 24, generator=torch.Generator().manual_seed(0))  # [N, L, w]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@torch.no_grad()
def test_it_computes_the_same(bias: bool, masked: bool) -> None:
    torch.manual_seed(1)
    attention = nn.MultiheadAttention(24, 4, bias=bias, batch_first=True).eval()
    if bias:
        nn.init.normal_(attention.in_proj_bias)
        nn.init.normal_(attention.out_proj.bias)
    mask = torch.full((7, 7), -torch.inf).triu(1) if masked else None
    expected, _ = attention(TOKENS, TOKENS, TOKENS, need_weights=False, attn_mask=mask)
    with plain_attention(nn.Sequential(attention)):
        found, weights = attention(TOKENS, TOKENS, TOKENS, need_weights=False, attn_mask=mask)
    assert weights is None
    assert torch.allclose(found, expected, atol=1e-6)


def test_modules_are_as_before_afterwards() -> None:
    attention = nn.MultiheadAttention(24, 4, batch_first=True)
    with plain_attention(attention):
        assert "forward" in vars(attention)
    assert "forward" not in vars(attention)


@pytest.mark.parametrize(
    "attention",
    [
        nn.MultiheadAttention(24, 4),
        nn.MultiheadAttention(24, 4, batch_first=True, add_bias_kv=True),
        nn.MultiheadAttention(24, 4, batch_first=True, add_zero_attn=True),
        nn.MultiheadAttention(24, 4, batch_first=True, kdim=12),
    ],
)
def test_other_kinds_of_attention_stay_as_they_are(attention: nn.MultiheadAttention) -> None:
    with plain_attention(attention):
        assert "forward" not in vars(attention)
