"""Clips kept on disk as raw frames, so that only the first epoch decodes video. No torch.

The worker finds and publishes entries (`through_cache`). A decode child reads or fills the one that it gets as an open
file (`decode_through`), and can reach no other.

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
import os
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.frames.arrays import UInt8Array
from models.frames.augmentation import Draw
from models.frames.picture import Picture, Pixels
from models.frames.sampling import CANDIDATES, candidate_indices, train_indices
from models.frames.transforms import shrink_frame
from models.profiles.profile import PIXELS
from models.weights.digests import digest
from worker.video.clip import DecodeReport, DecodeRequest, decode_clip, decode_frames
from worker.video.container import VideoInfo, VideoSource

log = logging.getLogger(__name__)

_FORMAT = 1  # raised when what an entry holds changes
_ENTRY, _PART = ".frames", ".part"
_RESERVED_BYTES = 1 << 30
"""Bytes of free disk space that the cache leaves for other uses."""
_ABANDONED_SECONDS = 3600.0  # a part that is older was left behind by a worker that was killed


MAX_ENTRY_BYTES = 1 << 30
"""An entry that would be larger is not kept."""


@dataclass(frozen=True, slots=True)
class OpenEntry:
    """An open file of the cache. stored: it holds frames; if not, it is empty and waits for them."""

    fd: int
    stored: bool


class DamagedEntry(Exception):
    """An entry does not hold what was written."""


Decode = Callable[[OpenEntry | None], tuple[DecodeReport, bool]]
"""Decodes a clip with or without an entry. → its report, and whether the entry is complete."""


def through_cache(directory: Path, path: Path, request: DecodeRequest, decode: Decode) -> DecodeReport:
    """In the worker: call `decode` with the entry of this clip and request. `directory` must exist.

    Raises: as `decode`, but no DamagedEntry: a damaged entry is made again.
    """
    file = directory / f"{_address(path, request)}{_ENTRY}"
    try:
        fd = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return _make_entry(file, decode)
    except OSError as error:
        log.warning("a cached clip cannot be used and is decoded again: %s", error)
        return decode(None)[0]
    try:
        return decode(OpenEntry(fd, stored=True))[0]
    except DamagedEntry as damage:
        log.warning("a cached clip cannot be used and is decoded again: %s", damage)
        return _make_entry(file, decode)
    finally:
        os.close(fd)


def decode_through(
    entry: OpenEntry, video: VideoSource, request: DecodeRequest, out: UInt8Array
) -> tuple[DecodeReport, bool]:
    """In the decode child: `decode_clip` by way of an entry. Raises: as `decode_clip`; DamagedEntry."""
    if entry.stored:
        try:
            return replace(_fill(_CachedEntry.read(entry.fd), request, out), source="cache", decoded=0), True
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedEntry(str(error)) from error
    if request.draw is None:
        report = decode_clip(video, request, out)
        return report, _write(entry.fd, list(out.reshape(-1, *out.shape[2:])), report)  # [V · T, S, S, 3]
    decoded = _decode_candidates(video, request)
    kept = _write(entry.fd, decoded.frames, decoded.report)
    return _draw(decoded, request, request.draw, out), kept


def open_frame_cache(directory: Path) -> None:
    """Create the directory, and delete incomplete files that killed workers left in it."""
    directory.mkdir(parents=True, exist_ok=True)
    for part in directory.glob(f"*{_PART}"):
        try:
            if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                part.unlink()
        except OSError:  # another process has deleted it
            continue


def _make_entry(file: Path, decode: Decode) -> DecodeReport:
    """An entry that cannot be kept costs nothing but the time that it would have saved."""
    part = file.with_name(f"{file.stem}-{secrets.token_hex(4)}{_PART}")
    try:
        if shutil.disk_usage(file.parent).free < MAX_ENTRY_BYTES + _RESERVED_BYTES:
            _warn_once(f"the disk has less than {(MAX_ENTRY_BYTES + _RESERVED_BYTES) >> 20} MB of free space")
            return decode(None)[0]
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        _warn_once(error.strerror or type(error).__name__)
        return decode(None)[0]
    try:
        report, kept = decode(OpenEntry(fd, stored=False))
        if kept:
            _publish(part, file)
        else:
            _warn_once("a file could not be written to its end")
        return report
    finally:
        os.close(fd)
        part.unlink(missing_ok=True)


def _publish(part: Path, file: Path) -> None:
    try:
        part.replace(file)
    except OSError as error:
        _warn_once(error.strerror or type(error).__name__)


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

    fd: int
    start: int
    shape: tuple[int, int, int]
    sums: tuple[int, ...]
    report: DecodeReport

    @classmethod
    def read(cls, fd: int) -> _CachedEntry:
        """Raises: OSError, ValueError, KeyError, TypeError if the entry is incomplete."""
        with os.fdopen(fd, "rb", closefd=False) as stream:
            line = stream.readline()
        header = json.loads(line)
        height, width, channels = header["shape"]
        return cls(fd, len(line), (height, width, channels), tuple(header["sums"]), _report(header["report"]))

    def __len__(self) -> int:
        return len(self.sums)

    def frame(self, number: int) -> UInt8Array:
        """uint8 [h, w, 3]. Raises: OSError, ValueError if it is not what was written."""
        size = int(np.prod(self.shape))
        data = os.pread(self.fd, size, self.start + number * size)
        if zlib.crc32(data) != self.sums[number]:
            raise ValueError(f"frame {number} is damaged")
        return np.frombuffer(data, np.uint8).reshape(self.shape)


def _fill(entry: _CachedEntry, request: DecodeRequest, out: UInt8Array) -> DecodeReport:
    if request.draw is not None:
        return _draw(entry, request, request.draw, out)
    by_frame = out.reshape(-1, *out.shape[2:])  # [V · T, S, S, 3]
    for number in range(len(by_frame)):
        by_frame[number] = entry.frame(number)
    return entry.report


def _draw(clip: _DecodedEntry | _CachedEntry, request: DecodeRequest, draw: Draw, out: UInt8Array) -> DecodeReport:
    chosen = train_indices(len(clip), request.frames, draw.for_frames(), request.profile.sampling)  # [T]
    for slot, number in enumerate(chosen):
        out[0, slot] = draw.frame(Pixels(clip.frame(int(number))), request.profile, slot)
    times = clip.report.timestamps[0]
    return replace(clip.report, timestamps=(tuple(times[number] for number in chosen),))


def _decode_candidates(video: VideoSource, request: DecodeRequest) -> _DecodedEntry:
    sizes: list[tuple[int, int]] = []

    def shrink(picture: Picture) -> UInt8Array:
        small = shrink_frame(picture, request.profile)
        sizes.append((small.shape[1], small.shape[0]))
        if sizes[-1] != sizes[0]:  # a stream may change its size, but all frames of an entry have one size
            small = np.asarray(Image.fromarray(small).resize(sizes[0]))
        return small

    decoded = decode_frames(
        video, request, lambda n: candidate_indices(n, request.frames, request.profile.sampling)[None], shrink
    )
    return _DecodedEntry(decoded.frames[0], decoded.report)


def _write(fd: int, frames: Sequence[UInt8Array], report: DecodeReport) -> bool:
    """frames: uint8 [h, w, 3] each, of one size. Returns whether all of them are written."""
    pixels = [frame.tobytes() for frame in frames]
    header = {"shape": frames[0].shape, "sums": [zlib.crc32(data) for data in pixels], "report": asdict(report)}
    try:
        with os.fdopen(fd, "wb", closefd=False) as stream:
            stream.write(json.dumps(header).encode() + b"\n")
            stream.writelines(pixels)
    except OSError:
        return False
    return True


@cache
def _warn_once(why: str) -> None:
    """Each reason is logged once."""
    log.warning("decoded frames are not cached: %s", why)


def _address(path: Path, request: DecodeRequest) -> str:
    profile, content = request.profile, _content(path)
    if request.draw is None:
        return digest(
            _FORMAT,
            "crops",
            content,
            profile.vision_digest(),
            str(request.views),
            request.frames,
            *(request.times or ()),
        )
    frames = CANDIDATES, request.frames, profile.sampling
    return digest(_FORMAT, PIXELS, "candidates", content, frames, profile.short_side, profile.interpolation)


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
