"""What end-to-end tests ask a copy with. A folder or a module has its own fixture `stack`, the copy that it asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.runs import upload, zip_of_scenes
from tests.e2e.stack import Stack


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx2.Client]:
    with stack.http() as client:
        yield client


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zip_of_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def dataset(stack: Stack, archive: Path) -> str:
    with stack.http() as client:
        return upload(client, archive)
