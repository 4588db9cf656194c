"""`vireo up` with small programs in the place of Redis, the workers and the gateway: who starts with what, who is
started again, and who stops first. The end-to-end tests run the real ones."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from core.settings import Settings
from launcher import embedded_redis
from launcher.supervision import children, supervisor
from launcher.supervision.supervisor import CannotStart, Supervisor

# Notes its name, arguments and environment, and each signal that ends it. A worker takes a moment to end.
PROGRAM = """
import json, os, signal, sys, time
journal, name, *arguments = sys.argv[1:]
def note(what, **facts):
    with open(journal, "a") as file:
        file.write(json.dumps({"name": name, "what": what} | facts) + "\\n")
def stop(*_):
    note("stops")
    time.sleep(0.1 if name == "vireo-worker" else 0)
    note("ended")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
note("starts", arguments=arguments, environment={k: v for k, v in os.environ.items() if k.startswith(("VIREO_", "P"))})
if os.path.exists(journal + ".dies"):
    os.remove(journal + ".dies")
    print("the reason")
    os._exit(3)
while True:
    time.sleep(10)
"""


class Journal:
    def __init__(self, path: Path) -> None:
        self.path = path

    def notes(self, what: str) -> list[dict[str, Any]]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [note for note in map(json.loads, lines) if note["what"] == what]

    def names(self, what: str) -> list[str]:
        return [note["name"] for note in self.notes(what)]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """Every program of the service is replaced by `PROGRAM`."""
    path = tmp_path / "journal"

    def program(name: str, *arguments: str) -> list[str]:
        return [sys.executable, "-S", "-c", PROGRAM, str(path), name, *arguments]

    monkeypatch.setattr(supervisor, "_script", program)
    monkeypatch.setattr(embedded_redis, "find_server", lambda: Path("redis-server"))
    monkeypatch.setattr(embedded_redis, "command", lambda _, socket, __: program("redis", str(socket)))
    return Journal(path)


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[..., object]]:
    """The signal handlers that the supervisor wants; the tests' own stay."""
    wanted: dict[int, Callable[..., object]] = {}
    monkeypatch.setattr(signal, "signal", wanted.__setitem__)
    return wanted


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Settings(data_dir=tmp_path / "data", port=port, metrics_port=9100)


def run(settings: Settings, handlers: dict[int, Callable[..., object]], until: Callable[[], object]) -> tuple[int, str]:
    """Exit status and output of a service that gets SIGTERM when `until` is true."""
    said = io.StringIO()
    over = threading.Event()

    def stop() -> None:
        deadline = time.monotonic() + 30
        while not until() and time.monotonic() < deadline and not over.is_set():
            time.sleep(0.02)
        handlers[signal.SIGTERM](signal.SIGTERM, None)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        status = Supervisor(settings, Console(file=said, width=200)).run()
    finally:
        over.set()
        thread.join()
    return status, said.getvalue()


def test_who_starts_with_what_and_who_stops_first(
    settings: Settings, journal: Journal, handlers: dict[int, Callable[..., object]]
) -> None:
    status, said = run(settings, handlers, until=lambda: len(journal.notes("starts")) == 5)
    assert status == 0
    assert set(handlers) == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    started = {note["name"] + " ".join(note["arguments"][:2]): note for note in journal.notes("starts")}
    path = settings.run_dir / "redis.sock"
    assert set(started) == {
        f"redis{path}",
        "vireo-worker--queue inference",
        "vireo-worker--queue training",
        "vireo-worker--queue datasets",
        "vireo-gateway",
    }
    served = [note["environment"] for name, note in started.items() if not name.startswith("redis")]
    for environment in served:
        assert environment["VIREO_DATA_DIR"] == str(settings.data_dir)
        assert environment["VIREO_REDIS_URL"] == f"unix://{path}"
        assert environment["PROMETHEUS_MULTIPROC_DIR"] == str(settings.run_dir / "metrics")
        assert environment["PYTHONSAFEPATH"] == "1"
    ports = [environment.get("VIREO_METRICS_PORT") for environment in served]
    assert sorted(filter(None, ports)) == ["9100", "9101", "9102"]
    # The gateway stops before any worker is told, and Redis once all workers have ended.
    assert journal.names("stops")[0] == "vireo-gateway"
    order = [json.loads(line) for line in journal.path.read_text().splitlines()]
    last = [(note["name"], note["what"]) for note in order if note["what"] in ("stops", "ended")]
    assert last[:2] == [("vireo-gateway", "stops"), ("vireo-gateway", "ended")]
    assert last[-2:] == [("redis", "stops"), ("redis", "ended")]
    assert last[2:5] == [("vireo-worker", "stops")] * 3, "workers are told together, and then end their jobs"
    assert "Metrics of the workers: ports worker 9100, trainer 9101, datasets 9102" in said
    assert said.rstrip().endswith("Stopped.")
    assert not path.exists()


