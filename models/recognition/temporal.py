"""Temporal heads: the T frame vectors of a clip become one video vector (method §6).

`mean` is the paper's TAP, `transformer` its T-Trans. `token_conv` and `conv` work inside the tower (time_blocks.py);
their head is the mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from core.vocabulary import Fusion, TemporalInit, TemporalKind

LAYERS = 6
POSITIONS = 77  # rows of the position table; Text4Vis reuses the length of CLIP's text context
HEAD_WIDTH = 64  # of one attention head in every CLIP by OpenAI: heads = width of the text tower // 64, 8 for RN50 too


class TemporalHead(nn.Module, ABC):
    """Un-normalised features [B, T, d] → video vectors [B, d]: the mean over T of one vector per frame."""

    reads_clip = False  # whether the vector of a frame depends on the other frames
    most_frames: int | None = None  # of one clip; None: any number

    @abstractmethod
    def by_frame(self, features: Tensor) -> Tensor:
        """[B, T, d] → the vectors whose mean is the video's, [B, T, d]."""

    def forward(self, features: Tensor) -> Tensor:
        return self.by_frame(features).mean(dim=1)  # [B, d]


class MeanPool(TemporalHead):
    """The mean of the features."""

    def by_frame(self, features: Tensor) -> Tensor:
        return features


class UnitMean(TemporalHead):
    """The mean of the features' unit vectors.

    Its products with unit rows are the means of the frames' cosines, so averaging logits over frames (fusion levels
    `decision` and `image`) needs no more than one vector per video. It must not be normalised afterwards.
    """

    def by_frame(self, features: Tensor) -> Tensor:
        return normalize(features.float(), dim=-1)  # [B, T, d]


class QuickGELU(nn.Module):
    """x · sigmoid(1.702 x), as in OpenAI's CLIP."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class TransformerBlock(nn.Module):
    """A pre-norm block without dropout or mask. Its parts have CLIP's names, so published weights load directly."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim, eps=1e-12)
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(dim, eps=1e-12)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(dim, 4 * dim))
        self.mlp.add_module("gelu", QuickGELU())
        self.mlp.add_module("c_proj", nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, d] → [B, T, d]."""
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class TemporalTransformer(TemporalHead):
    """T-Trans: position table, six blocks, no final norm; then the input is added and the mean over T is taken.

    `random`: N(0, 0.02) for every Linear and Embedding, zero biases. The packed in-projection of the attention is a
    bare Parameter and keeps PyTorch's Xavier-uniform, as in the released code. Untrained, such a head is not neutral
    (its cosine to the mean is about 0.68). `identity` (ours): zero output projections and positions, so that it starts
    as twice the mean. Parameters at d = 512: 18.95 M.
    """

    reads_clip = True

    def __init__(
        self, dim: int, heads: int, *, layers: int = LAYERS, positions: int = POSITIONS, init: TemporalInit = "random"
    ) -> None:
        """Raises: ValueError if `heads` does not divide `dim`."""
        super().__init__()
        if dim % heads:
            raise ValueError(f"{heads} heads do not divide a width of {dim}")
        self.heads = heads
        self.most_frames = positions
        self.positions = nn.Embedding(positions, dim)
        self.blocks = nn.ModuleList(TransformerBlock(dim, heads) for _ in range(layers))
        self.apply(_init_normal)
        if init == "identity":
            self._start_as_mean()

    def by_frame(self, features: Tensor) -> Tensor:
        """Raises: ValueError for more frames than the table has positions."""
        length, limit = features.shape[1], self.positions.num_embeddings
        if length > limit:
            raise ValueError(f"the temporal transformer reads at most {limit} frames, not {length}")
        x = features + self.positions.weight[:length]  # [B, T, d]
        for block in self.blocks:
            x = block(x)
        return x + features  # [B, T, d]

    @torch.no_grad()
    def _start_as_mean(self) -> None:
        self.positions.weight.zero_()
        for name, parameter in self.blocks.named_parameters():
            if ".attn.out_proj." in name or ".mlp.c_proj." in name:
                parameter.zero_()


def mean_head(fusion: Fusion) -> TemporalHead:
    """The head without parameters."""
    return MeanPool() if fusion == "embedding" else UnitMean()


def build_head(
    kind: TemporalKind, *, dim: int, text_width: int, init: TemporalInit = "random", fusion: Fusion = "embedding"
) -> TemporalHead:
    """The module that pools features [B, T, d] → [B, d]. text_width: of the base model's text tower, which determines
    the number of attention heads. Raises: ValueError if that number does not divide `dim`."""
    if kind == "transformer":
        return TemporalTransformer(dim, max(1, text_width // HEAD_WIDTH), init=init)
    return mean_head(fusion)


@torch.no_grad()
def _init_normal(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        module.weight.normal_(std=0.02)
    if isinstance(module, nn.Linear):
        module.bias.zero_()
