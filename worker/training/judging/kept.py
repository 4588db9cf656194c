"""What a run keeps of its judged clips from one look at them to the next: decoded frames, and what a frozen trunk made
of them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from models.frames.arrays import UInt8Array
from models.image.tower import ImageTower
from models.recognition.recognizer import Recognizer

log = logging.getLogger(__name__)

MAX_FRAME_BYTES = 64 << 30  # of one file; the clips of a larger gallery are decoded anew each time
RESERVED_BYTES = 2 << 30  # of free disk space that the files leave for other uses

FromTrunk = Callable[[Tensor], Tensor]
"""Outputs of the trunk [B, T, …] → video vectors [B, d]: neck and temporal head."""


class FrameFile:
    """The single views of a gallery's clips, one after the other, as raw bytes on disk. While there is memory, the
    kernel keeps the file there."""

    def __init__(self, path: Path, clip: tuple[int, int, int, int]) -> None:
        """path: of a new file; clip: shape of the frames of one clip [T, S, S, 3]."""
        self._path, self._clip = path, clip
        self._indices: list[int] | None = None  # of the clips in the file, once it is complete

    def through(self, clips: Iterable[tuple[int, UInt8Array]], most: int) -> Iterator[tuple[int, UInt8Array]]:
        """The clips (index, uint8 [1, T, S, S, 3]): from the file, or from `clips`, while they are written. most: how
        many there are, at most. A file that cannot be written to its end is not used."""
        if self._indices is not None:
            yield from self._read(self._indices)
        elif self._fits(most):
            yield from self._write(clips)
        else:
            yield from clips

    def _fits(self, clips: int) -> bool:
        size = clips * int(np.prod(self._clip))
        return size <= min(MAX_FRAME_BYTES, shutil.disk_usage(self._path.parent).free - RESERVED_BYTES)

    def _read(self, indices: list[int]) -> Iterator[tuple[int, UInt8Array]]:
        with self._path.open("rb") as file:
            for index in indices:
                frames = np.fromfile(file, np.uint8, int(np.prod(self._clip)))
                yield index, frames.reshape(1, *self._clip)

    def _write(self, clips: Iterable[tuple[int, UInt8Array]]) -> Iterator[tuple[int, UInt8Array]]:
        indices: list[int] = []
        whole = True
        with self._path.open("wb", buffering=0) as file:
            for index, frames in clips:
                whole = whole and _append(file, frames)
                indices.append(index)
                yield index, frames
        if whole:
            self._indices = indices
        else:
            self._path.unlink(missing_ok=True)


@dataclass(slots=True)
class KeptTrunk:
    """indices: of the clips; x: what the trunk made of each, [n, T, …], in the tower's precision, on the CPU."""

    indices: list[int]
    x: Tensor


@dataclass(slots=True)
class TrunkRecorder:
    """An image tower that keeps what its trunk makes."""

    tower: ImageTower
    outputs: list[Tensor] = field(default_factory=list)  # each [N, …]

    def __call__(self, pixels: Tensor, clip: int) -> Tensor:
        x = self.tower.trunk(pixels, clip)  # [N, …]
        self.outputs.append(x.cpu())
        return self.tower.features(x)  # [N, d]

    def kept(self, indices: list[int]) -> KeptTrunk:
        """indices: of the clips that were encoded, which all have as many frames."""
        x = torch.cat(self.outputs) if self.outputs else torch.empty(0)
        frames = len(x) // max(1, len(indices))  # T
        return KeptTrunk(indices, x.view(len(indices), frames, *x.shape[1:]))


def tower_of(recognizer: Recognizer) -> ImageTower:
    return cast("ImageTower", recognizer.image_tower)


def after_trunk(recognizer: Recognizer) -> FromTrunk:
    """The rest of a recogniser."""

    @torch.inference_mode()
    def rest(x: Tensor) -> Tensor:
        features = tower_of(recognizer).features(x.to(recognizer.device).flatten(0, 1)).float()  # [B·T, d]
        return recognizer.pool(features.view(*x.shape[:2], -1))  # [B, T, d] → [B, d]

    return rest


def _append(file: FileIO, frames: UInt8Array) -> bool:
    """Whether all of it was written."""
    try:
        return file.write(frames.tobytes()) == frames.nbytes
    except OSError as error:
        log.warning("decoded frames are not kept: %s", error)
        return False
