"""Clips kept on disk as raw frames, so that only the first epoch decodes video. Runs in a decode child; no torch.

There is one file per clip and kind of request. It is written under a temporary name and moved into place; its name is
the digest of everything that its content depends on.
For training the file holds `candidate_indices`: four frames of each segment, uncropped and with the profile's short
side (4·T·h·w·3 bytes: 11 MB for 8 frames of a 16:9 video at 256). An epoch then draws among these four instead of among
all frames of the segment. This is the only difference from decoding; clips of at most 4·T frames have none.
For evaluation it holds exactly the crops that decoding gives.

The cache only saves time: an entry that is missing, incomplete or damaged is made again. If an entry cannot be written,
the frames are used and not kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.frames.arrays import UInt8Array
from models.frames.augmentation import Draw
from models.frames.sampling import CANDIDATES, candidate_indices, train_indices
from models.frames.transforms import shrink_frame
from models.weights.digests import digest
from worker.video.clip import DecodeReport, DecodeRequest, decode_clip, decode_frames
from worker.video.container import VideoInfo

log = logging.getLogger(__name__)

_FORMAT = 1  # raised when what an entry holds changes
_ENTRY, _PART = ".frames", ".part"
_RESERVED_BYTES = 1 << 30
"""Bytes of free disk space that the cache leaves for other uses."""
_ABANDONED_SECONDS = 3600.0  # a part that is older was left behind by a child that was killed


def decode_cached(path: Path, request: DecodeRequest, directory: Path, out: UInt8Array) -> DecodeReport:
    """`decode_clip` through the cache in `directory`, which must exist. Raises: as `decode_clip`."""
    file = directory / f"{_address(path, request)}{_ENTRY}"
    try:
        entry = _CachedEntry.open(file)
        return replace(_fill(entry, request, out), source="cache", decoded=0)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("a cached clip cannot be used and is decoded again: %s", error)
    if request.draw is None:
        report = decode_clip(path, request, out)
        _write(file, list(out.reshape(-1, *out.shape[2:])), report)  # [V · T, S, S, 3]
        return report
    decoded = _decode_candidates(path, request)
    _write(file, decoded.frames, decoded.report)
    return _draw(decoded, request, request.draw, out)


def open_frame_cache(directory: Path) -> None:
    """Create the directory, and delete incomplete files that killed children left in it."""
    directory.mkdir(parents=True, exist_ok=True)
    for part in directory.glob(f"*{_PART}"):
        try:
            if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                part.unlink()
        except OSError:  # another process has deleted it
            continue


@dataclass(frozen=True, slots=True)
class _DecodedEntry:
    """frames: uint8 [h, w, 3] each, in the order of the report's timestamps."""

    frames: Sequence[UInt8Array]
    report: DecodeReport

    def __len__(self) -> int:
        return len(self.frames)

    def frame(self, number: int) -> UInt8Array:
        return self.frames[number]


@dataclass(frozen=True, slots=True)
class _CachedEntry:
    """A file: one line of JSON, then the frames as raw bytes. sums: crc32 of each frame."""

    file: Path
    start: int
    shape: tuple[int, int, int]
    sums: tuple[int, ...]
    report: DecodeReport

    @classmethod
    def open(cls, file: Path) -> _CachedEntry:
        """Raises: OSError, ValueError, KeyError, TypeError if the entry is missing or incomplete."""
        with file.open("rb") as stream:
            line = stream.readline()
        header = json.loads(line)
        height, width, channels = header["shape"]
        return cls(file, len(line), (height, width, channels), tuple(header["sums"]), _report(header["report"]))

    def __len__(self) -> int:
        return len(self.sums)

    def frame(self, number: int) -> UInt8Array:
        """uint8 [h, w, 3]. Raises: OSError, ValueError if it is not what was written."""
        size = int(np.prod(self.shape))
        with self.file.open("rb") as stream:
            stream.seek(self.start + number * size)
            data = stream.read(size)
        if zlib.crc32(data) != self.sums[number]:
            raise ValueError(f"frame {number} of {self.file.name} is damaged")
        return np.frombuffer(data, np.uint8).reshape(self.shape)


