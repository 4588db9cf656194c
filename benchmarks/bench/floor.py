"""Row 2: decoding alone and encoding alone, in this process, by the product's own functions: what a question costs if
nothing else did."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from benchmarks.bench.clients import Clips
from benchmarks.bench.machine import cores
from benchmarks.bench.measures import Key, Measures
from core.registry import Registry
from core.settings import Settings
from core.storage import Store
from core.vocabulary import EngineChoice
from models.frames.arrays import UInt8Array
from models.frames.sampling import Views
from models.recognition.recognizer import Recognizer
from worker.inference.loading.engine_keeper import EngineKeeper
from worker.inference.loading.opening import ModelFiles
from worker.video.clip import DecodeRequest, decode_clip
from worker.video.container import VideoLimits

ROW = "floor"
FRAMES = 8
VIDEOS = 4
"""Of a sample."""
_LIMITS = VideoLimits(8192 * 4352, 3600.0)


class Floor:
    """One model in this process."""

    def __init__(self, model: str, data_dir: Path, clips: Clips, engine: EngineChoice = "eager") -> None:
        """engine: of VIREO_ENGINE. `auto` and the names of engines mean what a running copy found in `data_dir`."""
        self.model = model
        self._recognizer: Recognizer = _open(Settings(data_dir=data_dir, engine=engine), model)
        self._clip = clips.path
        self._request = DecodeRequest(self._recognizer.profile, Views(), FRAMES, _LIMITS)
        self._frames = self._decode()

    @property
    def setting(self) -> str:
        """Number format and engine."""
        engine = self._recognizer.engine
        return f"{self._recognizer.precision}, {engine.name if engine else 'eager'}"

    def measure_round(self, measures: Measures) -> None:
        """CPU-seconds on one thread, seconds of one video, and seconds per video on all cores."""
        threads = torch.get_num_threads()
        sample = self._sample(measures)
        sample("decode", _cpu(self._decode))
        sample("one client: decode + encode", _wall(lambda: self._encode(self._decode())))
        try:
            torch.set_num_threads(1)  # for all threads of this process, as in each lane of a worker
            sample("encode, 8 frames", _cpu(lambda: self._encode(self._frames)))
            halves = np.array_split(self._frames, 2, axis=1)
            sample("encode, 2 × 4 frames", _cpu(lambda: [self._encode(half) for half in halves]))
            sample("all cores: decode + encode", self._on_all_cores())
        finally:
            torch.set_num_threads(threads)

    def frame_seconds(self) -> float:
        """CPU-seconds of one frame, of eight in a forward pass on one thread."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return _cpu(lambda: self._encode(self._frames), 1) / FRAMES
        finally:
            torch.set_num_threads(threads)

    def _sample(self, measures: Measures) -> Callable[[str, float], None]:
        def add(what: str, value: float) -> None:
            unit = "s" if ":" in what else "CPU-s"
            measures.add(Key(ROW, self.model, "decode and encode alone", what, unit), value)

        return add

    def _decode(self) -> UInt8Array:
        """[1, T, S, S, 3]"""
        frames = np.empty(self._request.shape, np.uint8)
        decode_clip(self._clip, self._request, frames)
        return frames

    def _encode(self, frames: UInt8Array) -> object:
        return self._recognizer.video_vectors(frames)

    def _on_all_cores(self) -> float:
        """Seconds per video, each core with a video of its own."""
        count = VIDEOS * cores()
        with ThreadPoolExecutor(cores(), initializer=lambda: torch.set_num_threads(1)) as pool:
            return _wall(lambda: list(pool.map(lambda _: self._encode(self._decode()), range(count))), 1) / count


def _open(settings: Settings, model: str) -> Recognizer:
    """As an inference worker opens it, without searching an engine."""
    files = ModelFiles(settings, Registry(Store.from_settings(settings)), lambda _: None)
    keeper = EngineKeeper(files, lambda _, __: None)
    try:
        return keeper.equip(files.open(model), model)
    finally:
        keeper.close()


def _cpu(work: Callable[[], object], times: int = VIDEOS) -> float:
    before = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - before) / times


def _wall(work: Callable[[], object], times: int = VIDEOS) -> float:
    before = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - before) / times
