"""BentoML, with adaptive batching as its documentation shows: a batchable service behind one that reads requests."""

import asyncio
from pathlib import Path

import bentoml
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers.clip import read_frames
from benchmarks.peers.tower import Tower

Frames = NDArray[np.float32]


@bentoml.service(traffic={"timeout": 600})
class Encoder:
    def __init__(self) -> None:
        self.tower = Tower()

    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=8, max_latency_ms=600_000)  # type: ignore[untyped-decorator]
    def encode(self, clips: Frames) -> Frames:
        """[V, T, 3, S, S] → [V, d]"""
        return self.tower.vectors(torch.from_numpy(clips).flatten(0, 1)).numpy()


@bentoml.service(traffic={"timeout": 600})
class Classifier:
    encoder = bentoml.depends(Encoder)

    def __init__(self) -> None:
        self.tower = Tower()

    @bentoml.api(route="/classify")  # type: ignore[untyped-decorator]
    async def classify(self, video: Path, labels: list[str]) -> dict[str, float]:
        pixels = await asyncio.to_thread(self._read, video)
        (vector,) = await self.encoder.to_async.encode(pixels[None])
        return dict(zip(labels, self.tower.scores(torch.from_numpy(vector), tuple(labels)), strict=True))

    def _read(self, video: Path) -> Frames:
        with video.open("rb") as file:
            pixels: Frames = self.tower.pixels(read_frames(file)).numpy()
        return pixels  # [T, 3, S, S]
