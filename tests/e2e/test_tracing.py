"""A trace across the queue: a collector of this process gets the spans of a gateway and of a job that a worker runs."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider

from core.errors import UndecodableVideo
from core.records import Job
from core.state import keys
from core.tracing.export import ENDPOINTS, configure_tracing
from core.tracing.spans import current_traceparent, tracer_provider, use_provider
from tests.service.doubles import AnsweringWorker, embeddings
from tests.service.sites import serving
from tests.waiting import wait_until
from worker.inference.stopwatch import Stopwatch
from worker.jobs.attempt import run_job
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken, RunningJobs
from worker.jobs.reporter import Reporter

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector:
    """Receives OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        spans, services = self.spans, self.services

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    services.update(a.value.string_value for a in group.resource.attributes if a.key == "service.name")
                    spans.extend(span for scope in group.scope_spans for span in scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def named(self, name: str) -> Span:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """This process is traced while the test runs."""
    found = Collector()
    monkeypatch.setenv(ENDPOINTS[0], found.url)
    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)
    before = tracer_provider()
    try:
        assert configure_tracing("vireo-test")
        yield found
    finally:
        provider = use_provider(before)
        assert isinstance(provider, TracerProvider)
        provider.shutdown()
        found.close()


def embed(job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
    watch = Stopwatch(job.waited, observed=False)
    for stage in ("text", "score"):
        with watch.stage(stage):
            pass
    if "bad" in job.request["texts"]:
        raise UndecodableVideo("A secret path.", reason="corrupt")
    return embeddings(job)


def ask(url: str, redis_url: str, text: str) -> httpx2.Response:
    """One question, whose job this thread runs as a worker does."""
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    book = JobBook(client, keys.INFERENCE)
    AnsweringWorker(redis_url).announce()
    answers: list[httpx2.Response] = []

    def post() -> None:
        with httpx2.Client(base_url=url, timeout=30, trust_env=False) as http:
            http.get("/livez")
            answers.append(http.post("/v1/embeddings", json={"texts": [text]}, headers={"traceparent": CALLER}))

    thread = threading.Thread(target=post)
    thread.start()
    wait_until(lambda: client.zcard(keys.waiting(keys.INFERENCE)))
    (job_id,) = client.zrange(keys.waiting(keys.INFERENCE), 0, 0)
    run_job({"embedding": embed}, book, RunningJobs(), str(job_id))
    thread.join(20)
    return answers[0]


def test_a_trace_goes_from_the_caller_through_the_gateway_and_the_queue_to_the_stages(
    collector: Collector, redis_url: str, tmp_path: Path
) -> None:
    with serving(redis_url, tmp_path / "data") as site:
        good, bad = ask(site.url, redis_url, "good"), ask(site.url, redis_url, "bad")
    assert (good.status_code, bad.status_code) == (200, 422)
    provider = tracer_provider()
    assert isinstance(provider, TracerProvider)
    assert provider.force_flush()

    assert collector.services == {"vireo-test"}
    assert {span.trace_id.hex() for span in collector.spans} == {CALLER.split("-")[1]}  # none of /livez
    requests = [span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER]
    jobs = {span.parent_span_id: span for span in collector.spans if span.kind == Span.SPAN_KIND_CONSUMER}
    assert [span.parent_span_id.hex() for span in requests] == [CALLER.split("-")[2]] * 2
    assert [span.name for span in requests] == ["POST /v1/embeddings"] * 2
    first, second = (jobs[request.span_id] for request in sorted(requests, key=lambda span: span.start_time_unix_nano))
    assert first.name == "job embedding"
    stages = [span.name for span in collector.spans if span.parent_span_id == first.span_id]
    assert stages == ["text", "score"]
    about = {attribute.key: attribute.value.string_value for attribute in first.attributes}
    assert about["vireo.job_id"] == good.json()["id"]
    assert about["vireo.request_id"] == good.headers["x-request-id"]
    assert (first.status.code, second.status.code) == (Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR)
    assert second.status.message == "undecodable_video"
    assert "secret" not in str(collector.spans)


def test_nothing_is_traced_unless_a_collector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    before = tracer_provider()
    assert configure_tracing("vireo-test") is False
    assert tracer_provider() is before
    assert current_traceparent() is None


WITHOUT_THE_EXTRA = """
import sys
sys.modules.update(dict.fromkeys(["opentelemetry.sdk", "opentelemetry.exporter"]))  # as if they were not installed
import logging
logging.basicConfig()
import service.app
from core.tracing.export import configure_tracing
from core.tracing.spans import span
assert not configure_tracing("vireo-test")
with span("decode"):
    pass
"""


def test_without_the_extra_a_log_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:9")
    done = subprocess.run([sys.executable, "-c", WITHOUT_THE_EXTRA], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "vireo-server[otel]" in done.stderr
