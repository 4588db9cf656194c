"""A CLIP of open_clip with random weights: frames to a vector, labels to rows, both to scores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL.Image import Image
from torch import Tensor

from benchmarks.peers.clip import FRAMES

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32", "int8+bf16": "bf16"}
"""Of OpenVINO, for what is not quantised."""


class Tower:
    """Threads may share it."""

    def __init__(self) -> None:
        name = os.environ.get("PEER_MODEL", "ViT-B-32-quickgelu")
        torch.manual_seed(0)
        model, _, self._preprocess = open_clip.create_model_and_transforms(name, pretrained=None, load_weights=False)
        precision = os.environ.get("PEER_PRECISION", "fp32")
        self._model: Any = model.eval()
        self._tokenizer = open_clip.get_tokenizer(name)
        self.rows = lru_cache(self._rows)
        engine = os.environ.get("PEER_ENGINE", "torch")
        self._images: Callable[[Tensor], Tensor]
        if engine == "torch":
            self._dtype = PRECISIONS[precision]
            self._model.visual.to(self._dtype)
            self._images = self._in_torch
        else:
            self._images = _in_openvino(self._model.visual, name, engine, precision)

    def pixels(self, frames: Sequence[Image]) -> Tensor:
        """[T, 3, S, S]"""
        return torch.stack([self._preprocess(frame) for frame in frames])

    @torch.inference_mode()
    def vectors(self, pixels: Tensor) -> Tensor:
        """pixels: [V · T, 3, S, S] → unit vectors [V, d], of frames that are averaged."""
        videos = self._images(pixels).view(len(pixels) // FRAMES, FRAMES, -1).mean(1)  # [V, T, d] → [V, d]
        return torch.nn.functional.normalize(videos, dim=-1)

    @torch.inference_mode()
    def scores(self, vector: Tensor, labels: tuple[str, ...]) -> list[float]:
        scores: list[float] = (self._model.logit_scale.exp() * vector @ self.rows(labels).T).softmax(-1).tolist()
        return scores

    def _rows(self, labels: tuple[str, ...]) -> Tensor:
        """[C, d]"""
        rows: Tensor = self._model.encode_text(self._tokenizer(list(labels)), normalize=True)
        return rows

    def _in_torch(self, pixels: Tensor) -> Tensor:
        features: Tensor = self._model.visual(pixels.to(self._dtype))
        return features.float()  # [N, d]


def _in_openvino(visual: torch.nn.Module, name: str, engine: str, precision: str) -> Callable[[Tensor], Tensor]:
    """The image tower in OpenVINO; the export is kept in PEER_CACHE. `openvino-int8` is quantised with NNCF."""
    import openvino

    file = Path(os.environ["PEER_CACHE"]) / f"{name}-{engine}.xml"
    if not file.exists():
        _export(visual, file, quantised=engine == "openvino-int8")
    hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": HINTS[precision]}
    compiled = openvino.Core().compile_model(file, "CPU", hints)

    def run(pixels: Tensor) -> Tensor:
        request = compiled.create_infer_request()  # one for each call, so threads may share the tower
        return torch.from_numpy(request.infer([pixels.numpy()])[0].copy())  # [N, d]

    return run


def _export(visual: torch.nn.Module, file: Path, *, quantised: bool) -> None:
    import openvino

    torch.backends.mha.set_fastpath_enabled(False)  # a fused call that cannot be exported
    size: Any = visual.image_size
    height, width = size if isinstance(size, tuple) else (size, size)
    model = openvino.convert_model(visual, example_input=torch.zeros(FRAMES, 3, height, width))
    model.reshape([-1, 3, height, width])
    if quantised:
        import nncf

        batches = [torch.randn(FRAMES, 3, height, width).numpy() for _ in range(16)]
        model = nncf.quantize(model, nncf.Dataset(batches), model_type=nncf.ModelType.TRANSFORMER)
    file.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, file, compress_to_fp16=False)
