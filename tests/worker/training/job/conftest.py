"""Fork servers that the tests of one module share. Each loads when its first child starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import REPOSITORY
from worker.children.fork_server import ForkServer
from worker.training.job import child_process


@contextmanager
def server_of(program: str) -> Iterator[ForkServer]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(REPOSITORY))
        patched.setattr(child_process, "FORK_SERVER", program)
        server = child_process.start_fork_server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def working() -> Iterator[ForkServer]:
    """Starts real children."""
    with server_of(child_process.FORK_SERVER) as server:
        yield server


@pytest.fixture(scope="module")
def acting() -> Iterator[ForkServer]:
    with server_of("tests.worker.training.job.acting_child") as server:
        yield server


@pytest.fixture(scope="module")
def talking() -> Iterator[ForkServer]:
    with server_of("tests.worker.training.job.talking_child") as server:
        yield server
