"""From a torch tower to a graph file of OpenVINO, which is its trunk with the normalisation of pixels before it.

The neck stays with torch: it is small, and sensitive to a coarse number format.
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.engines.errors import EngineUnavailable
from models.image.plain_attention import plain_attention
from models.image.tower import ImageTower
from models.profiles.profile import Profile
from models.recognition.recognizer import Recognizer

GRAPH_FORMAT = "graph 3"
"""Part of what graphs are kept under: change it with what `Trunk` or `export_graph` do."""

_TOLERANCE = 1e-4  # largest difference from torch, as a share of the largest number; both compute in fp32


class Trunk(nn.Module):
    """frames uint8 [N, S, S, 3], sRGB → the trunk's output [N, …]."""

    mean: Tensor
    std: Tensor

    def __init__(self, tower: ImageTower, profile: Profile, clip: int) -> None:
        """tower: in fp32 on the CPU."""
        super().__init__()
        self._tower = tower
        self._clip = clip
        self.register_buffer("mean", torch.tensor(profile.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(profile.std).view(1, 3, 1, 1))

    def forward(self, frames: Tensor) -> Tensor:
        pixels = frames.permute(0, 3, 1, 2).to(torch.float32) / 255  # [N, 3, S, S]
        return self._tower.trunk((pixels - self.mean) / self.std, self._clip)


def clip_of(recognizer: Recognizer) -> int:
    """Frames of the clips that a graph of this recogniser takes, which are fixed in that of a tower that mixes time."""
    return recognizer.profile.frames if recognizer.mixes_time else 1


def tower_of(recognizer: Recognizer) -> ImageTower:
    """Raises: EngineUnavailable if the recogniser's image half is not a tower of ours."""
    if not isinstance(recognizer.image_tower, ImageTower):
        raise EngineUnavailable("its image half is not a tower with a trunk")
    return recognizer.image_tower


def export_graph(recognizer: Recognizer, file: Path) -> None:
    """Writes `file` (.xml) and the weights beside it (.bin). recognizer: in fp32 on the CPU. Raises: EngineUnavailable
    if OpenVINO is missing, cannot express the tower, or computes something else than torch."""
    openvino = import_openvino()
    clip, profile = clip_of(recognizer), recognizer.profile
    trunk = Trunk(tower_of(recognizer), profile, clip).eval()
    generator = torch.Generator().manual_seed(0)
    shape = (profile.size, profile.size, 3)
    frames = torch.randint(0, 256, (3 * clip, *shape), dtype=torch.uint8, generator=generator)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operation has no counterpart in a graph
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer, about shapes: what it got wrong shows below
            with plain_attention(trunk):
                model = openvino.convert_model(
                    trunk, example_input=frames[: 2 * clip], input=[openvino.PartialShape([-1, *shape])]
                )
            expected = trunk(frames)
        compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = torch.from_numpy(compiled(frames.numpy())[0])
    except Exception as error:
        raise EngineUnavailable(f"OpenVINO cannot express this tower: {_first_line(error)}") from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    _check(found, expected)
    openvino.save_model(model, file, compress_to_fp16=False)


def _check(found: Tensor, expected: Tensor) -> None:
    """A tracer writes down the shapes of its example: a tower that depends on them in other ways computes something
    else for three clips than torch does, or fails."""
    worst = (found - expected).abs().max() / expected.abs().max() if found.shape == expected.shape else torch.inf
    if not worst <= _TOLERANCE:
        raise EngineUnavailable(f"OpenVINO computes something else than torch: off by {float(worst):.1e}")


@cache
def openvino_core() -> Any:
    """The one Core of this process. Each Core gives the thread that makes it another stack for the handlers of signals.
    Where two end, the thread is left with a stack that is freed already, and the next signal crashes the process.
    Raises: EngineUnavailable."""
    return import_openvino().Core()


def import_openvino() -> Any:
    """Raises: EngineUnavailable."""
    from models.engines import silence  # noqa: F401

    try:
        import openvino
    except ImportError as error:
        raise EngineUnavailable("the package openvino is missing (install vireo-server[openvino])") from error
    return openvino


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
