"""The directory of a backup.

manifest.json   format, schema, time, and the digests of the other two; written last
redis.jsonl     the keys of Redis
files.jsonl     key, size and digest of each file of the store
store/          these files
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from core.records import SCHEMA

FORMAT: Final = 1
MANIFEST, REDIS, FILES, STORE = "manifest.json", "redis.jsonl", "files.jsonl", "store"

_PIECE = 1 << 20


class BackupProblem(Exception):
    """A backup cannot be made or restored; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class CopiedFile:
    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What a backup holds."""

    keys: int
    files: int
    bytes: int
    """Of the files."""
    created_at: float
    """Unix seconds."""


def digest_of(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def write_manifest(directory: Path, files: Iterable[CopiedFile], keys: int) -> Summary:
    """Complete a backup whose other files are there."""
    count = size = 0
    with (directory / FILES).open("w", encoding="utf-8") as out:
        for each in files:
            out.write(json.dumps(asdict(each)) + "\n")
            count, size = count + 1, size + each.bytes
    summary = Summary(keys, count, size, time.time())
    digests = {name: digest_of(directory / name) for name in (REDIS, FILES)}
    manifest = {"format": FORMAT, "schema": SCHEMA, **asdict(summary), "sha256": digests}
    part = directory / f"{MANIFEST}.part"
    part.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    part.replace(directory / MANIFEST)
    return summary


def read_manifest(directory: Path) -> dict[str, Any]:
    """Raises: BackupProblem for a directory that is no whole backup, and for one of a newer Vireo."""
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BackupProblem(f"{directory} has no {MANIFEST}: it is no backup, or one that was interrupted.") from None
    except (OSError, ValueError) as error:
        raise BackupProblem(f"{directory / MANIFEST} cannot be read: {error}.") from None
    if manifest.get("format") != FORMAT or manifest.get("schema", 0) > SCHEMA:
        raise BackupProblem(
            f"{directory} was made by a newer Vireo (format {manifest.get('format')}, "
            f"schema {manifest.get('schema')}); "
            f"this one reads format {FORMAT} and schema {SCHEMA}. Restore it with that version."
        )
    return manifest


def files_of(directory: Path) -> Iterator[CopiedFile]:
    with (directory / FILES).open(encoding="utf-8") as lines:
        for line in lines:
            yield CopiedFile(**json.loads(line))


def verify(directory: Path) -> dict[str, Any]:
    """The manifest of a whole backup. Raises: BackupProblem, which names the first file that is missing or damaged."""
    manifest = read_manifest(directory)
    for name in (REDIS, FILES):
        _check(directory / name, manifest["sha256"][name])
    for each in files_of(directory):
        _check(directory / STORE / each.key, each.sha256)
    return manifest


def _check(path: Path, sha256: str) -> None:
    try:
        damaged = digest_of(path) != sha256
    except OSError as error:
        raise BackupProblem(f"{path} is missing or cannot be read ({error.strerror}); nothing was restored.") from None
    if damaged:
        raise BackupProblem(f"{path} is damaged: its bytes are not those of the backup; nothing was restored.")
