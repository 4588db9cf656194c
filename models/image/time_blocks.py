"""Convolutions over time inside the image tower (method §6, Table 8): TokenT1D for ViTs, T1D for CNNs.

Both are depth-wise, with kernel 3 and without bias. They do not mix clips, and pad with zeros before the first and
after the last frame. TokenT1D (`token_conv`) changes the [class] token only. It is applied twice in every block with
the same weights, before the attention and before the MLP, and starts as TSM's shift. The paper names T1D (`conv`) but
its code was not released. Ours is on the residual branch of each block in the last two stages (res4-res5) and starts as
the identity, so that step 0 equals the mean.
"""

from __future__ import annotations

import open_clip
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from core.vocabulary import TemporalInit, TemporalKind
from models.image.tower import ImageTower
from models.profiles.zoo import ZooEntry

SHIFT_SHARE = 4  # TSM's n_div: a quarter of the channels shifts ahead, a quarter back

CNN_HEADS: tuple[TemporalKind, ...] = ("mean", "transformer", "conv")
VIT_HEADS: tuple[TemporalKind, ...] = ("mean", "transformer", "token_conv")
OTHER_HEADS: tuple[TemporalKind, ...] = ("mean", "transformer")


class TimeConv(nn.Module):
    """A depth-wise convolution over T, for any dimensions after the channels."""

    def __init__(self, channels: int, init: str) -> None:
        """init: "shift" (TSM) or "identity"."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, 3))  # as a Conv1d's; taps: t - 1, t, t + 1
        fold = channels // SHIFT_SHARE if init == "shift" else 0
        with torch.no_grad():
            self.weight[:fold, 0, 2] = 1  # a copy of t + 1
            self.weight[fold : 2 * fold, 0, 0] = 1  # a copy of t - 1
            self.weight[2 * fold :, 0, 1] = 1

    def forward(self, x: Tensor, clip: int) -> Tensor:
        """x [B·clip, C, …] → the same shape."""
        x = x.view(-1, clip, *x.shape[1:])  # [B, T, C, …]
        padded = pad(x, (0, 0) * (x.dim() - 2) + (1, 1))  # [B, T + 2, C, …]
        shape = (-1, *(1 for _ in x.shape[3:]))
        back, here, ahead = (tap.view(shape) for tap in self.weight.to(x.dtype).squeeze(1).unbind(dim=1))  # [C, 1 …]
        y = back * padded[:, :-2] + here * x + ahead * padded[:, 2:]  # [B, T, C, …]
        return y.flatten(0, 1)


def on_class_token(conv: TimeConv, x: Tensor, clip: int) -> Tensor:
    """x [B·clip, 1 + patches, w] → the same shape: the first token convolved over time, the patches unchanged."""
    return torch.cat([conv(x[:, 0], clip).unsqueeze(1), x[:, 1:]], dim=1)


def attach_time_blocks(tower: ImageTower, kind: TemporalKind, init: TemporalInit = "shift") -> None:
    """Add the convolutions over time that the head `kind` needs inside the tower, if any.

    init: TokenT1D starts as TSM's shift (method §6), or with "identity" without it; T1D starts as the identity. Raises:
    ValueError if the tower does not support the head.
    """
    if kind not in tower.heads:
        raise ValueError(
            f"this model does not support the temporal head {kind!r}; it supports {', '.join(tower.heads)}"
        )
    if kind in ("mean", "transformer"):
        if tower.mixes_time:
            raise ValueError(
                f"this model was trained with convolutions over time, so it cannot have the temporal head {kind!r}"
            )
        return
    start = "shift" if kind == "token_conv" and init == "shift" else "identity"
    tower.time_blocks = nn.ModuleList(TimeConv(width, start) for width in tower.time_widths())


def can_be_prompted(entry: ZooEntry) -> bool:
    """Whether a model of the zoo can carry prompts in both towers: its image tower is CLIP's vision transformer."""
    return supported_heads(entry) == VIT_HEADS


def supported_heads(entry: ZooEntry) -> tuple[TemporalKind, ...]:
    """The temporal heads that a model of the zoo supports, determined without its weights."""
    if entry.architecture == "lite":
        return CNN_HEADS
    vision = (entry.config or open_clip.get_model_config(entry.architecture) or {})["vision_cfg"]
    if "timm_model_name" in vision:  # its pooling reads no [class] token, and it has no ResNet's stages
        return OTHER_HEADS
    return CNN_HEADS if isinstance(vision["layers"], list) else VIT_HEADS
