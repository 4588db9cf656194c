"""One gateway for most tests (each on an emptied Redis), others on request with settings of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import httpx2
import pytest

from tests.service.doubles import AnsweringWorker, answering
from tests.service.library import Library
from tests.service.sites import Site, serving


@pytest.fixture(scope="session")
def shared_site(redis_socket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("gateway")
    with serving(f"unix://{redis_socket}", directory, max_upload_bytes=200_000, max_labels=50) as site:
        yield site


@pytest.fixture
def site(shared_site: Site, redis_url: str) -> Site:
    """The shared gateway; Redis is empty, and no worker is there."""
    return shared_site


@pytest.fixture
def http(site: Site) -> Iterator[httpx2.Client]:
    with site.client() as client:
        yield client


@pytest.fixture
def worker(site: Site, redis_url: str) -> Iterator[AnsweringWorker]:
    with answering(redis_url) as worker:
        yield worker


@pytest.fixture
def library(site: Site) -> Iterator[Library]:
    """The shared gateway's datasets and models; gone after the test."""
    shelves = Library(site.gateway.store)
    yield shelves
    shelves.clear()


@pytest.fixture
def serve(redis_url: str, tmp_path: Path) -> Callable[..., AbstractContextManager[Site]]:
    """A gateway of one's own: `with serve(sync_deadline=0.2) as site`."""
    return partial(serving, redis_url, tmp_path / "data")
