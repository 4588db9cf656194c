"""The image towers of open_clip, split into trunk and neck, with convolutions over time where they fit."""

from __future__ import annotations

from typing import Any, cast

import open_clip
import torch
from timm.layers.attention_pool import AttentionPoolLatent
from torch import Tensor, nn

from core.vocabulary import TemporalKind
from models.image.attention import class_token_row, latent_row, pooling_row
from models.image.plain_attention import attend
from models.image.quick_gelus import fold_quick_gelus
from models.image.time_blocks import CNN_HEADS, OTHER_HEADS, VIT_HEADS, TimeConv, on_class_token
from models.image.tower import ImageTower, NamedParameters


class ClipTower(ImageTower):
    """What the three kinds share. visual: open_clip's module; its parameters have the names of open_clip's
    checkpoints."""

    neck_names: tuple[str, ...]  # prefixes of the neck's parameters

    def __init__(self, visual: Any, dim: int, heads: tuple[TemporalKind, ...]) -> None:
        super().__init__()
        self.visual = visual
        self.dim = dim
        self.heads = heads

    def projection_parameters(self) -> NamedParameters:
        return (item for item in self.named_parameters() if item[0].startswith(self.neck_names))


class VitTower(ClipTower):
    """The neck is the projection after the last norm."""

    neck_names = ("visual.proj",)

    def __init__(self, visual: Any) -> None:
        has_class_token = visual.pool_type == "tok" and visual.attn_pool is None
        super().__init__(visual, visual.output_dim, VIT_HEADS if has_class_token else OTHER_HEADS)
        self._has_class_token = has_class_token

    def trunk(self, pixels: Tensor, clip: int = 1) -> Tensor:
        """→ [N, w]."""
        x, tokens = self._before_last(pixels, clip)
        x = self._last_block(x, clip)[:, :tokens]  # [N, 1, w] or [N, patches + 1, w]
        pooled: Tensor = self.visual._pool(x)[0]  # [N, w]
        return pooled

    @property
    def attends(self) -> bool:
        last = self.visual.transformer.resblocks[-1]
        return self._has_class_token and isinstance(last.attn, nn.MultiheadAttention)

    def _attention(self, pixels: Tensor, clip: int) -> Tensor:
        x, tokens = self._before_last(pixels, clip)
        if self.mixes_time:
            x = on_class_token(cast(TimeConv, self.time_blocks[-1]), x, clip)
        last = self.visual.transformer.resblocks[-1]
        row = class_token_row(last.attn, last.ln_1(x))  # [N, 1 + patches + n]
        return row[:, 1:tokens].reshape(len(x), *self.visual.grid_size)  # [N, h, h]

    def _before_last(self, pixels: Tensor, clip: int) -> tuple[Tensor, int]:
        """The tokens that the last block reads, [N, 1 + patches + n, w], and their number without prompts."""
        x = self.visual._embeds(pixels)  # [N, 1 + patches, w]
        tokens = x.shape[1]
        for place in range(self._blocks - 1):
            x = self._block(place, self._prompted(x, place, tokens), clip)
        return self._prompted(x, self._blocks - 1, tokens), tokens

    def _block(self, place: int, x: Tensor, clip: int) -> Tensor:
        block = self.visual.transformer.resblocks[place]
        if self.mixes_time:
            return self._step(_token_block, block, self.time_blocks[place], x, clip)
        return self._step(block, x)

    def _last_block(self, x: Tensor, clip: int) -> Tensor:
        """Where only the [class] token is pooled, nothing else of the last block is computed: [N, L, w] → [N, 1, w]."""
        block = self.visual.transformer.resblocks[-1]
        if not self._has_class_token or not isinstance(block, open_clip.transformer.ResidualAttentionBlock):
            return self._block(self._blocks - 1, x, clip)
        conv = self.time_blocks[-1] if self.mixes_time else None
        return self._step(_class_token_block, block, conv, x, clip)

    @property
    def _blocks(self) -> int:
        return len(self.visual.transformer.resblocks)

    @property
    def prompt_places(self) -> tuple[int, int]:
        return self._blocks, self.visual.transformer.width

    def _prompted(self, x: Tensor, place: int, tokens: int) -> Tensor:
        """The tokens before a block, with its prompts after them (method §12). Prompts have no position; those of the
        first block pass the norm before it like all tokens, later ones replace what became of those before."""
        if self.prompts is None or place >= len(self.prompts):
            return x
        prompts = self.prompts[place].to(x.dtype)  # [n, w]
        if place == 0:
            prompts = self.visual.ln_pre(prompts)
        return torch.cat([x[:, :tokens], prompts.expand(x.shape[0], -1, -1)], dim=1)

    def serve(self, device: torch.device, dtype: torch.dtype) -> None:
        fold_quick_gelus(self.visual)
        super().serve(device, dtype)

    def neck(self, x: Tensor) -> Tensor:
        features: Tensor = x @ self.visual.proj  # [N, d]
        return features

    def time_widths(self) -> list[int]:
        return [self.visual.transformer.width] * self._blocks


