"""Webhooks: announced once, signed, repeated until they are confirmed, and never sent into a private network."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from core.logs.lines import TextLines
from core.records import Delivery, Webhook
from core.state import keys
from service.jobs import webhook_sender, webhooks
from tests.service.doubles import answering
from tests.service.library import DATASET, Library
from tests.service.sites import FILE, LABELS, Site, error
from tests.service.test_projects import client_of
from tests.waiting import wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's example
Serve = Callable[..., AbstractContextManager[Site]]
ASKED = {"Prefer": "respond-async"}


@dataclass
class Receiver:
    """A server that takes webhooks, and answers with the statuses that it is told, then with 204."""

    statuses: list[int] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=hidden"


@contextmanager
def receiving(receiver: Receiver, port: int = 0) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.bodies.append(body)
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            receiver.messages.append(json.loads(body))
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        receiver.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, name="receiver")
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as receiver:
        yield receiver


@pytest.fixture
def announcing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[Site]]:
    """Starts a gateway that sends webhooks to this machine, and repeats them soon."""
    monkeypatch.setattr(webhooks, "DELAYS", (0.1, 0.1))
    monkeypatch.setattr("service.jobs.webhook_sender.POLL_SECONDS", 0.02)
    return lambda: serve(webhook_secret=SECRET, allowed_hosts=frozenset({"127.0.0.1"}))


@pytest.fixture
def site(announcing: Callable[[], AbstractContextManager[Site]], redis_url: str) -> Iterator[Site]:
    with announcing() as site:
        yield site


@pytest.fixture
def working(redis_url: str) -> Iterator[None]:
    with answering(redis_url):
        yield


def ask(http: httpx2.Client, url: str, **headers: str) -> httpx2.Response:
    return http.post("/v1/classify", files=FILE, data={"labels": LABELS}, headers={"Webhook-URL": url} | headers)


def webhook_of(http: httpx2.Client, job: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/v1/jobs/{job}").json()["webhook"]
    return found


def test_the_signature_is_that_of_the_specification() -> None:
    headers = webhooks.signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', SecretStr(SECRET))
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    plain = webhooks.signed("id", 1, b"body", SecretStr("a secret without a prefix"))
    expected = hmac.new(b"a secret without a prefix", b"id.1.body", hashlib.sha256).digest()
    assert plain["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"


def test_the_end_of_a_job_is_announced_once(http: httpx2.Client, site: Site, receiver: Receiver, working: None) -> None:
    job = ask(http, receiver.url, **ASKED).json()["id"]
    wait_until(lambda: webhook_of(http, job)["state"] == "delivered", 60)
    (message,), (headers,), (body,) = receiver.messages, receiver.headers, receiver.bodies
    assert (message["type"], message["data"]["id"]) == ("job.succeeded", job)
    assert message["data"]["result"]["predictions"]
    own = {name: headers[f"webhook-{name}"] for name in ("id", "timestamp")}
    assert webhooks.signed(own["id"], int(own["timestamp"]), body, SecretStr(SECRET)).items() <= headers.items()
    shown = webhook_of(http, job)
    assert "hidden" not in shown["url"]
    assert [(made["status"], made["error"]) for made in shown["deliveries"]] == [(204, None)]
    assert site.redis.zcard(keys.WEBHOOKS) == 0


def test_the_end_of_a_job_of_any_project_is_announced(
    site: Site, receiver: Receiver, redis_url: str, working: None
) -> None:
    with client_of("acme", site, redis_url) as acme:
        job = ask(acme, receiver.url, **ASKED).json()["id"]
        wait_until(lambda: webhook_of(acme, job)["state"] == "delivered", 60)
    assert [message["data"]["id"] for message in receiver.messages] == [job]


def test_a_webhook_is_repeated_until_it_is_confirmed(http: httpx2.Client, receiver: Receiver, working: None) -> None:
    receiver.statuses = [500, 302]
    job = ask(http, receiver.url, **ASKED).json()["id"]
    wait_until(lambda: webhook_of(http, job)["state"] == "delivered", 60)
    assert [made["status"] for made in webhook_of(http, job)["deliveries"]] == [500, 302, 204]
    assert len({headers["webhook-id"] for headers in receiver.headers}) == 1


def test_a_webhook_fails_after_its_last_attempt_or_where_it_is_gone(
    http: httpx2.Client, site: Site, receiver: Receiver, working: None
) -> None:
    receiver.statuses = [500, 500, 500]
    job = ask(http, receiver.url, **ASKED).json()["id"]
    wait_until(lambda: webhook_of(http, job)["state"] == "failed", 60)
    receiver.statuses = [410]
    gone = ask(http, receiver.url, **ASKED).json()["id"]
    wait_until(lambda: webhook_of(http, gone)["state"] == "failed", 60)
    assert [len(webhook_of(http, each)["deliveries"]) for each in (job, gone)] == [3, 1]
    assert site.redis.zcard(keys.WEBHOOKS) == 0


def test_the_time_to_the_next_attempt_grows() -> None:
    webhook = Webhook(url="http://a/")
    waits = []
    for at in range(len(webhooks.DELAYS)):
        webhook = webhooks.after(webhook, Delivery(at=float(at), seconds=0.1, error="no"))
        assert webhook.next_at is not None
        waits.append(webhook.next_at)
    assert waits == sorted(waits)
    assert webhooks.after(webhook, Delivery(at=9.0, seconds=0.1, error="no")).state == "failed"


def test_another_gateway_goes_on(
    announcing: Callable[[], AbstractContextManager[Site]], working: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first gateway cannot reach the receiver and ends; another one sends what is left."""
    monkeypatch.setattr(webhooks, "DELAYS", (0.1,) * 100)
    logger, lines = logging.Logger("webhooks", logging.INFO), list[str]()
    monkeypatch.setattr(logger, "handle", lambda record: lines.append(TextLines().format(record)))
    monkeypatch.setattr(webhook_sender, "log", logger)
    receiver = Receiver()
    with receiving(receiver):
        pass  # its port is free now
    with announcing() as first, first.client() as http:
        job = ask(http, receiver.url, **ASKED).json()["id"]
        wait_until(lambda: webhook_of(http, job)["deliveries"], 60)
        assert "failed" in webhook_of(http, job)["deliveries"][0]["error"]
        request_id = http.get(f"/v1/jobs/{job}").json()["request_id"]
    assert f"[{request_id} {job}]" in lines[0]  # the line about a delivery belongs to the job
    with receiving(receiver, receiver.port), announcing() as second, second.client() as http:
        wait_until(lambda: webhook_of(http, job)["state"] == "delivered", 60)
    assert len(receiver.messages) == 1


