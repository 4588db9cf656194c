from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from typer import Typer
from typer.testing import CliRunner

from core.access.audit import entries
from core.settings import get_settings
from launcher import data_commands
from tests.redis_server import serving_redis

FOUND = '[{"kind": "blob", "name": "blobs/a", "bytes": 1200, "why": "no record names it"}]'


@pytest.fixture(autouse=True)
def client(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    use(redis_url, tmp_path / "data", monkeypatch)
    monkeypatch.setattr("core.settings.get_settings", get_settings.__wrapped__)
    return redis.Redis.from_url(redis_url, decode_responses=True)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[redis.Redis]:
    (tmp_path / "r").mkdir()
    with serving_redis(tmp_path / "r") as socket:
        yield redis.Redis.from_url(f"unix://{socket}", decode_responses=True)


def use(redis_url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIREO_REDIS_URL", redis_url)
    monkeypatch.setenv("VIREO_DATA_DIR", str(data_dir))


def run(*arguments: str, status: int = 0) -> str:
    app = Typer()
    for command in (data_commands.backup, data_commands.restore, data_commands.gc):
        app.command()(command)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, result.output
    return result.output


def audited(client: redis.Redis) -> list[tuple[str, str | None]]:
    return [(entry.action, entry.target) for entry in entries(client, 10)]


def test_backups_and_restores_are_in_the_audit_log(
    client: redis.Redis, other: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = str(tmp_path / "backup")
    run("backup", directory)
    assert audited(client) == [("backup", directory)]
    run("backup", directory, status=1)
    assert len(audited(client)) == 1  # nothing was done
    use(f"unix://{tmp_path}/r/redis.sock", tmp_path / "restored", monkeypatch)
    run("restore", directory)
    assert audited(other) == [("restore", directory)]


def test_clearing_is_in_the_audit_log_and_a_dry_run_is_not(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = subprocess.CompletedProcess([], 0, FOUND, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: found)
    assert "1 things with 1,200 bytes would go." in run("gc", "--dry-run")
    assert audited(client) == []
    assert "1 things with 1,200 bytes went." in run("gc")
    assert audited(client) == [("gc", "1 things with 1,200 bytes")]


def test_clearing_that_failed_says_why_and_is_not_in_the_audit_log(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "a\nno store")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    assert "no store" in run("gc", status=1)
    assert audited(client) == []