def _fill(entry: _CachedEntry, request: DecodeRequest, out: UInt8Array) -> DecodeReport:
    if request.draw is not None:
        return _draw(entry, request, request.draw, out)
    by_frame = out.reshape(-1, *out.shape[2:])  # [V · T, S, S, 3]
    for number in range(len(by_frame)):
        by_frame[number] = entry.frame(number)
    return entry.report


def _draw(clip: _DecodedEntry | _CachedEntry, request: DecodeRequest, draw: Draw, out: UInt8Array) -> DecodeReport:
    chosen = train_indices(len(clip), request.frames, draw.for_frames())  # [T]
    for slot, number in enumerate(chosen):
        out[0, slot] = draw.frame(Image.fromarray(clip.frame(int(number))), request.profile, slot)
    times = clip.report.timestamps[0]
    return replace(clip.report, timestamps=(tuple(times[number] for number in chosen),))


def _decode_candidates(path: Path, request: DecodeRequest) -> _DecodedEntry:
    sizes: list[tuple[int, int]] = []

    def shrink(rgb: UInt8Array) -> UInt8Array:
        small = shrink_frame(rgb, request.profile)
        sizes.append((small.shape[1], small.shape[0]))
        if sizes[-1] != sizes[0]:  # a stream may change its size, but all frames of an entry have one size
            small = np.asarray(Image.fromarray(small).resize(sizes[0]))
        return small

    decoded = decode_frames(path, request, lambda n: candidate_indices(n, request.frames)[None], shrink)
    return _DecodedEntry(decoded.frames[0], decoded.report)


def _write(file: Path, frames: Sequence[UInt8Array], report: DecodeReport) -> None:
    """frames: uint8 [h, w, 3] each, of one size."""
    part = file.with_name(f"{file.stem}-{secrets.token_hex(4)}{_PART}")
    pixels = [frame.tobytes() for frame in frames]
    header = {"shape": frames[0].shape, "sums": [zlib.crc32(data) for data in pixels], "report": asdict(report)}
    try:
        if shutil.disk_usage(file.parent).free < len(pixels) * len(pixels[0]) + _RESERVED_BYTES:
            _warn_once(f"the disk has less than {_RESERVED_BYTES >> 20} MB of free space")
            return
        try:
            with part.open("xb") as stream:
                stream.write(json.dumps(header).encode() + b"\n")
                stream.writelines(pixels)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        _warn_once(error.strerror or type(error).__name__)


@cache
def _warn_once(why: str) -> None:
    """Each reason is logged once per child."""
    log.warning("decoded frames are not cached: %s", why)


def _address(path: Path, request: DecodeRequest) -> str:
    profile, content = request.profile, _content(path)
    if request.draw is None:
        return digest(_FORMAT, "crops", content, profile.vision_digest(), str(request.views), request.frames)
    frames = CANDIDATES, request.frames
    return digest(_FORMAT, "candidates", content, frames, profile.short_side, profile.interpolation)


def _content(path: Path) -> str:
    """sha256 of the file. The clips of a dataset are named by it, and a dataset never changes."""
    if re.fullmatch(r"[0-9a-f]{64}", path.name):
        return path.name
    try:
        status = path.stat()
    except FileNotFoundError:
        return ""  # decoding reports the error
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256(
    path: Path, _size: int, _mtime_ns: int
) -> str:  # a change of size or time means that the content must be read again
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _report(data: dict[str, Any]) -> DecodeReport:
    timestamps = tuple(tuple(row) for row in data["timestamps"])
    return DecodeReport(
        **{**data, "info": VideoInfo(**data["info"]), "timestamps": timestamps, "warnings": tuple(data["warnings"])}
    )
