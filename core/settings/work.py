"""How the workers work: models, batches, decoding, training."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from core.settings.kinds import GIB
from core.settings.machine import usable_cores, usable_memory
from core.vocabulary import EngineChoice

_LIBRARIES = 4 * GIB
"""Memory of a worker for its libraries and caches."""
_FEWEST_DECODERS = 2


class Work(BaseModel):
    """The recogniser, the worker and training."""

    model: str = Field(
        "auto",
        description="Model for requests that name none. `auto`: `clip-b16` if its weights are available, else `lite`.",
    )
    weights: Path | None = Field(
        None, description="Local weights file (.safetensors or .pt) for `VIREO_MODEL`, instead of a download."
    )
    device: str = Field("auto", description="`auto`, `cpu`, `cuda` or `cuda:N`.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="`auto`: bf16 on GPUs and CPUs with native support, otherwise fp32."
    )
    engine: EngineChoice = Field(
        "auto",
        description="What computes the features of frames: `eager` (torch), `compiled` (torch.compile), `openvino` or "
        "`openvino-int8` (CPUs, with the extra `openvino`). `auto`: the one that costs least on this machine, of those "
        "that answer as the model does; it is found in the background when a model is loaded for the first time.",
    )
    model_memory: int = Field(
        6 * GIB,
        ge=1,
        description="Memory for the models of one worker, in bytes. The least recently used model is dropped first.",
    )

    worker_threads: int = Field(8, ge=1, description="Requests that one worker handles at the same time.")
    batch_frames: int = Field(
        64, ge=1, description="Most frames in one forward pass of the image tower; fewer where they cost no more."
    )
    batch_wait_ms: float = Field(
        2.0,
        ge=0,
        description="Longest wait for other requests to share a forward pass, in milliseconds, while none is computed.",
    )
    batch_texts: int = Field(
        128, ge=1, description="Most texts in one forward pass of the text tower; on a CPU at most 32."
    )
    inference_deadline: float = Field(
        300.0,
        gt=0,
        description="Longest time that a worker works on one question or embedding, in seconds. After it the answer is "
        "504.",
    )
    decode_processes: int = Field(
        0,
        ge=0,
        description="Child processes of one worker that decode videos. 0: one per core, at most one for each GB of "
        "memory beyond `VIREO_MODEL_MEMORY` and 4 GB.",
    )
    decode_deadline: float = Field(30.0, gt=0, description="Seconds after which the decoding of a video is stopped.")
    decode_memory: int = Field(4 * GIB, ge=256 << 20, description="Most memory for decoding one video, in bytes.")
    lease_seconds: float = Field(
        15.0,
        ge=1,
        description="Seconds without a heartbeat after which a worker counts as dead and its jobs go to another one.",
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65533,
        description="Port of the worker's own /metrics. Default: none; under `vireo up` the gateway exports them. With "
        "a port, `vireo up` gives it to the first worker and the ports that follow to the others.",
    )

    training_processes: int = Field(
        0, ge=0, description="Processes of one training run. 0: one per GPU, or one process without a GPU."
    )
    feature_bytes: int = Field(
        8 * GIB,
        ge=0,
        description="Most bytes of the frozen features of dataset clips that a training worker keeps on its machine. "
        "The least recently used ones are deleted first. 0: none are kept.",
    )
    max_archive_bytes: int = Field(
        20 * GIB, ge=1, description="Largest upload of a dataset archive or a checkpoint, in bytes."
    )
    max_dataset_bytes: int = Field(100 * GIB, ge=1, description="Largest unpacked dataset, in bytes.")
    max_dataset_files: int = Field(200_000, ge=1, description="Most files in one dataset.")

    @property
    def decoders(self) -> int:
        """`decode_processes`, or what suits this machine. A child that decodes 4K takes half a GB, most take less."""
        if self.decode_processes:
            return self.decode_processes
        spare = (usable_memory() - self.model_memory - _LIBRARIES) // GIB
        return min(usable_cores(), max(spare, _FEWEST_DECODERS))
