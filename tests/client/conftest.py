"""A gateway that listens on a real port, and a client connected to it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from tests.service.doubles import AnsweringWorker, answering
from tests.service.library import Library
from tests.service.sites import Site, serving
from tests.waiting import wait_until
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
    """Starts a thread that interrupts the main thread once a condition holds, or never if the test ends before: an
    interrupt outside a test would end the whole run. A process that was started in the background ignores SIGINT, so
    Python's own handler is set."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    over = threading.Event()
    threads: list[threading.Thread] = []

    def once(condition: Callable[[], object]) -> threading.Thread:
        def interrupt() -> None:
            wait_until(lambda: over.is_set() or condition())
            if not over.is_set():
                os.kill(os.getpid(), signal.SIGINT)

        threads.append(threading.Thread(target=interrupt))
        threads[-1].start()
        return threads[-1]

    yield once
    over.set()
    with suppress(KeyboardInterrupt):  # of a thread that was about to interrupt
        for thread in threads:
            thread.join()
    signal.signal(signal.SIGINT, before)


Run = Callable[..., Result]


@pytest.fixture(scope="session", autouse=True)
def put_together_once() -> Iterator[None]:
    """typer makes the commands anew for each call of a test, which takes longer than most of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(get_command))
        yield


cli = cache(build_cli)


@pytest.fixture
def run(site: Site, monkeypatch: pytest.MonkeyPatch) -> Run:
    for each in (console.out, console.err):  # COLUMNS is read once, by whichever test imports the commands first
        monkeypatch.setattr(each, "width", 160)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli(), [*arguments, "--url", site.url])

    return invoke


@pytest.fixture
def worker(site: Site, redis_url: str) -> Iterator[AnsweringWorker]:
    with answering(redis_url) as worker:
        yield worker
