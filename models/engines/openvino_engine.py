"""An engine that runs a graph file with OpenVINO on the CPU."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.vocabulary import EngineName
from models.engines.graph import clip_of, openvino_core, tower_of
from models.frames.arrays import UInt8Array
from models.recognition.engine import LanePlan
from models.recognition.recognizer import Recognizer

_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32", "int8+bf16": "bf16"}

_ALONE = threading.Lock()
"""The first calls into the binding must not meet. It fills its tables at the first use, and waits for Python's lock
meanwhile. A second thread that comes with that lock and needs the same table waits for the first one, and no thread of
the process goes on."""


def graph_precision(name: EngineName, precision: str) -> str:
    """What an engine computes in. precision: that of the model in torch, `fp32` or `bf16`. A quantised graph keeps
    products of weights in int8, and everything else in that precision."""
    if name != "openvino-int8":
        return precision
    return "int8+bf16" if precision == "bf16" else "int8"


class OpenVinoEngine:
    """Clips of another length than the graph was made for go through torch; that concerns only towers that mix time."""

    def __init__(
        self, recognizer: Recognizer, graph: Path, name: EngineName, precision: str, digest: str, plan: LanePlan
    ) -> None:
        """graph: the .xml file; precision: as `graph_precision` gives it. Raises: EngineUnavailable, or RuntimeError of
        OpenVINO for a graph that cannot be read."""
        self._torch = recognizer
        self._tower = tower_of(recognizer)
        self._clip = clip_of(recognizer)
        self.name: EngineName = name
        self.precision, self.digest, self.plan = precision, digest, plan
        self.nbytes = graph.with_suffix(".bin").stat().st_size
        self._lane = threading.local()
        frames = np.zeros((self._clip, recognizer.profile.size, recognizer.profile.size, 3), np.uint8)
        with _ALONE:
            self._compiled = openvino_core().compile_model(str(graph), "CPU", self._properties())
            self._features(_first_output(self._compiled.create_infer_request(), frames))

    def _properties(self) -> dict[str, Any]:
        return {
            "NUM_STREAMS": self.plan.lanes,
            "INFERENCE_NUM_THREADS": self.plan.lanes * self.plan.threads,
            "ENABLE_CPU_PINNING": False,  # other processes need the cores as well; a pinned thread waits for its own
            "INFERENCE_PRECISION_HINT": _HINTS.get(self.precision, "f32"),
        }

    @torch.inference_mode()
    def encode(self, frames: UInt8Array, clip: int = 1) -> torch.Tensor:
        if self._torch.mixes_time and clip != self._clip:
            return self._torch.encode_frames(frames, clip)
        if len(frames) % clip:
            raise ValueError(f"{len(frames)} frames are not whole clips of {clip}")
        return self._features(_first_output(self._request(), frames))  # [N, d]

    @torch.inference_mode()
    def _features(self, trunk: Any) -> torch.Tensor:
        """trunk: float32 [N, …] → float32 [N, d]."""
        return self._tower.features(torch.from_numpy(trunk).to(self._tower.neck_dtype)).float()

    def warm_up(self) -> None:
        """A graph is compiled, and computes once, when it is read."""

    def _request(self) -> Any:
        """Of this thread: a request holds the buffers of one forward pass."""
        if not hasattr(self._lane, "request"):
            self._lane.request = self._compiled.create_infer_request()
        return self._lane.request


def _first_output(request: Any, frames: UInt8Array) -> Any:
    return request.infer(frames, share_inputs=True)[0]
