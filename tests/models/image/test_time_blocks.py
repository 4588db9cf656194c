"""Convolutions over time against PyTorch's own and against a hand-made shift (method §6, §20 item 5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from core.vocabulary import TemporalKind
from models.image.time_blocks import TimeConv, attach_time_blocks, on_class_token, supported_heads
from models.image.towers import TimmTower
from models.profiles.zoo import ENTRIES
from models.recognition.base import Base
from tests.models.conftest import clips, resnet_base, tiny_base


def drawn(channels: int) -> TimeConv:
    conv = TimeConv(channels, "shift")
    nn.init.normal_(conv.weight)
    return conv


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 3), clip=st.integers(1, 9), channels=st.integers(1, 9), side=st.integers(1, 3))
@torch.no_grad()
def test_it_is_a_depthwise_convolution_over_each_clip(batch: int, clip: int, channels: int, side: int) -> None:
    conv = drawn(channels)
    reference = nn.Conv1d(channels, channels, 3, padding=1, groups=channels, bias=False)
    reference.weight.copy_(conv.weight)
    x = torch.randn(batch * clip, channels, side, side)
    sequences = x.view(batch, clip, channels, side, side).permute(0, 3, 4, 2, 1).reshape(-1, channels, clip)
    expected = reference(sequences).view(batch, side, side, channels, clip).permute(0, 4, 3, 1, 2).flatten(0, 1)
    torch.testing.assert_close(conv(x, clip), expected)


@torch.no_grad()
def test_token_t1d_starts_as_tsms_shift_of_the_class_token() -> None:
    width, clip = 8, 4
    x = torch.randn(2 * clip, 5, width)  # [B·T, class + 4 patches, w]
    y = on_class_token(TimeConv(width, "shift"), x, clip)
    assert torch.equal(y[:, 1:], x[:, 1:])
    token, shifted = x[:, 0].view(2, clip, width), y[:, 0].view(2, clip, width)
    nothing = torch.zeros(2, 1)
    for channel in range(width):
        track = token[..., channel]  # [B, T]
        if channel < width // 4:
            expected = torch.cat([track[:, 1:], nothing], dim=1)  # looks ahead
        elif channel < width // 2:
            expected = torch.cat([nothing, track[:, :-1]], dim=1)  # looks back
        else:
            expected = track
        assert torch.equal(shifted[..., channel], expected)


@pytest.fixture(params=["token_conv", "conv", "conv of lite"])
def mixing(request: pytest.FixtureRequest) -> tuple[Base, TemporalKind]:
    """A base and the head that stands inside its tower."""
    if request.param == "token_conv":
        return tiny_base(), "token_conv"
    if request.param == "conv":
        return resnet_base(), "conv"
    return request.getfixturevalue("lite_base"), "conv"


@torch.no_grad()
def test_starting_as_the_identity_changes_nothing(mixing: tuple[Base, TemporalKind]) -> None:
    base, kind = mixing
    model = base.video_model(kind, "identity").eval()
    pixels = clips(2, 3)
    expected = base.tower(pixels.flatten(0, 1)).view(2, 3, -1).mean(dim=1)
    torch.testing.assert_close(model(pixels), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_frames_see_their_clip_and_no_other(mixing: tuple[Base, TemporalKind]) -> None:
    base, kind = mixing
    model = base.video_model(kind).eval()
    for parameter in model.tower.time_blocks.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    pixels = clips(2, 4)
    together = model(pixels)
    for clip, vector in zip(pixels, together, strict=True):
        torch.testing.assert_close(model(clip.unsqueeze(0))[0], vector, rtol=1e-3, atol=1e-4)
    assert (model(pixels[:, [2, 0, 3, 1]]) - together).abs().max() > 1e-4


def test_every_convolution_learns(mixing: tuple[Base, TemporalKind]) -> None:
    base, kind = mixing
    model = base.video_model(kind).train()
    model(clips(2, 3)).square().sum().backward()
    new = {name: parameter for role, name, parameter in model.parameters_by_role() if role == "head"}
    assert len(new) == len(base.tower.time_widths())
    assert all(parameter.grad is not None and (parameter.grad != 0).any() for parameter in new.values())


def test_a_block_calls_its_one_convolution_twice() -> None:
    model = tiny_base().video_model("token_conv")
    calls: list[nn.Module] = []
    for conv in model.tower.time_blocks:
        conv.register_forward_hook(lambda module, *_: calls.append(module))
    model(clips(1, 2))
    first, second = model.tower.time_blocks
    assert calls == [first, first, second, second]


@pytest.mark.parametrize(
    ("make", "kind", "has"),
    [
        (tiny_base, "conv", "mean, transformer, token_conv"),
        (resnet_base, "token_conv", "mean, transformer, conv"),
        (lambda: TimmTower(nn.Module(), 8), "token_conv", "mean, transformer"),
    ],
)
def test_a_head_that_makes_no_sense_is_refused_and_the_others_named(make: Any, kind: TemporalKind, has: str) -> None:
    made = make()
    tower = made.tower if isinstance(made, Base) else made
    with pytest.raises(ValueError, match=f"{kind}.*it supports {has}$"):
        attach_time_blocks(tower, kind)


@pytest.mark.parametrize("name", ENTRIES)
def test_the_heads_of_the_zoo_are_known_without_weights(name: str) -> None:
    by_kind = {"clip-rn50": "conv", "lite": "conv", "siglip": None, "mobileclip": None, "pe-": None}
    extra = next((head for kind, head in by_kind.items() if name.startswith(kind)), "token_conv")
    assert supported_heads(ENTRIES[name]) == ("mean", "transformer", *([extra] if extra else []))


def test_an_architecture_of_ones_own_decides_for_itself() -> None:
    own = {"embed_dim": 32, "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8}, "text_cfg": {}}
    assert supported_heads(replace(ENTRIES["clip-b16"], config=own)) == supported_heads(ENTRIES["clip-rn50"])


def test_the_built_towers_agree_with_what_is_known_of_them(lite_base: Base) -> None:
    assert tiny_base().tower.heads == supported_heads(ENTRIES["clip-b16"])
    assert resnet_base().tower.heads == supported_heads(ENTRIES["clip-rn50"])
    assert lite_base.tower.heads == supported_heads(ENTRIES["lite"])