def test_of_two_gateways_one_sends(
    serve: Serve, announcing: Callable[[], AbstractContextManager[Site]], receiver: Receiver, working: None
) -> None:
    """A third one has no secret, so it leaves webhooks alone."""
    with ExitStack() as stack:
        stack.enter_context(serve())
        sites = [stack.enter_context(announcing()) for _ in range(2)]
        http = stack.enter_context(sites[0].client())
        jobs = [ask(http, receiver.url, **ASKED).json()["id"] for _ in range(20)]
        wait_until(lambda: all(webhook_of(http, job)["state"] == "delivered" for job in jobs), 60)
    assert sorted(message["data"]["id"] for message in receiver.messages) == sorted(jobs)


def test_every_end_of_a_run_is_announced(site: Site, http: httpx2.Client, receiver: Receiver) -> None:
    library = Library(site.gateway.store)
    library.dataset()
    body = {"name": "my-gym", "dataset": DATASET, "base": "lite"}
    job = http.post("/v1/training-jobs", json=body, headers={"Webhook-URL": receiver.url}).json()["id"]

    def announced(ends: int) -> bool:
        return len(receiver.messages) == ends and webhook_of(http, job)["state"] == "delivered"

    for ends in (1, 2):
        assert http.post(f"/v1/jobs/{job}/cancel").is_success
        wait_until(partial(announced, ends), 60)
        http.post(f"/v1/training-jobs/{job}/resume")
    assert [message["type"] for message in receiver.messages] == ["job.cancelled"] * 2
    library.clear()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://localhost:1/", "url_not_allowed"),
        ("http://10.0.0.1/", "url_not_allowed"),
        ("http://[::1]/", "url_not_allowed"),
        ("ftp://example.org/", "url_not_allowed"),
        ("http://no-such-host.invalid/", "url_unreachable"),
    ],
)
def test_a_url_that_cannot_be_called_is_refused_before_the_job(
    http: httpx2.Client, site: Site, working: None, url: str, code: str
) -> None:
    found = error(ask(http, url), 422, code)
    assert "Upload" not in (found.get("hint") or "")
    assert site.redis.zcard(keys.JOBS) == 0


def test_without_a_secret_there_are_no_webhooks(serve: Serve, working: None) -> None:
    with serve() as site, site.client() as http:
        found = error(ask(http, "https://example.org/"), 422, "invalid_request")
        assert "VIREO_WEBHOOK_SECRET" in found["hint"]
        assert site.redis.zcard(keys.JOBS) == 0
