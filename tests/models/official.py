"""Checkpoints with the names and shapes of the released Text4Vis code, made here, and what they compute, by hand.

Names: T4V clip/model.py (CLIP), modules/video_clip.py (VideoCLIP, video_header), temporal_modeling.py (TokenT1D).
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip import CLIP
from torch import Tensor
from torch.nn import functional as F

from models.weights.states import StateDict

LAYERS, WIDTH, DIM, PATCH, SIZE, TEXT_WIDTH = 2, 64, 32, 8, 32, 128
CONFIG: dict[str, Any] = {
    "embed_dim": DIM,
    "quick_gelu": True,
    "vision_cfg": {"image_size": SIZE, "layers": LAYERS, "width": WIDTH, "patch_size": PATCH},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": TEXT_WIDTH, "heads": 2, "layers": 1},
}
BLOCK = {
    "ln_1.weight": (1,),
    "ln_1.bias": (1,),
    "attn.in_proj_weight": (3, 1),
    "attn.in_proj_bias": (3,),
    "attn.out_proj.weight": (1, 1),
    "attn.out_proj.bias": (1,),
    "ln_2.weight": (1,),
    "ln_2.bias": (1,),
    "mlp.c_fc.weight": (4, 1),
    "mlp.c_fc.bias": (4,),
    "mlp.c_proj.weight": (1, 4),
    "mlp.c_proj.bias": (1,),
}
"""Of a transformer of width 1."""


def tiny_model(seed: int = 0) -> CLIP:
    torch.manual_seed(seed)
    return CLIP(**CONFIG).eval()


def clip_state(seed: int = 0, *, text: bool = False) -> StateDict:
    """`visual.*` and `logit_scale`, as in VideoCLIP; the text tower as well, as in train_nce.py's files."""
    state = tiny_model(seed).state_dict()
    return {name: tensor for name, tensor in state.items() if text or name.startswith(("visual.", "logit_scale"))}


def blocks(prefix: str, layers: int, width: int, device: str = "cpu") -> StateDict:
    """`<prefix>.{i}.*`."""
    return {
        f"{prefix}.{layer}.{name}": torch.randn([width * side for side in shape], device=device) * 0.1
        for layer in range(layers)
        for name, shape in BLOCK.items()
    }


def fusion_state(seed: int = 1, dim: int = DIM, layers: int = 6) -> StateDict:
    """A video_header with `Transf`."""
    torch.manual_seed(seed)
    return {"frame_position_embeddings.weight": torch.randn(77, dim)} | blocks("transformer.resblocks", layers, dim)


def token_conv_state(seed: int = 2, width: int = WIDTH, layers: int = LAYERS) -> StateDict:
    torch.manual_seed(seed)
    prefix = "visual.transformer.resblocks"
    return {f"{prefix}.{layer}.control_point.conv.weight": torch.randn(width, 1, 3) / 2 for layer in range(layers)}


def under(prefix: str, state: StateDict) -> StateDict:
    return {prefix + name: tensor for name, tensor in state.items()}


def vit_shapes(patch: int, width: int, layers: int, grid: int, dim: int, head: bool) -> StateDict:
    """A VideoCLIP of OpenAI's size, without memory."""
    state = {
        "visual.class_embedding": torch.empty(width, device="meta"),
        "visual.positional_embedding": torch.empty(grid**2 + 1, width, device="meta"),
        "visual.proj": torch.empty(width, dim, device="meta"),
        "visual.conv1.weight": torch.empty(width, 3, patch, patch, device="meta"),
        "logit_scale": torch.empty((), device="meta"),
    }
    for norm in ("ln_pre", "ln_post"):
        state |= {f"visual.{norm}.{name}": torch.empty(width, device="meta") for name in ("weight", "bias")}
    state |= blocks("visual.transformer.resblocks", layers, width, "meta")
    if head:
        state["fusion_model.frame_position_embeddings.weight"] = torch.empty(77, dim, device="meta")
        state |= blocks("fusion_model.transformer.resblocks", 6, dim, "meta")
    return state


@torch.no_grad()
def video_vectors(clip: StateDict, pixels: Tensor, fusion: StateDict | None = None) -> Tensor:
    """VideoCLIP.encode_image: pixels [B, T, 3, S, S] → [B, d], un-normalised."""
    features = torch.stack([image_vectors(clip, frames) for frames in pixels])  # [B, T, d]
    if fusion is None:
        return features.mean(dim=1)
    x = features + fusion["frame_position_embeddings.weight"][: pixels.shape[1]]  # [B, T, d]
    for layer in range(6):
        x = block(fusion, f"transformer.resblocks.{layer}", x, TEXT_WIDTH // 64, 1e-12)
    return (x + features).mean(dim=1)


def image_vectors(clip: StateDict, frames: Tensor) -> Tensor:
    """The image tower on one clip: [T, 3, S, S] → [T, d]."""
    x = F.conv2d(frames, clip["visual.conv1.weight"], stride=PATCH).flatten(2).transpose(1, 2)  # [T, patches, w]
    x = torch.cat([clip["visual.class_embedding"].expand(len(x), 1, -1), x], dim=1)  # [T, 1 + patches, w]
    x = norm(clip, "visual.ln_pre", x + clip["visual.positional_embedding"], 1e-5)
    for layer in range(LAYERS):
        x = block(clip, f"visual.transformer.resblocks.{layer}", x, WIDTH // 64, 1e-5)
    return norm(clip, "visual.ln_post", x[:, 0], 1e-5) @ clip["visual.proj"]


def block(state: StateDict, name: str, x: Tensor, heads: int, eps: float) -> Tensor:
    """[N, L, w] → the same."""
    x = control_point(state, name, x)
    x = x + attention(state, name, norm(state, f"{name}.ln_1", x, eps), heads)
    x = control_point(state, name, x)
    y = norm(state, f"{name}.ln_2", x, eps)
    y = F.linear(y, state[f"{name}.mlp.c_fc.weight"], state[f"{name}.mlp.c_fc.bias"])
    return x + F.linear(
        y * torch.sigmoid(1.702 * y), state[f"{name}.mlp.c_proj.weight"], state[f"{name}.mlp.c_proj.bias"]
    )


def control_point(state: StateDict, name: str, x: Tensor) -> Tensor:
    """TokenT1D, where the file has it: the [class] token of one clip, [T, L, w], convolved over T."""
    weight = state.get(f"{name}.control_point.conv.weight")
    if weight is None:
        return x
    token = F.conv1d(x[:, 0].T.unsqueeze(0), weight, padding=1, groups=len(weight))[0].T  # [T, w]
    return torch.cat([token.unsqueeze(1), x[:, 1:]], dim=1)


def attention(state: StateDict, name: str, x: Tensor, heads: int) -> Tensor:
    """[N, L, w] → the same."""
    mixed = F.linear(x, state[f"{name}.attn.in_proj_weight"], state[f"{name}.attn.in_proj_bias"])  # [N, L, 3w]
    q, k, v = (part.view(*x.shape[:2], heads, -1).transpose(1, 2) for part in mixed.chunk(3, dim=-1))  # [N, h, L, w/h]
    weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1)  # [N, h, L, L]
    y = (weights @ v).transpose(1, 2).flatten(2)  # [N, L, w]
    return F.linear(y, state[f"{name}.attn.out_proj.weight"], state[f"{name}.attn.out_proj.bias"])


def norm(state: StateDict, name: str, x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)
