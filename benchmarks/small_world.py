"""A small world of coloured shapes, and a CLIP of two narrow towers that has learned its words from stills.

What CLIP is to Kinetics, in miniature and within a minute: a base that has seen pictures of one thing each with
captions, then films of the same world, which look different (the thing moves, it is smaller, the ground is cluttered).
8 colours times 6 shapes are 48 names, and names that share a word share looks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from benchmarks.scenes import background
from models.frames.arrays import FloatArray, UInt8Array

SIDE = 32
COLOURS = {
    "red": (220, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (240, 225, 60),
    "green": (50, 170, 60),
    "blue": (50, 80, 220),
    "purple": (140, 60, 180),
    "pink": (245, 150, 190),
    "white": (245, 245, 245),
}
SHAPES = ("disc", "ring", "square", "cross", "triangle", "stripe")
NAMES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
CAPTIONS = ("a {}.", "a photo of a {}.", "a video of a {}.")
CONFIG = {
    "embed_dim": 64,
    "quick_gelu": True,
    "vision_cfg": {"image_size": SIDE, "layers": 3, "width": 96, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
GREY = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
STEPS, BATCH, RATE = 1000, 96, 1e-3


def paint(
    grounds: FloatArray, names: Sequence[str], x: FloatArray, y: FloatArray, radius: FloatArray, angle: FloatArray
) -> FloatArray:
    """grounds: float [N, S, S, 3], 0 … 255; centres and radii [N] in shares of the side → float [N, S, S, 3]."""
    at = (np.arange(SIDE) + 0.5) / SIDE
    across, down = at[None, None, :] - x[:, None, None], at[None, :, None] - y[:, None, None]  # [N, 1, S], [N, S, 1]
    cos, sin, size = (value[:, None, None] for value in (np.cos(angle), np.sin(angle), radius))  # [N, 1, 1] each
    u, v = (across * cos + down * sin) / size, (down * cos - across * sin) / size  # [N, S, S], ± 1 at the shape's edge
    outside = np.empty_like(u)  # [N, S, S]
    for shape in SHAPES:
        which = np.array([name.endswith(shape) for name in names])  # [N]
        outside[which] = _distance(shape, u[which], v[which])
    inside = np.clip(0.5 - outside * size * SIDE, 0, 1)[..., None]  # [N, S, S, 1], soft edges
    colours = np.array([COLOURS[name.split()[0]] for name in names], np.float64)[:, None, None]  # [N, 1, 1, 3]
    painted: FloatArray = grounds + inside * (colours - grounds)
    return painted


def _distance(shape: str, u: FloatArray, v: FloatArray) -> FloatArray:
    """About how far outside of the shape a point is, in radii; negative inside."""
    a, b, r = np.abs(u), np.abs(v), np.hypot(u, v)
    found: dict[str, FloatArray] = {
        "disc": r - 1,
        "ring": np.abs(r - 0.75) - 0.22,
        "square": np.maximum(a, b) - 0.85,
        "cross": np.maximum(np.minimum(a, b) - 0.27, np.maximum(a, b) - 1),
        "triangle": np.maximum(v - 0.7, a - 0.55 * (v + 1)),
        "stripe": np.maximum(b - 0.3, a - 1.3),
    }
    return found[shape]


def stills(rng: np.random.Generator, names: Sequence[str]) -> FloatArray:
    """Pictures as the base was trained on: the thing large, in the middle of an even ground. Float [N, S, S, 3]."""
    count = len(names)
    grounds = np.broadcast_to(rng.uniform(10, 190, (count, 1, 1, 3)), (count, SIDE, SIDE, 3))
    x, y = rng.uniform(0.4, 0.6, (2, count))
    return paint(grounds, names, x, y, rng.uniform(0.25, 0.4, count), rng.uniform(-0.2, 0.2, count))


def film(rng: np.random.Generator, name: str, frames: int) -> UInt8Array:
    """The thing as it passes, smaller, over a cluttered ground with specks of other colours: uint8 [n, S, S, 3]."""
    ground = background(rng, SIDE, SIDE, strength=45.0)[None] * rng.uniform(0.3, 0.9)  # [1, S, S, 3]
    for other in rng.choice(NAMES, 4):
        x, y, radius, angle = rng.uniform((0, 0, 0.04, 0), (1, 1, 0.08, 3))[:, None]  # [1] each
        ground = paint(ground, [other], x, y, radius, angle)
    share = np.linspace(0, 1, frames)  # [n]
    (x0, y0), (x1, y1) = rng.uniform(0.3, 0.7, (2, 2))
    radius = np.full(frames, rng.uniform(0.18, 0.3))
    path = paint(
        np.repeat(ground, frames, axis=0),
        [name] * frames,
        x0 + share * (x1 - x0),
        y0 + share * (y1 - y0),
        radius,
        share * rng.uniform(-0.4, 0.4),
    )  # [n, S, S, 3]
    noisy = rng.uniform(0.7, 1.0) * path + rng.normal(0, 6, path.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def pretrain(data_dir: Path, seed: int = 0) -> float:
    """A CLIP that learned from stills and captions, as the local checkpoint `small-world`; the last loss. Each picture
    is to find its own caption among those of all names."""
    torch.manual_seed(seed)
    rng = np.random.default_rng((seed, 1))
    model = open_clip.CLIP(**CONFIG)
    tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=16)
    tokens = torch.stack([tokenizer([caption.format(name) for name in NAMES]) for caption in CAPTIONS])  # [K, C, 16]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.1)
    loss = torch.zeros(())
    for _ in range(STEPS):
        targets = rng.integers(len(NAMES), size=BATCH)
        pixels = stills(rng, [NAMES[target] for target in targets])  # [B, S, S, 3]
        x = (torch.from_numpy(pixels).float().permute(0, 3, 1, 2) / 255 - 0.5) / 0.25  # [B, 3, S, S]
        texts = normalize(model.encode_text(tokens[int(rng.integers(len(CAPTIONS)))]), dim=-1)  # [C, d]
        scores = model.logit_scale.exp() * normalize(model.encode_image(x), dim=-1) @ texts.T  # [B, C]
        loss = cross_entropy(scores, torch.from_numpy(targets))
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
    _save(data_dir, "small-world", model.state_dict())
    return float(loss.detach())


def _save(data_dir: Path, name: str, state: dict[str, Tensor]) -> None:
    folder = data_dir / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / f"{name}.safetensors")
    profile = {"size": SIDE, "short_side": SIDE, "templates": ["a video of a {}."], "frames": 4, **GREY}
    card = {"like": "clip-b16", "architecture": CONFIG, "profile": profile}
    (folder / f"{name}.json").write_text(json.dumps(card), encoding="utf-8")
