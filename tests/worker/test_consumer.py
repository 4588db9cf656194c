"""Which jobs a worker of each queue can do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from core.settings import Settings
from core.state import keys
from worker.consumer import JoinedRole, open_role
from worker.jobs.attempt import Handler
from worker.jobs.heartbeat import Heartbeat


def test_the_queue_datasets_serves_datasets_and_imports(tmp_path: Path) -> None:
    role = open_role(keys.DATASETS, Settings(data_dir=tmp_path, decode_processes=1), cast(Heartbeat, None))
    try:
        assert set(role.handlers) == {"dataset", "import"}
        assert role.concurrency == 1
    finally:
        role.close()


class RecordingRole:
    """A role of one kind of job that records what is called."""

    def __init__(self, kind: str, concurrency: int) -> None:
        self.concurrency = concurrency
        self.calls: list[str] = []
        self._kind = kind

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {self._kind: lambda *_: {"kind": self._kind}}

    def announce(self) -> None:
        self.calls.append("announce")

    def close(self) -> None:
        self.calls.append("close")


def test_joined_roles_run_as_many_jobs_as_the_smaller_one_allows() -> None:
    one, four = RecordingRole("one", 1), RecordingRole("four", 4)
    joined = JoinedRole(one, four)
    joined.announce()
    joined.close()
    assert set(joined.handlers) == {"one", "four"}
    assert joined.concurrency == 1
    assert one.calls == four.calls == ["announce", "close"]
