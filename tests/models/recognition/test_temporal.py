"""Temporal heads against the numbers of the paper's code (method §6, §20 item 4)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from models.recognition.temporal import MeanPool, TemporalTransformer, build_head

DIM = 64


def features(frames: int = 8, dim: int = DIM, norm: float = 10.0) -> torch.Tensor:
    """Like CLIP's: frames of a clip resemble each other, and their length is about ten."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(16, 1, dim, generator=generator)
    x = common + 0.5 * torch.randn(16, frames, dim, generator=generator)
    return norm * nn.functional.normalize(x, dim=-1)


def head(init: str = "random", dim: int = DIM) -> nn.Module:
    torch.manual_seed(0)
    return build_head("transformer", dim=dim, text_width=dim * 2, init="identity" if init == "identity" else "random")


@torch.no_grad()
def test_the_mean_knows_no_order_and_the_transformer_does() -> None:
    x = features()
    backwards = x.flip(dims=(1,))
    torch.testing.assert_close(MeanPool()(backwards), MeanPool()(x))
    transformer = head().eval()
    assert (transformer(backwards) - transformer(x)).abs().max() > 1e-3


@torch.no_grad()
def test_identity_starts_as_the_mean_and_random_does_not() -> None:
    x = features(dim=512)
    mean = MeanPool()(x)
    assert cosine_similarity(head("identity", 512).eval()(x), mean).min() > 0.9999
    assert cosine_similarity(head("random", 512).eval()(x), mean).mean() < 0.8  # method §6: about 0.68


def test_identity_learns_from_its_first_step() -> None:
    transformer = head("identity")
    (transformer(features()) * torch.randn(16, DIM)).sum().backward()
    gradients = {name: parameter.grad for name, parameter in transformer.named_parameters()}
    moved = {name for name, gradient in gradients.items() if gradient is not None and gradient.any()}
    assert "positions.weight" in moved
    assert {f"blocks.{i}.mlp.c_proj.weight" for i in range(6)} <= moved
    assert {f"blocks.{i}.attn.out_proj.weight" for i in range(6)} <= moved


@pytest.mark.parametrize(("dim", "heads", "millions"), [(512, 8, 18.95), (768, 12, 42.6)])
def test_the_size_is_the_papers(dim: int, heads: int, millions: float) -> None:
    with torch.device("meta"):
        transformer = TemporalTransformer(dim, heads)
    assert sum(p.numel() for p in transformer.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_the_initial_weights_are_drawn_as_in_the_released_code() -> None:
    dim = 512
    weights = dict(head(dim=dim).named_parameters())
    for name in ("positions.weight", "blocks.0.mlp.c_fc.weight", "blocks.5.attn.out_proj.weight"):
        assert float(weights[name].detach().std()) == pytest.approx(0.02, rel=0.02)
    xavier = math.sqrt(6 / (dim + 3 * dim))
    packed = weights["blocks.0.attn.in_proj_weight"].detach()
    assert packed.abs().max() <= xavier
    assert float(packed.std()) == pytest.approx(xavier / math.sqrt(3), rel=0.02)  # uniform, not N(0, 0.02)
    assert all((value == 0).all() for name, value in weights.items() if name.endswith("bias"))


def test_more_frames_than_positions_are_refused() -> None:
    transformer = head()
    assert transformer(features(77)).shape == (16, DIM)
    with pytest.raises(ValueError, match="at most 77 frames, not 78"):
        transformer(features(78))


@pytest.mark.parametrize(("dim", "text_width", "heads"), [(512, 512, 8), (768, 768, 12), (1024, 512, 8), (32, 32, 1)])
def test_the_heads_follow_the_text_tower(dim: int, text_width: int, heads: int) -> None:
    with torch.device("meta"):
        built = build_head("transformer", dim=dim, text_width=text_width)
    assert isinstance(built, TemporalTransformer)
    assert built.blocks[0].get_submodule("attn").num_heads == heads


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="7 heads do not divide a width of 512"):
        build_head("transformer", dim=512, text_width=448)


@pytest.mark.parametrize("kind", ["mean", "token_conv", "conv"])
def test_heads_inside_the_tower_pool_by_the_mean(kind: str) -> None:
    built = build_head("mean" if kind == "mean" else "conv" if kind == "conv" else "token_conv", dim=8, text_width=64)
    assert isinstance(built, MeanPool)
