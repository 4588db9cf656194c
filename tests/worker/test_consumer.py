"""Which jobs a worker of each queue can do."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from core.settings import Settings
from core.state import keys
from core.storage import Store
from core.storage.identity import store_id
from worker import consumer
from worker.consumer import JoinedRole, announce_store, export_metrics, open_role, send_again
from worker.jobs.attempt import Handler, PutBack
from worker.jobs.cancellation import RunningJobs
from worker.jobs.heartbeat import Heartbeat


def test_the_queue_datasets_serves_datasets_and_imports(tmp_path: Path) -> None:
    role = open_role(
        keys.DATASETS, Settings(data_dir=tmp_path, decode_processes=1), cast(Heartbeat, None), RunningJobs()
    )
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


def test_a_taken_metrics_port_costs_the_metrics_and_not_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        export_metrics(port, "127.0.0.1")
    assert f"port {port} on 127.0.0.1 cannot be used" in caplog.text


def test_a_worker_announces_its_store_and_notices_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=tmp_path)
    stopped, announced = threading.Event(), queue.Queue[str]()
    monkeypatch.setattr(consumer, "STORE_SECONDS", 0.01)
    heartbeat = SimpleNamespace(update=lambda store: announced.put(store))
    thread = threading.Thread(target=announce_store, args=(settings, heartbeat, stopped))
    thread.start()
    first = announced.get(timeout=10)
    assert first == store_id(Store(settings.store_url, tmp_path / "spool"))
    (tmp_path / "store" / "store.json").write_text('{"id": "store_restored"}')
    assert announced.get(timeout=10) == "store_restored"
    stopped.set()
    thread.join(10)
    assert announced.empty()


def test_a_postponed_job_is_sent_again_without_a_thread_that_waits() -> None:
    sent: queue.Queue[str] = queue.Queue()
    send_again(PutBack("interrupted", 0.0), sent.put)
    assert sent.get_nowait() == "interrupted"
    send_again(PutBack("postponed", 0.05), sent.put)
    assert sent.empty()
    assert sent.get(timeout=20) == "postponed"
