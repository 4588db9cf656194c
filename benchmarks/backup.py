"""What a backup and a restore take with as many finished jobs as are stored by default, and how long Redis is silent.

An embedded Redis with 20,000 finished questions about 3 labels, and a store with 500 videos of 200 kB. While `vireo
backup`'s code runs, another client pings Redis all the time: its longest wait is how long Redis answered nobody.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import redis

from benchmarks.redis_memory import Jobs, cases
from benchmarks.repetition import repeated
from benchmarks.report import Row, report
from core.backup.making import make_backup
from core.backup.manifest import Summary
from core.backup.restoring import restore_backup
from core.state.project_keys import ProjectKeys
from core.state.video_records import RECORD, record_args
from core.storage import Store, blob_key
from tests.redis_server import serving_redis

JOBS: Final = 20_000
VIDEOS: Final = 500
VIDEO_BYTES: Final = 200_000
SILENCE: Final = 5.0
"""Seconds after which Redis answers others with an error, while one script runs."""


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as root:
        folder = Path(root)
        with _installation(folder / "first") as (client, store):
            _, request, result = cases()[0]
            finished = Jobs(client, folder / "first").finish_many(request, result, JOBS)
            _add_videos(client, store)
            with _pinged(client) as waits:
                began = time.perf_counter()
                made = make_backup(client, store, folder / "backup")
                backup = time.perf_counter() - began
        with _installation(folder / "second") as (client, store):
            began = time.perf_counter()
            restored = restore_backup(folder / "backup", client, store)
            restore = time.perf_counter() - began
    return report("backup", _rows(finished, made, backup, max(waits), restored, restore))


def _rows(finished: int, made: Summary, backup: float, silence: float, restored: Summary, restore: float) -> list[Row]:
    return [
        Row("finished jobs", finished, "", f"all {JOBS}", finished == JOBS),
        Row("keys of Redis in the backup", made.keys, ""),
        Row("files of the store in the backup", made.files, "", f"at least {VIDEOS}", made.files >= VIDEOS),
        Row("backup", backup, "s"),
        Row("longest wait for Redis meanwhile", silence, "s", f"below {SILENCE:g}", silence < SILENCE),
        Row("restore", restore, "s", "everything", restored == made),
    ]


@contextmanager
def _installation(folder: Path) -> Iterator[tuple[redis.Redis, Store]]:
    """An empty Redis and an empty store."""
    folder.mkdir()
    with serving_redis(folder) as socket, redis.Redis(unix_socket_path=str(socket), decode_responses=True) as client:
        yield client, Store((folder / "store").as_uri(), folder / "spool")


def _add_videos(client: redis.Redis, store: Store) -> None:
    record = client.register_script(RECORD)
    for _ in range(VIDEOS):
        with store.stage() as staged:
            staged.write(os.urandom(VIDEO_BYTES))
            sha256 = staged.sha256
            script_keys, args = record_args(sha256, VIDEO_BYTES, time.time(), 2e9, ProjectKeys())
            record(keys=script_keys, args=args)
            store.publish(staged, blob_key(sha256))


@contextmanager
def _pinged(client: redis.Redis) -> Iterator[list[float]]:
    """The seconds that each ping took, to another client."""
    waits = list[float]()

    def ping() -> None:
        began = time.perf_counter()
        try:
            client.ping()
        finally:  # a Redis that is busy for too long refuses it
            waits.append(time.perf_counter() - began)

    with repeated(ping, 0.005):
        yield waits


if __name__ == "__main__":
    sys.exit(not main())
