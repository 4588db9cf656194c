"""Weights files with random numbers: CLIPs of the zoo, as slow as real ones, and one that trains from nothing."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

from models.profiles.zoo import ENTRIES


def write_random_b16(data_dir: Path) -> Path:
    """Puts it where the product looks for weights: `<data_dir>/weights/clip-b16.safetensors`."""
    return write_random(data_dir, "clip-b16")


def write_random(data_dir: Path, name: str) -> Path:
    """The weights of a CLIP of the zoo, where the product looks for them: `<data_dir>/weights/<name>.safetensors`. They
    are the same each time, and a file that is there stays."""
    path = data_dir / "weights" / f"{name}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        model = open_clip.create_model(ENTRIES[name].architecture, pretrained=None, load_weights=False)
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    return path


def write_random_small(data_dir: Path, name: str = "small", *, size: int = 48, seed: int = 0) -> None:
    """A CLIP of two layers of width 64, as a local checkpoint that `base=name` finds; it looks at `size` × `size`."""
    config = {
        "embed_dim": 64,
        "quick_gelu": True,
        "vision_cfg": {"image_size": size, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    }
    profile = {"size": size, "short_side": size, "templates": ["a video of {}."], "frames": 8}
    folder = data_dir / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = open_clip.CLIP(**config)
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, folder / f"{name}.safetensors")
    card = {"like": "clip-b16", "architecture": config, "profile": profile}
    (folder / f"{name}.json").write_text(json.dumps(card), encoding="utf-8")
