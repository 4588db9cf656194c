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


@torch.no_grad()
@pytest.mark.parametrize("norm", [10.0, 1e-3], ids=["CLIP's length", "so short that the norms' eps counts"])
def test_the_transformer_is_that_of_the_formula(norm: float) -> None:
    """Method §6, written out in float64: positions, pre-norm blocks, QuickGELU, the input added, the mean over T."""
    transformer, x = head(), features(norm=norm)
    assert isinstance(transformer, TemporalTransformer)
    for name, parameter in transformer.named_parameters():
        if norm < 1 and name == "positions.weight":
            parameter.mul_(1e-3)  # as short as the features
        elif name.endswith("bias"):
            parameter.normal_(std=0.1)
    weights = {name: parameter.double() for name, parameter in transformer.named_parameters()}
    expected = written_out(x.double(), weights, transformer.heads)
    torch.testing.assert_close(transformer.eval()(x).double(), expected, rtol=1e-4, atol=1e-5)


def written_out(features: torch.Tensor, weights: dict[str, torch.Tensor], heads: int) -> torch.Tensor:
    """[B, T, d] → [B, d]."""
    batch, length, dim = features.shape
    x = features + weights["positions.weight"][:length]
    for block in range(6):
        own = {name.removeprefix(f"blocks.{block}."): w for name, w in weights.items() if f"blocks.{block}." in name}
        y = standardised(x) * own["ln_1.weight"] + own["ln_1.bias"]
        packed = (y @ own["attn.in_proj_weight"].T + own["attn.in_proj_bias"]).view(batch, length, 3, heads, -1)
        query, key, value = packed.permute(2, 0, 3, 1, 4)  # each [B, heads, T, d / heads]
        attention = (query @ key.mT / math.sqrt(dim // heads)).softmax(dim=-1)
        mixed = (attention @ value).transpose(1, 2).reshape(batch, length, dim)
        x = x + mixed @ own["attn.out_proj.weight"].T + own["attn.out_proj.bias"]
        y = standardised(x) * own["ln_2.weight"] + own["ln_2.bias"]
        hidden = y @ own["mlp.c_fc.weight"].T + own["mlp.c_fc.bias"]
        x = x + (hidden / (1 + (-1.702 * hidden).exp())) @ own["mlp.c_proj.weight"].T + own["mlp.c_proj.bias"]
    return (x + features).mean(dim=1)


def standardised(x: torch.Tensor) -> torch.Tensor:
    deviation = x - x.mean(dim=-1, keepdim=True)
    return deviation / (deviation.square().mean(dim=-1, keepdim=True) + 1e-12).sqrt()


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
