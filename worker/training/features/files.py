"""Files of frozen features, by clip and kind. No torch.

    <data dir>/features/<project>/datasets/<dataset>    the clips of a dataset, one sha256 per line
    <data dir>/features/<project>/clips/<clip>/<kind>   crc32 of what follows, and what was written

A clip's files stay while a dataset of the project that was trained on here has the clip, and while there is room: the
least recently used file is deleted first. Each project has files of its own. If they were shared, another project would
learn from the time of its run that this one has the same clip.

Files only save time: what is missing or damaged is computed again, and what cannot be written is not kept.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from core.settings import Settings

log = logging.getLogger(__name__)

RESERVED_BYTES: Final = 2 << 30  # of free disk space that the files leave for other uses
_CHECKS: Final = 16  # sizes are summed up again after each such share of the limit has been written
_PART: Final = ".part"
_ABANDONED_SECONDS: Final = 3600.0  # a part that is older was left behind by a process that was killed
_SUM_BYTES: Final = 4


class FeatureFiles:
    """Those of one project."""

    def __init__(self, directory: Path, project: str, most: int) -> None:
        """directory: of all projects; most: bytes of all projects, 0 to keep none."""
        self._directory, self._own, self._most = directory, directory / project, most
        self._unsummed = most  # bytes written since sizes were last summed up

    @classmethod
    def of(cls, settings: Settings, project: str) -> FeatureFiles:
        return cls(settings.features_dir, project, settings.feature_bytes)

    def claim(self, dataset: str, clips: Iterable[str]) -> None:
        """Keep files of these clips until the dataset is deleted."""
        if self._most:
            with suppress(OSError):
                _write_whole(self._own / "datasets" / dataset, "".join(f"{clip}\n" for clip in clips).encode())

    def read(self, clip: str, kind: str) -> bytearray | None:
        """What was written, if it is still there."""
        if not self._most:
            return None
        path = self._path(clip, kind)
        try:
            stored = bytearray(path.read_bytes())
            os.utime(path)  # used now
        except OSError:
            return None
        data = stored[_SUM_BYTES:]
        if zlib.crc32(data).to_bytes(_SUM_BYTES, "little") != stored[:_SUM_BYTES]:
            log.warning("features of a clip are damaged and are computed again")
            path.unlink(missing_ok=True)
            return None
        return data

    def write(self, clip: str, kind: str, data: bytes) -> None:
        """It appears whole or not at all."""
        if len(data) > self._most:
            return
        try:
            self._make_room(len(data))
            if shutil.disk_usage(self._directory).free < len(data) + RESERVED_BYTES:
                _warn_once("the disk has too little free space")
                return
            _write_whole(self._path(clip, kind), zlib.crc32(data).to_bytes(_SUM_BYTES, "little") + data)
        except OSError as error:
            _warn_once(error.strerror or type(error).__name__)

    def _path(self, clip: str, kind: str) -> Path:
        return self._own / "clips" / clip / kind

    def _make_room(self, size: int) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._unsummed += size
        part = self._most // _CHECKS
        if self._unsummed > part:
            self._unsummed = size
            trim(self._directory, self._most - max(size, part))


def trim(directory: Path, most: int) -> None:
    """Delete the least recently used files of all projects until the others have at most so many bytes."""
    found = sorted(_sizes(directory))
    total = sum(size for _, size, _ in found)
    for _, size, path in found:
        if total <= most:
            return
        path.unlink(missing_ok=True)
        total -= size


def sweep(directory: Path, exists: Callable[[str, str], bool]) -> None:
    """Delete the files of clips that no dataset has any more, and parts of killed processes. exists: whether there is
    a dataset, by project and id."""
    for project in _names(directory):
        own = directory / project
        wanted: set[str] = set()
        for dataset in _names(own / "datasets"):
            if exists(project, dataset):
                wanted.update((own / "datasets" / dataset).read_text(encoding="utf-8").split())
            elif not dataset.endswith(_PART):
                (own / "datasets" / dataset).unlink(missing_ok=True)
        for clip in _names(own / "clips"):
            if clip not in wanted:
                shutil.rmtree(own / "clips" / clip, ignore_errors=True)
    for used, _, path in _sizes(directory):
        if path.suffix == _PART and time.time() - used > _ABANDONED_SECONDS:
            path.unlink(missing_ok=True)


def _sizes(directory: Path) -> Iterator[tuple[float, int, Path]]:
    """When each file was last used, its size and its path."""
    for path in directory.glob("*/clips/*/*"):
        with suppress(OSError):  # deleted meanwhile
            status = path.stat()
            yield status.st_mtime, status.st_size, path


def _names(directory: Path) -> list[str]:
    try:
        return [entry.name for entry in directory.iterdir()]
    except OSError:
        return []


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}-{secrets.token_hex(4)}{_PART}")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@cache
def _warn_once(why: str) -> None:
    """Each reason is logged once."""
    log.warning("features of clips are not kept: %s", why)
