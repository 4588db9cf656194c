"""Row 8: the image towers on a GPU, at their best batch, beside the measured rate of its bf16 units."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import open_clip
import torch

from benchmarks.bench.measures import Key, Measures

ROW = "GPU"
FRAMES = 8
TOWERS = {"clip-b32": "ViT-B-32", "clip-b16": "ViT-B-16", "clip-l14": "ViT-L-14", "pe-b16": "PE-Core-B-16"}
MACS = {"clip-b32": 4.4e9, "clip-b16": 17.6e9, "clip-l14": 81.1e9, "pe-b16": 17.6e9}
"""Multiplications of one image of 224 × 224, by counting."""
PAPERS = {"clip-b32": 322.5, "clip-b16": 126.5, "clip-l14": 35.5}
"""Videos per second on an A100 (Text4Vis, 8 frames)."""
BATCHES = (8, 16, 32, 64)
"""Videos of 8 frames."""


def measure_round(measures: Measures) -> None:
    """Nothing without a GPU."""
    if not torch.cuda.is_available():
        return
    rate = _matmul_rate()
    measures.add(Key(ROW, "", "bf16 matrix product of 8192²", "rate", "TFLOP/s"), rate / 1e12)
    for name, architecture in TOWERS.items():
        best = _best(architecture)
        measures.add(Key(ROW, name, "image tower, bf16", "rate", "videos/s"), best)
        share = best * FRAMES * 2 * MACS[name] / rate
        measures.add(Key(ROW, name, "image tower, bf16", "share of the matrix rate", "%"), 100 * share)


def _best(architecture: str) -> float:
    """Videos per second."""
    model = open_clip.create_model(architecture, pretrained=None, load_weights=False).visual.eval()
    model = model.to("cuda", torch.bfloat16)
    compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(model)
    found = []
    for videos in BATCHES:
        pixels = torch.randn(videos * FRAMES, 3, 224, 224, device="cuda", dtype=torch.bfloat16)
        with torch.inference_mode():
            found.append(videos / _seconds(partial(compiled, pixels)))
    return max(found)


def _matmul_rate() -> float:
    """FLOP per second."""
    size = 8192
    left, right = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / _seconds(lambda: left @ right)


def _seconds(work: Callable[[], object], times: int = 20) -> float:
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / times
