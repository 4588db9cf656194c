"""A base: a complete recogniser in fp32, as read from its files. It may be a model of the zoo or a fine-tuned version.
It can be served (`recognizer`) or trained further (`video_model`)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.vocabulary import Fusion, TemporalInit, TemporalKind
from models.image.time_blocks import attach_time_blocks
from models.image.tower import ImageTower
from models.profiles.profile import Profile
from models.recognition.recognizer import Recognizer
from models.recognition.temporal import TemporalHead, build_head
from models.recognition.video_model import VideoModel
from models.text.encoder import TextEncoder
from models.text.inner import clip_tower


@dataclass(frozen=True, slots=True)
class Bridge:
    """The model that prompts are for: their version does not hold its weights, but names it."""

    name: str
    digest: str
    text_digest: str


@dataclass(frozen=True, slots=True)
class Base:
    name: str
    architecture: str  # `lite`, or open_clip's name
    tower: ImageTower
    temporal: TemporalHead
    temporal_kind: TemporalKind
    text_encoder: TextEncoder
    profile: Profile
    dim: int  # d, width of the joint space
    logit_scale: float  # exp(s)
    text_width: int  # of the text tower the image tower was pretrained with; T-Trans has text_width // 64 heads
    digest: str
    classes: tuple[str, ...] = ()  # the classes a version was trained on
    open_labels: bool = True
    fixed_rows: Tensor | None = None  # unit rows [C, d], if the labels are closed
    prompts_for: Bridge | None = None  # of a version that consists of prompts

    def __post_init__(self) -> None:
        for module in (self.tower, self.temporal):  # training uses a copy
            module.eval().requires_grad_(False)

    @property
    def bridge(self) -> Bridge:
        """What prompts that are learned on this base are for. They take the place of its own prompts."""
        return self.prompts_for or Bridge(self.name, self.digest, self.text_encoder.digest)

    @property
    def prompt_layers(self) -> int | None:
        """Blocks of the text tower; None if it is not CLIP's."""
        tower = clip_tower(self.text_encoder)
        return tower.layers if tower else None

    @property
    def text_positions(self) -> int | None:
        """Positions of the text tower; None if it is not CLIP's."""
        tower = clip_tower(self.text_encoder)
        return tower.positions if tower else None

    def recognizer(self, device: torch.device, dtype: torch.dtype, *, keep: bool = True) -> Recognizer:
        """What answers requests. The text encoder moves to `device`. With `keep`, image tower and temporal head are
        copied; without it they are changed in place, which saves the memory of a copy."""
        tower, head = (copy.deepcopy(self.tower), copy.deepcopy(self.temporal)) if keep else (self.tower, self.temporal)
        tower.serve(device, dtype)
        head.to(device)
        self.text_encoder.module.to(device)
        return Recognizer(
            name=self.name,
            image_tower=tower,
            text_tower=self.text_encoder.encode,
            profile=self.profile,
            dim=self.dim,
            logit_scale=self.logit_scale,
            digest=self.digest,
            text_digest=self.text_encoder.digest,
            device=device,
            dtype=dtype,
            head=head,
            by_frame=head.by_frame,
            most_frames=head.most_frames,
            reads="clip" if head.reads_clip else "neighbours" if tower.mixes_time else "frame",
            attention=tower.attention if tower.attends else None,
            nbytes=sum(tensor.nbytes for tensor in _tensors(tower, head, self.text_encoder.module)),
            mixes_time=tower.mixes_time,
            classes=self.classes,
            fixed_rows=self.fixed_rows,
        )

    def video_model(
        self, kind: TemporalKind, init: TemporalInit | None = None, fusion: Fusion = "embedding"
    ) -> VideoModel:
        """A copy to train, with the temporal head `kind`. If the base has that head already, its weights are kept.
        init: how a new head starts; None: as the paper's code starts it. Raises: ValueError if the tower does not
        support the head."""
        tower = copy.deepcopy(self.tower)
        if kind == self.temporal_kind and fusion == self.profile.fusion:
            temporal = copy.deepcopy(self.temporal)
        else:
            attach_time_blocks(tower, kind, init or "shift")
            temporal = build_head(kind, dim=self.dim, text_width=self.text_width, init=init or "random", fusion=fusion)
        model = VideoModel(tower, temporal, kind, self.logit_scale)
        return model.float().requires_grad_(True)


def _tensors(*modules: nn.Module) -> Iterator[Tensor]:
    for module in modules:
        yield from module.parameters()
        yield from module.buffers()
