"""A CLIP with two layers of width 64, as a local checkpoint: everything of the real one but the size and the sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

ARCHITECTURE = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


RESNET = ARCHITECTURE | {"vision_cfg": {"image_size": 32, "layers": [1, 1, 2, 1], "width": 8}}


def place(data_dir: Path, name: str = "tiny", architecture: dict[str, Any] = ARCHITECTURE) -> None:
    """Random weights and a card in `<data_dir>/weights`, so that the product knows the model by `name`."""
    folder = data_dir / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    state = open_clip.CLIP(**architecture).state_dict()
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / f"{name}.safetensors")
    profile = {"size": 32, "short_side": 36, "templates": ["a video of {}."]}
    card = {"like": "clip-b16", "architecture": architecture, "profile": profile}
    (folder / f"{name}.json").write_text(json.dumps(card), encoding="utf-8")
