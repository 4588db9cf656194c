"""What an image tower's trunk makes of clips, as files (files.py)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor

from models.image.tower import ImageTower
from models.image.trunk_digest import trunk_digest
from models.weights.digests import digest
from worker.training.features.files import FeatureFiles

_FORMAT: Final = 2  # raised when what a file holds changes
_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PACKAGES: Final = ("torch", "open_clip_torch", "timm")  # what computes: sums of other versions may round differently

Road = Literal["served", "trained", "training"]
"""How the trunk is called: as served; or by a video model in fp32, in evaluation or in training mode. The same weights
may round differently."""


@dataclass(frozen=True, slots=True)
class TrunkFiles:
    """The outputs of one trunk for clips that are read in one way. A file is a function of its name: each clip is
    encoded by itself, so it does not depend on the clips beside it."""

    files: FeatureFiles
    kind: str

    @classmethod
    def of(
        cls, files: FeatureFiles | None, tower: ImageTower, road: Road, device: torch.device, *reading: str | int
    ) -> TrunkFiles | None:
        """reading: everything besides trunk, road and device that the outputs depend on: how clips become pixels, and
        frames in one forward pass. None if nothing is kept, or if the trunk looks at other frames of a clip."""
        if files is None or tower.mixes_time:
            return None
        parts = trunk_digest(tower), road, device.type, _versions(), reading
        return cls(files, digest(_FORMAT, *parts)[:32])

    def read(self, clip: Path) -> Tensor | None:
        """clip: its file, named by its sha256 → [T, …] on the CPU."""
        stored = self.files.read(clip.name, self.kind)
        if stored is None:
            return None
        end = stored.index(b"\n")
        header = json.loads(stored[:end])
        x = torch.frombuffer(stored[end + 1 :], dtype=_DTYPES[header["dtype"]])
        return x.view(header["shape"])

    def write(self, clip: Path, x: Tensor) -> None:
        """x: [T, …]."""
        name = str(x.dtype).removeprefix("torch.")
        if name in _DTYPES:
            header = json.dumps({"dtype": name, "shape": list(x.shape)}).encode() + b"\n"
            raw = x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            self.files.write(clip.name, self.kind, header + raw)


@cache
def _versions() -> tuple[str, ...]:
    return tuple(metadata.version(name) for name in _PACKAGES)