def test_what_dies_is_started_again_and_the_end_of_its_log_is_shown(
    settings: Settings,
    journal: Journal,
    handlers: dict[int, Callable[..., object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children, "LONGEST_PAUSE", 0.0)
    own = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    (journal.path.parent / "journal.dies").touch()  # of four programs, one dies once
    status, said = run(own, handlers, until=lambda: len(journal.notes("starts")) == 5)
    assert status == 0
    assert "ended with status 3 and was started again" in said
    assert "the reason" in said
    assert "redis" not in journal.names("starts")
    assert {note["environment"].get("VIREO_REDIS_URL") for note in journal.notes("starts")} == {
        os.environ.get("VIREO_REDIS_URL")
    }


@contextmanager
def answering(answers: dict[str, tuple[int, dict[str, Any]]]) -> Iterator[int]:
    """The port of a server that answers each path with a status and JSON."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_it_says_once_why_it_is_not_ready_and_once_that_it_is(tmp_path: Path) -> None:
    said = io.StringIO()
    answers = {"/readyz": (503, {"ready": False, "reasons": ["the worker loads lite"]})}
    with answering(answers) as port:
        service = Supervisor(Settings(data_dir=tmp_path, port=port), Console(file=said, width=200))
        service._report_progress()
        service._report_progress()
        answers["/readyz"] = (200, {"ready": True, "reasons": []})
        answers["/v1/info"] = (200, {"model": {"name": "lite", "reason": "no hub answers"}})
        service._report_progress()
    assert said.getvalue().count("the worker loads lite") == 1
    assert f"Vireo is ready at http://127.0.0.1:{port} (model lite, because no hub answers)" in said.getvalue()
    assert service._ready


def test_a_gateway_that_does_not_listen_yet_is_no_error(tmp_path: Path) -> None:
    service = Supervisor(Settings(data_dir=tmp_path, port=9), Console(file=io.StringIO()))
    service._report_progress()
    assert not service._ready


@pytest.mark.parametrize(
    ("host", "address"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("example.org", "example.org")]
)
def test_the_address_that_a_person_opens(tmp_path: Path, host: str, address: str) -> None:
    settings = Settings(data_dir=tmp_path, host=host, port=8123)
    assert Supervisor(settings, Console(file=io.StringIO())).address == f"http://{address}:8123"


def test_a_data_directory_serves_one_copy(settings: Settings, journal: Journal) -> None:
    with supervisor._lock(settings):
        with pytest.raises(CannotStart, match="VIREO_DATA_DIR"), supervisor._lock(settings):
            pass
        assert (settings.run_dir / "lock").read_text() == str(os.getpid())
    with supervisor._lock(settings):
        pass


def test_a_taken_port_is_said_before_anything_starts(
    settings: Settings, journal: Journal, handlers: dict[int, Callable[..., object]]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.port))
        taken.listen()
        with pytest.raises(CannotStart, match=f"Port {settings.port} on 127.0.0.1 cannot be used"):
            run(settings, handlers, until=lambda: False)
    assert journal.notes("starts") == []


def test_no_redis_server_is_said_in_words(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise embedded_redis.RedisMissing("No redis-server was found.")

    monkeypatch.setattr(embedded_redis, "find_server", missing)
    with pytest.raises(CannotStart, match="No redis-server"):
        Supervisor(settings, Console(file=io.StringIO()))._prepare()


def test_metrics_of_processes_of_an_earlier_start_are_gone(settings: Settings, journal: Journal) -> None:
    old = settings.run_dir / "metrics" / "counter_1.db"
    old.parent.mkdir(parents=True)
    old.touch()
    Supervisor(settings, Console(file=io.StringIO()))._prepare()
    assert list(old.parent.iterdir()) == []
