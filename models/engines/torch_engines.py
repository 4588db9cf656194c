"""Engines of torch: the tower as it is, and the same compiled."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import torch
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from core.vocabulary import EngineName
from models.frames.arrays import UInt8Array
from models.recognition.engine import LanePlan
from models.recognition.recognizer import Recognizer

log = logging.getLogger(__name__)

_CACHE = "TORCHINDUCTOR_CACHE_DIR"


class EagerEngine:
    """torch, operation by operation. On a GPU each lane has a stream of its own, so that the copies of one batch run
    while another is computed."""

    name: EngineName = "eager"
    digest = ""
    nbytes = 0

    def __init__(self, recognizer: Recognizer, plan: LanePlan) -> None:
        self._torch = recognizer
        self.precision = recognizer.precision
        self.plan = plan
        self._lane = threading.local()

    @torch.inference_mode()
    def encode(self, frames: UInt8Array, clip: int = 1) -> torch.Tensor:
        if self._torch.device.type != "cuda":
            return self._torch.encode_frames(frames, clip)
        with torch.cuda.stream(self._stream()):
            return self._torch.encode_frames(frames, clip)

    def warm_up(self) -> None:
        """There is nothing to compile."""

    def _stream(self) -> torch.cuda.Stream:
        if not hasattr(self._lane, "stream"):
            self._lane.stream = torch.cuda.Stream(self._torch.device)  # type: ignore[no-untyped-call]
        stream: torch.cuda.Stream = self._lane.stream
        return stream


class CompiledEngine:
    """torch.compile. If the machine cannot compile, it says so and is the eager engine from then on. What was compiled
    is kept, so only the first process of a machine takes the time."""

    name: EngineName = "compiled"
    nbytes = 0

    def __init__(self, recognizer: Recognizer, plan: LanePlan, kept: Path) -> None:
        """kept: the folder of what was compiled, unless the environment names another."""
        _keep_in(kept)
        self._torch = recognizer
        self.precision = recognizer.precision
        self.digest = f"compiled {torch.__version__}"
        self.plan = plan
        self._forward = torch.compile(recognizer.image_tower, dynamic=True)
        self._lock = threading.Lock()
        self.failure: str | None = None
        """Why the machine cannot compile, in words."""

    @torch.inference_mode()
    def encode(self, frames: UInt8Array, clip: int = 1) -> torch.Tensor:
        if self.failure is None:
            pixels = self._torch.pixels(frames, clip)
            try:
                return self._compiled(pixels, clip)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                self.failure = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
                log.warning("this machine cannot compile the model, which is served as it is: %s", self.failure)
        return self._torch.encode_frames(frames, clip)

    def warm_up(self) -> None:
        size, clip = self._torch.profile.size, self._torch.profile.frames if self._torch.mixes_time else 1
        self.encode(torch.zeros(2 * clip, size, size, 3, dtype=torch.uint8).numpy(), clip)

    def _compiled(self, pixels: torch.Tensor, clip: int) -> torch.Tensor:
        with self._lock:  # torch compiles for a new shape in a forward pass, and not in two threads at once
            features: torch.Tensor = self._forward(pixels, clip)
        return features.float().cpu()  # [N, d]


def _keep_in(folder: Path) -> None:
    """By default torch takes the system's folder for temporary files, from which containers may not execute anything,
    and writes that into the environment itself when it is imported."""
    if os.environ.get(_CACHE, default_cache_dir()) == default_cache_dir():
        os.environ[_CACHE] = str(folder)
