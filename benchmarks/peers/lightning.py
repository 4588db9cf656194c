"""LitServe, with dynamic batching as its documentation shows: `max_batch_size` and `batch_timeout`."""

import io
import json
import os

import litserve
import torch
from fastapi import Request
from torch import Tensor

from benchmarks.peers.clip import read_frames
from benchmarks.peers.tower import Tower

Item = tuple[Tensor, tuple[str, ...]]


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        self.tower = Tower()

    def decode_request(self, request: Request) -> Item:
        frames = read_frames(io.BytesIO(request["video"].file.read()))
        return self.tower.pixels(frames), tuple(json.loads(request["labels"]))

    def batch(self, inputs: list[Item]) -> tuple[Tensor, list[tuple[str, ...]]]:
        return torch.cat([pixels for pixels, _ in inputs]), [labels for _, labels in inputs]

    def predict(self, batch: tuple[Tensor, list[tuple[str, ...]]]) -> list[dict[str, float]]:
        pixels, asked = batch
        vectors = self.tower.vectors(pixels)
        return [
            dict(zip(labels, self.tower.scores(vector, labels), strict=True))
            for vector, labels in zip(vectors, asked, strict=True)
        ]

    def unbatch(self, output: list[dict[str, float]]) -> list[dict[str, float]]:
        return output


if __name__ == "__main__":
    api = Classifier(api_path="/classify", max_batch_size=8, batch_timeout=0.05)
    server = litserve.LitServer(api, accelerator="auto", timeout=600)
    server.run(host="127.0.0.1", port=int(os.environ["PEER_PORT"]), log_level="warning", generate_client_file=False)
