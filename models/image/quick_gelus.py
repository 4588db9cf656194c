"""QuickGELU, x · sigmoid(1.702 x), as SiLU, x · sigmoid(x): with y = 1.702 x it is SiLU(y) / 1.702.

Both factors go into the products around it. SiLU is one operation in torch and in OpenVINO, QuickGELU three, each of
which moves the widest tensor of a block through memory.
"""

from __future__ import annotations

from typing import cast

import torch
from open_clip.transformer import QuickGELU
from torch import nn

_FACTOR = 1.702


@torch.no_grad()
def fold_quick_gelus(module: nn.Module) -> None:
    """In place, for inference. Every MLP of open_clip below `module` whose activation is QuickGELU computes the same as
    before, up to rounding."""
    for mlp in module.modules():
        if isinstance(mlp, nn.Sequential) and isinstance(getattr(mlp, "gelu", None), QuickGELU):
            before, after = cast("tuple[nn.Linear, nn.Linear]", (mlp.c_fc, mlp.c_proj))
            before.weight.mul_(_FACTOR)
            before.bias.mul_(_FACTOR)
            after.weight.div_(_FACTOR)
            mlp.add_module("gelu", nn.SiLU())
