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
    from core.backup.making import make_backup

    with _data(as_json) as (redis, store):
        _say("Backed up", directory, make_backup(redis, store, directory), as_json=as_json)


def restore(directory: Directory, as_json: AsJson = False) -> None:
    """Restore a backup into this installation, which must be empty and must not run."""
    from core.backup.restoring import restore_backup

    with _data(as_json) as (redis, store):
        _say("Restored", directory, restore_backup(directory, redis, store), as_json=as_json)


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what is stored too long or too much, and files that belong to nothing. What is in use stays."""
    from launcher.stored_data import redis_url

    with _data(as_json) as (redis, _):
        environment = os.environ | {"VIREO_REDIS_URL": redis_url(redis)} | SAFE_PATH
        command = [sys.executable, "-P", "-m", "service.collection", *(["--dry-run"] if dry_run else [])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print_error(VireoError(done.stderr.strip().rpartition("\n")[2]), as_json=as_json)
        raise typer.Exit(Exit.FAILED)
    found = json.loads(done.stdout)
    if as_json:
        print_json({"dry_run": dry_run, "bytes": sum(each["bytes"] for each in found), "items": found})
        return
    for each in found:
        line = f"{each['kind']:10} {each['bytes']:>12,} bytes  {each['name']}: {each['why']}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    verb = "would go" if dry_run else "went"
    out.print(f"{len(found)} things with {sum(each['bytes'] for each in found):,} bytes {verb}.", highlight=False)


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
