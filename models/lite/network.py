"""The modules of `lite`: two image networks with their alignment, and the sentence encoder."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from models.image.time_blocks import CNN_HEADS, TimeConv
from models.image.tower import ImageTower, NamedParameters
from models.lite import alignment, backbones
from models.text import minilm
from models.text.sentence_encoder import SentenceTextEncoder


class AlignedBackbone(nn.Module):
    """One image network with both of its alignments, ConSE and ridge."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.backbone = backbones.Backbone(name)
        self.projection = nn.Parameter(torch.empty(backbones.WIDTH, minilm.WIDTH))  # P [F, d]

    def forward(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """[N, 3, S, S] → ConSE and ridge vectors, float32 [2, N, d]."""
        return self.align(self.backbone.features(pixels), targets)

    def align(self, features: Tensor, targets: Tensor) -> Tensor:
        """[N, F] → ConSE and ridge vectors, float32 [2, N, d]."""
        logits = self.backbone.classifier(features)  # [N, C]
        return torch.stack([alignment.conse(logits, targets), features @ self.projection])  # [2, N, d]


class LiteModel(nn.Module):
    """Both towers and their alignment. The names of its tensors are those of the file, so they must not change."""

    targets: Tensor
    centre: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.eyes = cast("list[AlignedBackbone]", nn.ModuleList(AlignedBackbone(name) for name in backbones.NAMES))
        self.encoder = minilm.MiniLM()
        self.register_buffer("targets", torch.empty(backbones.CLASSES, minilm.WIDTH))  # centred E [C, d]
        self.register_buffer("centre", torch.empty(minilm.WIDTH))  # mean of E [d]


class LiteTower(ImageTower):
    """The image half. Its features lie in the sentence encoder's centred space. The trunk is both networks up to their
    pooled features; the neck is what follows: ImageNet classifiers and ridge projections."""

    heads = CNN_HEADS
    targets: Tensor

    def __init__(self, model: LiteModel) -> None:
        super().__init__()
        self.dim = minilm.WIDTH
        self.eyes = model.eyes
        self.register_buffer("targets", model.targets)

    def trunk(self, pixels: Tensor, clip: int = 1) -> Tensor:
        """→ float32 [N, 2F]."""
        convs = cast("list[TimeConv]", list(self.time_blocks))
        per_network = len(convs) // len(self.eyes)
        features = [
            eye.backbone.features(pixels, convs[i * per_network : (i + 1) * per_network], clip, self._step)
            for i, eye in enumerate(self.eyes)
        ]  # each [N, F]
        return torch.cat(features, dim=1)

    def neck(self, x: Tensor) -> Tensor:
        features = torch.split(x, backbones.WIDTH, dim=1)  # each [N, F]
        aligned = [eye.align(part, self.targets) for eye, part in zip(self.eyes, features, strict=True)]  # [2, N, d]
        by_probability, by_projection = torch.stack(aligned).sum(dim=0)  # [N, d], [N, d]
        return alignment.combine(by_probability, by_projection)

    def projection_parameters(self) -> NamedParameters:
        return (item for item in self.named_parameters() if ".classifier." in item[0] or ".projection" in item[0])

    def time_widths(self) -> list[int]:
        return [width for eye in self.eyes for width in eye.backbone.late_widths()]

    def serve(self, device: torch.device, dtype: torch.dtype) -> None:
        """Only the convolutions change type. Classifiers and alignment are small and stay float32."""
        self.eval().requires_grad_(False).to(device)
        self.time_blocks.to(dtype)
        for eye in self.eyes:
            backbones.fold_batch_norms(eye.backbone.trunk)
            eye.backbone.trunk.to(dtype=dtype).to(memory_format=torch.channels_last)


def lite_text_encoder(model: LiteModel, tokenizer: Path, digest: str) -> SentenceTextEncoder:
    """The text half. tokenizer: its file."""
    return SentenceTextEncoder(model.encoder, model.centre, minilm.open_minilm_tokenizer(tokenizer), digest)
