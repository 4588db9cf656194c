from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from core.settings import Settings


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIREO_PORT", "8001")
    monkeypatch.setenv("VIREO_ALLOWED_HOSTS", "Files.intern, media.intern")
    monkeypatch.setenv("VIREO_REDIS_URL", "")
    settings = Settings()
    assert settings.port == 8001
    assert settings.allowed_hosts == {"files.intern", "media.intern"}
    assert settings.redis_url is None


def test_invalid_settings_are_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIREO_PORT", "99999")
    with pytest.raises(ValidationError, match="port"):
        Settings()
    monkeypatch.setenv("VIREO_PORT", "8001")
    monkeypatch.setenv("VIREO_PLAYER_ORIGINS", "http://localhost:8080, labels.example.org/studio")
    with pytest.raises(ValidationError, match=r"'labels.example.org/studio' is not an origin"):
        Settings()


def test_nothing_changes_under_a_running_process() -> None:
    with pytest.raises(ValidationError):
        setattr(Settings(), "port", 1)  # noqa: B010 - the assignment that types already refuse


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_derived_paths_and_urls(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, redis_url="redis://here/1")
    assert settings.store_url == (tmp_path / "store").as_uri()
    assert settings.cache_redis == "redis://here/1"


def test_a_value_can_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis_url").write_text("redis://:pass@host/0\n")
    (tmp_path / "hosts").write_text("a.example, B.example\n")
    monkeypatch.setenv("VIREO_REDIS_URL", "redis://default/0")
    monkeypatch.setenv("VIREO_REDIS_URL_FILE", str(tmp_path / "redis_url"))
    monkeypatch.setenv("VIREO_ALLOWED_HOSTS_FILE", str(tmp_path / "hosts"))
    monkeypatch.setenv("VIREO_STORE_FILE", "")
    settings = Settings()
    assert settings.redis_url == "redis://:pass@host/0"
    assert settings.allowed_hosts == {"a.example", "b.example"}
    assert settings.store is None
    assert Settings(redis_url="redis://given").redis_url == "redis://given"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIREO_REDIS_URL_FILE", str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match=r"VIREO_REDIS_URL_FILE names the file .*nothing"):
        Settings()


def test_settings_in_a_file_for_a_child_hold_no_secret() -> None:
    written = Settings(webhook_secret=SecretStr("a secret of sixteen")).model_dump_json()
    assert "secret" not in written
    assert Settings.model_validate_json(written).webhook_secret is None
