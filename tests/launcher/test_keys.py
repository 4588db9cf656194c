from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from core.access.keys import read_token
from core.access.ring import KeyRing
from core.settings import get_settings
from launcher.keys import keys_commands


@pytest.fixture(autouse=True)
def installation(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIREO_REDIS_URL", redis_url)
    monkeypatch.setenv("VIREO_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("core.settings.get_settings", get_settings.__wrapped__)


@pytest.fixture
def ring(redis_url: str) -> KeyRing:
    return KeyRing(redis.Redis.from_url(redis_url, decode_responses=True))


def run(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(keys_commands(), arguments)
    assert result.exit_code == status, result.output
    return result.output


def test_a_key_is_made_shown_once_listed_and_revoked(ring: KeyRing) -> None:
    token = read_token(run("create", "the camera", "--project", "yard").splitlines()[0])
    assert token is not None
    (key,) = ring.all()
    assert (key.id, key.name, key.project, key.scopes) == (token.id, "the camera", "yard", ("classify",))
    assert token.opens(key)
    listed = run("list")
    assert key.id in listed
    assert token.secret not in listed
    assert token.secret not in run("list", "--json")
    run("revoke", key.id)
    assert ring.all() == []
    assert "no key" in run("revoke", key.id, status=1)


def test_scopes_quotas_and_the_end_are_stored(ring: KeyRing) -> None:
    made = json.loads(
        run(
            *("create", "a", "--scope", "train", "--scope", "classify", "--expires", "2h", "--json"),
            *("--requests-per-minute", "60", "--video-seconds-per-day", "600", "--stored-bytes", "1000"),
        )
    )
    assert "digest" not in made
    (key,) = ring.all()
    assert key.scopes == ("classify", "train")
    assert key.expires_at == pytest.approx(key.created_at + 7200)
    assert (key.quotas.requests_per_minute, key.quotas.video_seconds_per_day, key.quotas.stored_bytes) == (
        60,
        600,
        1000,
    )


@pytest.mark.parametrize(
    "arguments", [("--scope", "everything"), ("--project", "A B"), ("--expires", "soon"), ("--expires", "0d")]
)
def test_what_is_wrong_is_said(ring: KeyRing, arguments: tuple[str, ...]) -> None:
    run("create", "a", *arguments, status=2)
    assert ring.all() == []


def test_the_audit_log_names_both(ring: KeyRing) -> None:
    run("create", "a")
    key_id = ring.all()[0].id
    run("revoke", key_id)
    assert [(each["action"], each["target"]) for each in json.loads(run("audit", "--json"))] == [
        ("key.create", key_id),
        ("key.revoke", key_id),
    ]
    assert "key.revoke" in run("audit")
