"""A gateway that listens on a real port, and a client connected to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.library import Library
from tests.service.sites import Site, serving
from vireo.client import Client


@pytest.fixture
def site(redis_url: str, tmp_path: Path) -> Iterator[Site]:
    with serving(redis_url, tmp_path / "data") as site:
        yield site


@pytest.fixture
def library(site: Site) -> Library:
    return Library(site.gateway.store)


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with Client(site.url) as client:
        yield client
