"""Image towers: halves that make the whole, what each half learns, and what serving changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU
from torch import nn

from models.image.tower import ImageTower
from models.image.towers import clip_tower
from tests.models.conftest import CPU, clips, tiny_clip, tiny_resnet

TOWERS: list[Callable[[], ImageTower]] = [
    lambda: clip_tower(tiny_clip().visual, 32),
    lambda: clip_tower(tiny_resnet().visual, 32),
]
each_tower = pytest.mark.parametrize("make", TOWERS, ids=["vit", "resnet"])


@torch.no_grad()
@pytest.mark.parametrize("make", [tiny_clip, tiny_resnet])
def test_both_halves_make_open_clips_tower(make: Any) -> None:
    model = make()
    pixels = clips(1, 3)[0]
    torch.testing.assert_close(clip_tower(model.visual, 32)(pixels), model.encode_image(pixels))


MAP: dict[str, Any] = {"pool": "map", "proj": None}
AVERAGE: dict[str, Any] = {"pool": "avg", "proj": None, "embed_dim": 512, "image_size": 256}


@torch.no_grad()
@pytest.mark.parametrize(
    ("side", "options"),
    [
        (224, {"model_name": "vit_base_patch16_siglip_224", "embed_dim": 768, "pool": "map", "proj": "none"}),
        (384, {"model_name": "vit_pe_core_tiny_patch16_384", "embed_dim": 512} | MAP),
        (64, {"model_name": "fastvit_mci1"} | AVERAGE),
        (64, {"model_name": "fastvit_mci2"} | AVERAGE),
    ],
    ids=["siglip", "pe", "mobileclip", "mobileclip2"],
)
def test_both_halves_make_timms_towers(side: int, options: dict[str, Any]) -> None:
    visual = open_clip.timm_model.TimmModel(**options).eval()
    tower = clip_tower(visual, options["embed_dim"])
    pixels = clips(1, 1, side)[0]
    torch.testing.assert_close(tower(pixels), visual(pixels))
    assert sum(p.numel() for _, p in tower.projection_parameters()) > 0


@each_tower
def test_the_neck_is_what_learns_behind_a_frozen_trunk(make: Callable[[], ImageTower]) -> None:
    tower = make().train()
    torch.autograd.backward(tower.neck(tower.trunk(clips(1, 2)[0]).detach()).square().sum())
    learned = {name for name, parameter in tower.named_parameters() if parameter.grad is not None}
    assert learned == {name for name, _ in tower.projection_parameters()}


@each_tower
@pytest.mark.parametrize("on", [True, False])
def test_checkpointing_begins_every_block_again_in_the_backward_pass(make: Callable[[], ImageTower], on: bool) -> None:
    tower = make().train()
    tower.set_grad_checkpointing(on)
    begun: list[nn.Module] = []
    for block in blocks(tower):
        first: Any = block.ln_1 if hasattr(block, "ln_1") else block.conv1
        first.register_forward_pre_hook(lambda module, _: begun.append(module))
    torch.autograd.backward(tower(clips(1, 2)[0]).square().sum())
    assert len(begun) == len(blocks(tower)) * (2 if on else 1)


def blocks(tower: Any) -> list[nn.Module]:
    if hasattr(tower.visual, "transformer"):
        return list(tower.visual.transformer.resblocks)
    return [block for stage in ("layer1", "layer2", "layer3", "layer4") for block in getattr(tower.visual, stage)]


@pytest.mark.parametrize(("pool", "read"), [("tok", 1), ("avg", 17)])
@torch.no_grad()
def test_of_the_last_block_only_tokens_that_are_pooled_are_computed(pool: str, read: int) -> None:
    model: Any = tiny_clip(pool=pool)
    seen: list[int] = []
    model.visual.transformer.resblocks[-1].mlp.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[1]))
    tower, pixels = clip_tower(model.visual, 32), clips(1, 3)[0]
    found = tower(pixels)
    assert seen == [read]
    torch.testing.assert_close(found, model.encode_image(pixels))


@pytest.mark.parametrize("quick", [True, False])
@torch.no_grad()
def test_a_served_tower_computes_the_same_without_quick_gelu(quick: bool) -> None:
    model: Any = tiny_clip(quick_gelu=quick)
    tower, pixels = clip_tower(model.visual, 32), clips(1, 3)[0]
    expected = model.encode_image(pixels)
    tower.serve(CPU, torch.float32)
    kinds = {type(module) for module in tower.modules()}
    assert (nn.SiLU in kinds, QuickGELU in kinds, nn.GELU in kinds) == (quick, False, not quick)
    torch.testing.assert_close(tower(pixels), expected)


@each_tower
def test_a_served_tower_has_the_requested_format_and_learns_nothing(make: Callable[[], ImageTower]) -> None:
    tower = make().train()
    tower.serve(CPU, torch.bfloat16)
    assert {parameter.dtype for parameter in tower.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    assert not any(module.training for module in tower.modules())
    convolution = next(module for module in tower.modules() if isinstance(module, nn.Conv2d))
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
