"""One gateway for most tests (Redis and the stored videos are emptied before each), others with their own settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from shutil import rmtree

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
    """The shared gateway. Redis is empty, no video, archive or file of a job is stored, and no worker is running."""
    for kind in ("blobs", "incoming"):
        for path in (shared_site.store / kind).glob("*"):
            path.unlink()
    rmtree(shared_site.store / "jobs", ignore_errors=True)
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
    """Datasets and models in the store of the shared gateway. They are deleted after the test."""
    shelves = Library(site.gateway.store)
    yield shelves
    shelves.clear()


@pytest.fixture
def serve(redis_url: str, tmp_path: Path) -> Callable[..., AbstractContextManager[Site]]:
    """Starts a gateway with settings of its own: `with serve(sync_deadline=0.2) as site`."""
    return partial(serving, redis_url, tmp_path / "data")
