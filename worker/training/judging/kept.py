"""What a run keeps of its judged clips from one look at them to the next: decoded frames, and what a frozen trunk made
of them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.frames.arrays import UInt8Array
from models.image.tower import ImageTower
from models.recognition.video_encoder import VideoEncoder, pass_size

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


def tower_of(encoder: VideoEncoder) -> ImageTower | None:
    """The tower whose trunk may be called by itself, if the encoder has one that looks at each frame alone."""
    tower = encoder.image_tower
    return tower if isinstance(tower, ImageTower) and not tower.mixes_time else None


@torch.inference_mode()
def trunk_of_clip(encoder: VideoEncoder, tower: ImageTower, frames: UInt8Array, most: int) -> Tensor:
    """frames: uint8 [T, S, S, 3] → [T, …] on the CPU, computed as `VideoEncoder.video_vectors` does. most: frames in
    one forward pass."""
    size = pass_size(most, 1)
    passes = [tower.trunk(encoder.pixels(frames[at : at + size], 1), 1).cpu() for at in range(0, len(frames), size)]
    return torch.cat(passes)  # [T, …]


def after_trunk(encoder: VideoEncoder, most: int) -> FromTrunk:
    """The rest of an encoder. most: frames in one pass."""
    tower = tower_of(encoder)
    assert tower is not None

    @torch.inference_mode()
    def rest(x: Tensor) -> Tensor:
        passes = torch.split(x.flatten(0, 1), pass_size(most, 1))  # each [N, …]
        features = torch.cat([tower.features(part.to(encoder.device)).float() for part in passes])  # [B·T, d]
        return encoder.pool(features.view(*x.shape[:2], -1))  # [B, T, d] → [B, d]

    return rest


def _append(file: FileIO, frames: UInt8Array) -> bool:
    """Whether all of it was written."""
    try:
        return file.write(frames.tobytes()) == frames.nbytes
    except OSError as error:
        log.warning("decoded frames are not kept: %s", error)
        return False
