from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

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


def test_nothing_changes_under_a_running_process() -> None:
    with pytest.raises(ValidationError):
        setattr(Settings(), "port", 1)  # noqa: B010 - the assignment that types already refuse


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_derived_paths_and_urls(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, redis_url="redis://here/1")
    assert settings.store_url == (tmp_path / "store").as_uri()
    assert settings.cache_redis == "redis://here/1"
