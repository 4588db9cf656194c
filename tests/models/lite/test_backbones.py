from __future__ import annotations

import pytest
import torch
from torch import nn

from models.lite import backbones
from models.weights.errors import WeightsUnavailable


def test_folding_changes_the_time_and_not_the_answer() -> None:
    name = backbones.NAMES[0]
    backbone = backbones.Backbone(name)
    backbone.load_state_dict(backbones.to_backbone_state(name, backbones.read_backbone_package(name)))
    backbone.eval().requires_grad_(False)
    pixels = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    _, before = backbone(pixels)
    backbones.fold_batch_norms(backbone.trunk)
    _, after = backbone(pixels)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)


def test_weights_in_another_order_are_not_taken() -> None:
    name = backbones.NAMES[0]
    state = backbones.read_backbone_package(name)
    turned = dict(reversed(list(state.items())))
    with pytest.raises(WeightsUnavailable, match="does not hold that network"):
        backbones.to_backbone_state(name, turned)
