"""Each store that Vireo knows: a directory, fsspec's in-memory file system, and S3."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.storage import Store


@pytest.fixture(params=["directory", "memory", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "directory":
            return (tmp_path / "store").as_uri()
        case "memory":
            return f"memory://{tmp_path}"
        case _:
            url: str = request.getfixturevalue("s3").url(tmp_path.name)
            return url


@pytest.fixture
def store(store_url: str, tmp_path: Path) -> Store:
    return Store(store_url, tmp_path / "spool")
