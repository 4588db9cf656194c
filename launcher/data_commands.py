"""`vireo gc`, `vireo backup` and `vireo restore`: upkeep and copies of what an installation stores. Each command
imports its modules when it runs, as those of `launcher.commands` do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.processes import SAFE_PATH
from vireo.cli.console import AsJson, out, print_error, print_json
from vireo.cli.exit_codes import Exit
from vireo.errors import VireoError

if TYPE_CHECKING:
    from redis import Redis

    from core.backup.manifest import Summary
    from core.storage import Store

Directory = Annotated[Path, typer.Argument(file_okay=False, help="The directory of the backup.")]


def backup(directory: Directory, as_json: AsJson = False) -> None:
    """Copy Redis and the store of this installation into a new directory, while it runs or not."""
    from core.access.audit import write_entry
    from core.backup.making import make_backup

    with _data(as_json) as (redis, store):
        made = make_backup(redis, store, directory)
        write_entry(redis, "backup", str(directory.absolute()))
    _say("Backed up", directory, made, as_json=as_json)


def restore(directory: Directory, as_json: AsJson = False) -> None:
    """Restore a backup into this installation, which must be empty and must not run."""
    from core.access.audit import write_entry
    from core.backup.restoring import restore_backup

    with _data(as_json) as (redis, store):
        restored = restore_backup(directory, redis, store)
        write_entry(redis, "restore", str(directory.absolute()))
    _say("Restored", directory, restored, as_json=as_json)


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what is stored too long or too much, and files that belong to nothing. What is in use stays."""
    from core.access.audit import write_entry

    with _data(as_json) as (redis, _):
        done = _collect(redis, dry_run=dry_run)
        found = json.loads(done.stdout or "[]")
        size = sum(each["bytes"] for each in found)
        amount = f"{len(found)} things with {size:,} bytes"
        if not dry_run and not done.returncode:
            write_entry(redis, "gc", amount)
    if done.returncode:
        print_error(VireoError(done.stderr.strip().rpartition("\n")[2]), as_json=as_json)
        raise typer.Exit(Exit.FAILED)
    if as_json:
        print_json({"dry_run": dry_run, "bytes": size, "items": found})
        return
    for each in found:
        line = f"{each['kind']:10} {each['bytes']:>12,} bytes  {each['name']}: {each['why']}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    out.print(f"{amount} {'would go' if dry_run else 'went'}.", highlight=False)


def _collect(redis: Redis, *, dry_run: bool) -> subprocess.CompletedProcess[str]:
    """The launcher imports no other room: a process of the gateway's room does it, and prints what it found."""
    from launcher.stored_data import redis_url

    environment = os.environ | {"VIREO_REDIS_URL": redis_url(redis)} | SAFE_PATH
    command = [sys.executable, "-P", "-m", "service.collection", *(["--dry-run"] if dry_run else [])]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@contextmanager
def _data(as_json: bool) -> Iterator[tuple[Redis, Store]]:
    """The Redis and the store of the settings. Every expected failure is one line."""
    from redis.exceptions import RedisError

    from core.backup.manifest import BackupProblem
    from core.errors import StorageUnavailable
    from core.settings import get_settings
    from core.storage import Store
    from launcher.embedded_redis import RedisMissing
    from launcher.redis_at_hand import NoRedis, redis_at_hand

    settings = get_settings()
    try:
        with redis_at_hand(settings) as redis:
            yield redis, Store.from_settings(settings)
    except (BackupProblem, NoRedis, RedisMissing, RedisError, StorageUnavailable, OSError) as error:
        print_error(VireoError(str(error)), as_json=as_json)
        raise typer.Exit(Exit.FAILED) from None


def _say(done: str, directory: Path, summary: Summary, *, as_json: bool) -> None:
    if as_json:
        print_json({"directory": str(directory), **asdict(summary)})
        return
    size = f"{summary.bytes / 1e6:.1f} MB"
    text = f"{done} {directory}: {summary.keys} keys of Redis, and {summary.files} files of the store with {size}."
    out.print(text, highlight=False, markup=False, soft_wrap=True)
