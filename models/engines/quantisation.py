"""A graph whose large products use integers of eight bits: NNCF's quantisation after training."""

from __future__ import annotations

import logging
import sys
from contextlib import redirect_stdout
from pathlib import Path

from models.engines.errors import EngineUnavailable
from models.engines.graph import import_openvino, openvino_core
from models.frames.arrays import UInt8Array
from models.image.tower import ImageTower


def quantise(graph: Path, frames: UInt8Array, clip: int, quantised: Path, *, attends: bool) -> None:
    """graph: of fp32; frames: uint8 [n·clip, S, S, 3] that show what the model will see; attends: whether the tower is
    a transformer, whose activations NNCF smooths first. Writes `quantised`. Raises: EngineUnavailable."""
    openvino = import_openvino()
    try:
        import nncf
    except ImportError as error:
        raise EngineUnavailable("the package nncf is missing (install vireo-server[openvino])") from error
    nncf.set_log_level(logging.ERROR)
    clips = [frames[at : at + clip] for at in range(0, len(frames), clip)]
    with redirect_stdout(sys.stderr):  # its progress bars; stdout is for sentences
        model = nncf.quantize(
            openvino_core().read_model(str(graph)),
            nncf.Dataset(clips),
            subset_size=len(clips),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER if attends else None,
        )
    openvino.save_model(model, quantised, compress_to_fp16=False)


def has_attention(tower: ImageTower) -> bool:
    return any("attention" in type(module).__name__.lower() for module in tower.modules())
