"""A base: a whole recogniser in fp32 as it came from its files, a zoo model or a fine-tuned version alike. It is served
(`recognizer`) or trained on (`video_model`)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.vocabulary import TemporalInit, TemporalKind
from models.image.time_blocks import attach
from models.profiles.profile import Profile
from models.recognition.recognizer import Recognizer
from models.recognition.temporal import build_head
from models.recognition.video_model import ImageTower, VideoModel
from models.text.encoders import TextSide


@dataclass(frozen=True, slots=True)
class Base:
    name: str
    architecture: str  # `lite`, or open_clip's name
    tower: ImageTower
    temporal: nn.Module  # [B, T, d] → [B, d]
    temporal_kind: TemporalKind
    texts: TextSide
    profile: Profile
    dim: int  # d, width of the joint space
    logit_scale: float  # exp(s)
    text_width: int  # of the text tower that the tower was pretrained with; decides the heads of T-Trans
    digest: str
    classes: tuple[str, ...] = ()  # that a version was trained on
    open_labels: bool = True
    fixed_rows: Tensor | None = None  # unit rows [C, d], where the labels are closed

    def __post_init__(self) -> None:
        for module in (self.tower, self.temporal):  # it is a copy that learns
            module.eval().requires_grad_(False)

    def recognizer(self, device: torch.device, dtype: torch.dtype, *, keep: bool = True) -> Recognizer:
        """What answers requests. The text side moves to `device` in either case; without `keep` the tower is used up as
        well, which spares a copy of it."""
        tower, head = (copy.deepcopy(self.tower), copy.deepcopy(self.temporal)) if keep else (self.tower, self.temporal)
        tower.serve(device, dtype)
        head.to(device)
        self.texts.module.to(device)
        return Recognizer(
            name=self.name,
            image_tower=tower,
            text_tower=self.texts.encode,
            profile=self.profile,
            dim=self.dim,
            logit_scale=self.logit_scale,
            digest=self.digest,
            text_digest=self.texts.digest,
            device=device,
            dtype=dtype,
            head=head,
            nbytes=sum(tensor.nbytes for tensor in _tensors(tower, head, self.texts.module)),
            mixes_time=tower.mixes_time,
            classes=self.classes,
            fixed_rows=self.fixed_rows,
        )

    def video_model(self, kind: TemporalKind, init: TemporalInit = "random") -> VideoModel:
        """A copy to train, with the temporal head `kind`; a version's own head goes on as it is. Raises: ValueError for
        a head that makes no sense on this tower."""
        tower = copy.deepcopy(self.tower)
        if kind == self.temporal_kind:
            temporal = copy.deepcopy(self.temporal)
        else:
            attach(tower, kind, init)
            temporal = build_head(kind, dim=self.dim, text_width=self.text_width, init=init)
        model = VideoModel(tower, temporal, kind, self.logit_scale)
        return model.float().requires_grad_(True)


def _tensors(*modules: nn.Module) -> Iterator[Tensor]:
    for module in modules:
        yield from module.parameters()
        yield from module.buffers()
