"""The names that requests and recognisers share: temporal heads, text inputs, precisions, and which go together.

This is the only file of `core` that `models` imports, so a name in the HTTP contract is the name that a recogniser
understands.
"""

from __future__ import annotations

from typing import Final, Literal

TemporalKind = Literal["mean", "transformer", "token_conv", "conv"]
"""Temporal head: TAP, T-Trans, TokenT1D and T1D of the Text4Vis paper (Table 8)."""

TemporalInit = Literal["random", "identity", "shift"]
"""How a new temporal head starts. `identity`: as the mean; `shift`: as TSM's shift of channels by one frame."""

HEAD_INITS: Final[dict[TemporalKind, tuple[TemporalInit, ...]]] = {
    "mean": (),
    "transformer": ("random", "identity"),
    "token_conv": ("shift", "identity"),
    "conv": ("identity",),
}
"""How each temporal head can start."""

TextInputKind = Literal["name", "template", "templates", "context"]
"""What the text tower reads for a class (paper Table A.4): its name; one template; several templates, one drawn per
step; learned context vectors before the name (CoOp, M = 4)."""

TunedPart = Literal["tower", "projection"]
"""Which part of the image tower is trained: all of it, or only its last projection."""

Solver = Literal["closed_form", "gradient"]
"""How the video half is fitted: heads on frozen features in closed form, or the training loop."""

Fusion = Literal["embedding", "decision", "image"]
"""Where frames become a video (ViFi-CLIP, Table 5). `embedding`: their vectors are averaged; `decision`: their logits
are averaged; `image`: each frame is trained as an image of its own, and their logits are averaged when it is served."""

Contrast = Literal["kl", "ce"]
"""The loss of contrastive training. `kl`: divergence from targets that clips of the same class share; `ce`:
cross-entropy, in which each clip matches its own text only."""

FrameReads = Literal["frame", "neighbours", "clip"]
"""What the share of one frame in a video vector has seen: the frame alone, also its neighbours (convolutions over time
inside the tower), or the whole clip (a temporal transformer)."""

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""The number format of the image tower. `auto`: bf16 if the hardware computes it natively, else fp32."""

EngineName = Literal["eager", "compiled", "openvino", "openvino-int8"]
"""What computes the features of frames. `eager`: torch, operation by operation; `compiled`: torch.compile; `openvino`:
OpenVINO, in the model's own precision; `openvino-int8`: OpenVINO with weights and activations of eight bits."""

EngineChoice = Literal["auto", "eager", "compiled", "openvino", "openvino-int8"]
"""`auto`: the one that costs least on this machine, of those that answer as the model does."""

Aggregate = Literal["features", "probabilities", "logits"]
"""What is averaged over the views of a video (method §9)."""

RecipeName = Literal[
    "default",
    "text4vis",
    "text4vis-2023",
    "vifi-zero-shot",
    "vifi-supervised",
    "vifi-base-to-novel",
    "vifi-few-shot",
    "vifi-prompt-base-to-novel",
    "vifi-prompt-few-shot",
]
"""A training recipe of `models.fitting.recipes`."""

MethodName = Literal["text4vis", "vision_only", "vifi", "image_only", "text_only", "contrastive", "vl_prompt"]
"""A training method of `models.fitting.methods`."""

_TEXT4VIS: Final[tuple[RecipeName, ...]] = ("default", "text4vis", "text4vis-2023")
_VIFI: Final[tuple[RecipeName, ...]] = (
    "default",
    "vifi-zero-shot",
    "vifi-supervised",
    "vifi-base-to-novel",
    "vifi-few-shot",
)

METHOD_RECIPES: Final[dict[MethodName, tuple[RecipeName, ...]]] = {
    "text4vis": _TEXT4VIS,
    "vision_only": _TEXT4VIS,
    "vifi": _VIFI,
    "image_only": _VIFI,
    "text_only": _VIFI,
    "contrastive": _TEXT4VIS,
    "vl_prompt": ("default", "vifi-prompt-base-to-novel", "vifi-prompt-few-shot"),
}
"""The recipes that each method can have."""

METHOD_FIELDS: Final[dict[MethodName, frozenset[str]]] = {
    "text4vis": frozenset({"classifier", "text_inputs", "templates", "temporal", "temporal_init", "tune"}),
    "vision_only": frozenset({"temporal", "temporal_init", "tune"}),
    "vifi": frozenset({"text_inputs", "templates", "tune", "fusion"}),
    "image_only": frozenset({"text_inputs", "templates", "tune", "fusion"}),
    "text_only": frozenset({"text_inputs", "templates", "fusion"}),
    "contrastive": frozenset(
        {"text_inputs", "templates", "temporal", "temporal_init", "tune", "contrast", "online_text"}
    ),
    "vl_prompt": frozenset({"prompt_tokens", "prompt_depth"}),
}
"""The fields of a training request that only some methods read, for each method those that it reads."""

TEXT_METHODS: Final[frozenset[MethodName]] = frozenset({"vifi", "text_only", "contrastive", "vl_prompt"})
"""Methods that change the base's text tower. It must be a plain one, without learned vectors of its own."""

PROMPT_METHODS: Final[frozenset[MethodName]] = frozenset({"vl_prompt"})
"""Methods that learn prompts. The base must have a vision transformer and CLIP's own text tower."""

CLOSED_METHODS: Final[frozenset[MethodName]] = frozenset({"vision_only"})
"""Methods whose versions know their own classes only."""

ProtocolName = Literal[
    "full-class",
    "single-view",
    "multi-view",
    "image",
    "half-class",
    "fixed-splits",
    "k-shot",
    "base-to-novel",
]
"""An evaluation protocol of `core.protocols`."""