class ResNetTower(ClipTower):
    """The neck is the attention pooling, which ends with the projection."""

    neck_names = ("visual.attnpool.",)

    def __init__(self, visual: Any) -> None:
        super().__init__(visual, visual.output_dim, CNN_HEADS)

    def trunk(self, pixels: Tensor, clip: int = 1) -> Tensor:
        """→ [N, w, h, h]."""
        visual, late = self.visual, self._late()
        x: Tensor = visual.stem(pixels)  # [N, C, H, W]
        for stage in (visual.layer1, visual.layer2, *(() if self.mixes_time else (visual.layer3, visual.layer4))):
            for block in stage:
                x = self._step(block, x)
        for block, conv in zip(late, self.time_blocks, strict=False):
            x = self._step(_bottleneck, block, conv, x, clip)
        return x

    def neck(self, x: Tensor) -> Tensor:
        features: Tensor = self.visual.attnpool(x)  # [N, d]
        return features

    @property
    def attends(self) -> bool:
        return True

    def _attention(self, pixels: Tensor, clip: int) -> Tensor:
        x = self.trunk(pixels, clip)  # [N, w, h, h]
        return pooling_row(self.visual.attnpool, x)[:, 1:].reshape(len(x), *x.shape[2:])  # [N, h, h]

    def time_widths(self) -> list[int]:
        return [block.conv1.in_channels for block in self._late()]

    def _late(self) -> list[Any]:
        """res4 and res5."""
        return [*self.visual.layer3, *self.visual.layer4]


class TimmTower(ClipTower):
    """timm's networks in open_clip (SigLIP, MobileCLIP, PE). The neck is everything after their last feature map."""

    neck_names = ("visual.head.", "visual.trunk.attn_pool.", "visual.trunk.fc_norm.", "visual.trunk.head.")

    def __init__(self, visual: Any, dim: int) -> None:
        super().__init__(visual, dim, OTHER_HEADS)

    def trunk(self, pixels: Tensor, clip: int = 1) -> Tensor:  # noqa: ARG002 -- frames are independent
        """→ [N, patches, w] or [N, w, h, h]."""
        x: Tensor = self.visual.trunk.forward_features(pixels)
        return x

    def neck(self, x: Tensor) -> Tensor:
        features: Tensor = self.visual.head(self.visual.trunk.forward_head(x))  # [N, d]
        return features

    @property
    def attends(self) -> bool:
        pool = getattr(self.visual.trunk, "attn_pool", None)
        return isinstance(pool, AttentionPoolLatent) and pool.latent_len == 1

    def _attention(self, pixels: Tensor, clip: int) -> Tensor:
        trunk = self.visual.trunk
        row = latent_row(trunk.attn_pool, self.trunk(pixels, clip))  # [N, prefix + patches]
        return row[:, trunk.num_prefix_tokens :].reshape(len(pixels), *trunk.patch_embed.grid_size)  # [N, h, h]

    def set_grad_checkpointing(self, on: bool) -> None:
        self.visual.trunk.set_grad_checkpointing(on)


def clip_tower(visual: Any, dim: int) -> ImageTower:
    """The tower for an open_clip image tower. dim: d."""
    if isinstance(visual, open_clip.transformer.VisionTransformer):
        return VitTower(visual)
    if isinstance(visual, open_clip.modified_resnet.ModifiedResNet):
        return ResNetTower(visual)
    return TimmTower(visual, dim)


def _token_block(block: Any, conv: TimeConv, x: Tensor, clip: int) -> Tensor:
    """open_clip's ResidualAttentionBlock with TokenT1D before the attention and before the MLP. In both places it comes
    before the residual path branches off (T4V clip/model.py). [B·clip, 1 + patches, w] → the same shape."""
    x = on_class_token(conv, x, clip)
    x = x + block.ls_1(block.attention(q_x=block.ln_1(x)))
    x = on_class_token(conv, x, clip)
    out: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return out


def _class_token_block(block: Any, conv: TimeConv | None, x: Tensor, clip: int) -> Tensor:
    """What open_clip's ResidualAttentionBlock, or `_token_block` with `conv`, makes of the first token: [N, L, w] →
    [N, 1, w]. The others are only read: a sixth of the block's multiplications remain."""
    if conv is not None:
        x = on_class_token(conv, x, clip)
    y = block.ln_1(x)  # [N, L, w]
    token = x[:, :1] + block.ls_1(attend(block.attn, y[:, :1], y, y)[0])  # [N, 1, w]
    if conv is not None:
        token = on_class_token(conv, token, clip)
    out: Tensor = token + block.ls_2(block.mlp(block.ln_2(token)))
    return out


def _bottleneck(block: Any, conv: TimeConv, x: Tensor, clip: int) -> Tensor:
    """open_clip's Bottleneck with T1D on its residual branch. [B·clip, C, H, W] → the same for the block's output."""
    y = block.act1(block.bn1(block.conv1(conv(x, clip))))
    y = block.avgpool(block.act2(block.bn2(block.conv2(y))))
    y = block.bn3(block.conv3(y))
    shortcut = x if block.downsample is None else block.downsample(x)
    out: Tensor = block.act3(y + shortcut)
    return out
