"""How a backup is restored: into an empty Redis and an empty store, and only after every file of it was checked.

While it runs, `keys.RESTORING` stands in Redis, and no gateway or worker starts on it. A restore that fails leaves the
mark: what it has written is not whole.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Final

from redis import Redis

from core.backup.manifest import REDIS, STORE, BackupProblem, CopiedFile, Summary, files_of, verify
from core.backup.snapshot import is_empty, load_entries, read_entries
from core.projects import DEFAULT_PROJECT
from core.state import keys
from core.state.project_keys import ProjectKeys
from core.storage import Store, blob_key

_PIECE = 1 << 20
_VIDEO = re.compile(r"vireo:(?:project:(?P<project>[^:]+):)?video:(?P<sha256>[0-9a-f]{64})")
_JOB = re.compile(r"vireo:job:(job_[0-9a-f]+)")

# KEYS: video, videos, videos created, videos uncertain    ARGV: sha256
_DROP_VIDEO: Final = """
redis.call('DEL', KEYS[1])
for index = 2, 4 do redis.call('ZREM', KEYS[index], ARGV[1]) end
"""

# KEYS: FINISHED, PAYLOADS, the list of the job    ARGV: id, prefix of job keys
_DROP_JOB: Final = """
local job = ARGV[2] .. ARGV[1]
local held = redis.call('HGET', job, 'idempotency')
if held then redis.call('DEL', held) end
for index = 1, 3 do redis.call('ZREM', KEYS[index], ARGV[1]) end
redis.call('DEL', job, job .. ':events', job .. ':metrics')
"""


def restore_backup(directory: Path, redis: Redis, store: Store) -> Summary:
    """Raises: BackupProblem, RedisError, StorageUnavailable, OSError."""
    manifest = verify(directory)
    if not is_empty(redis):
        raise BackupProblem("Redis is not empty. Restore into a new data directory, or into a Redis of its own.")
    if stored := store.listing():
        raise BackupProblem(f"The store is not empty: it has {len(stored)} files. Restore into a new one.")
    redis.set(keys.RESTORING, "1")
    for file in files_of(directory):
        _put(store, directory / STORE / file.key, file)
    load_entries(redis, read_entries(directory / REDIS))
    _drop_what_lacks_files(redis, store)
    redis.delete(keys.RESTORING)
    return Summary(manifest["keys"], manifest["files"], manifest["bytes"], manifest["created_at"])


def _put(store: Store, path: Path, file: CopiedFile) -> None:
    found = hashlib.sha256()
    with store.stage() as staged, path.open("rb") as content:
        while piece := content.read(_PIECE):
            found.update(piece)
            staged.write(piece)
        if found.hexdigest() != file.sha256:
            raise BackupProblem(f"{path} has changed since it was checked; the restore is not whole.")
        store.publish(staged, file.key)


def _drop_what_lacks_files(redis: Redis, store: Store) -> None:
    """Records of what was deleted while the backup was made, or whose bytes had not arrived."""
    drop_video, drop_job = redis.register_script(_DROP_VIDEO), redis.register_script(_DROP_JOB)
    for name in list(redis.scan_iter("vireo:*video:*", count=1000)):
        if video := _VIDEO.fullmatch(name):
            own, sha256 = ProjectKeys(video["project"] or DEFAULT_PROJECT), video["sha256"]
            if not store.of(own.project).exists(blob_key(sha256)):
                lists = [own.videos, own.videos_created, own.videos_uncertain]
                drop_video(keys=[name, *lists], args=[sha256])
    for name in list(redis.scan_iter("vireo:job:*", count=1000)):
        if (job := _JOB.fullmatch(name)) and _lacks_files(redis, store, name):
            jobs = redis.hget(name, "list") or ProjectKeys().jobs
            drop_job(keys=[keys.FINISHED, keys.PAYLOADS, str(jobs)], args=[job[1], keys.job("")])


def _lacks_files(redis: Redis, store: Store, name: str) -> bool:
    """An unfinished job without its files stays: it fails, in words."""
    state, *files = list[Any](redis.hmget(name, "state", "request_key", "result_key"))
    final = state in ("succeeded", "failed", "cancelled")
    return final and any(key is not None and not store.exists(str(key)) for key in files)
