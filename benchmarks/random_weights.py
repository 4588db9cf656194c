"""A weights file for `clip-b16` with random numbers: as slow as the real one, and to be had without a download."""

from __future__ import annotations

from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file


def write_random_b16(data_dir: Path) -> Path:
    """Puts it where the product looks for weights: `<data_dir>/weights/clip-b16.safetensors`."""
    path = data_dir / "weights" / "clip-b16.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-16-quickgelu", pretrained=None, load_weights=False)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    return path
