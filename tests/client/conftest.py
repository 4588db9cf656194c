"""A gateway that listens on a real port, and a client connected to it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.service.doubles import AnsweringWorker, answering
from tests.service.library import Library
from tests.service.sites import Site, serving, wait_until
from vireo import Client
from vireo.cli import console
from vireo.cli.app import build_cli


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


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
    """Starts a thread that interrupts the main thread once a condition holds. A process that was started in the
    background ignores SIGINT, so Python's own handler is set."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def once(condition: Callable[[], object]) -> threading.Thread:
        def interrupt() -> None:
            wait_until(condition)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        return thread

    yield once
    signal.signal(signal.SIGINT, before)


Run = Callable[..., Result]


@pytest.fixture
def run(site: Site, monkeypatch: pytest.MonkeyPatch) -> Run:
    for each in (console.out, console.err):  # COLUMNS is read once, by whichever test imports the commands first
        monkeypatch.setattr(each, "width", 160)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(build_cli(), [*arguments, "--url", site.url])

    return invoke


@pytest.fixture
def worker(site: Site, redis_url: str) -> Iterator[AnsweringWorker]:
    with answering(redis_url) as worker:
        yield worker
