"""No secret of the settings or of a request is in what the product writes, answers or shows of itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

import httpx2
import pytest

from tests.e2e.contract.furniture import Furniture
from tests.e2e.hardened.containers import ROOT, Containers
from tests.e2e.hardened.planted import CLIENT_TOKEN, PREFIX, URL_PASSWORD, URL_SIGNATURE, secrets
from tests.e2e.lite.test_faults import until
from tests.e2e.runs import at_step
from tests.e2e.stack import BIN, free_port

HOLDERS: Final = ("secrets", "redis-url-gateway", "redis-url-worker", "redis-url-operator", "aws-credentials")
"""The files in which the settings of the copy hold its secrets."""

MANIFESTS: Final = re.compile(r"data/store/jobs/[^/]+/(manifest|items/.*|rows/.*)")
"""A batch keeps what it was asked about, as it was sent, until its job is deleted."""


def signed(address: str) -> str:
    return f"http://{address}/clip.mp4?X-Amz-Signature={URL_SIGNATURE}"


def url(address: str) -> str:
    """A signed URL with a password."""
    return signed(f"reader:{URL_PASSWORD}@{address}")


class Site(BaseHTTPRequestHandler):
    """Refuses what is asked, leads elsewhere, or sends what is no video."""

    def do_GET(self) -> None:
        status = int(self.path.split("/")[1])
        self.send_response(status)
        if status == 302:
            self.send_header("Location", url("10.0.0.1"))
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"text")

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


# where to look


def shown_by_processes(hardened: Containers) -> Iterator[tuple[str, str]]:
    """What anybody on the machine sees of the processes; and their environment, which their own user sees."""
    for pid in family(process.pid for process in hardened.processes.values()):
        for name in ("cmdline", "comm", "environ"):
            try:
                text = Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield f"{name} of {pid}", text


def family(pids: Iterator[int]) -> list[int]:
    found = list(pids)
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def written(hardened: Containers) -> Iterator[tuple[str, str]]:
    """Every file of the copy: logs, store, spools, scratch files of children; not what Redis writes."""
    for path in hardened.folder.rglob("*"):
        inside = path.relative_to(hardened.folder)
        if inside.parts[0] in (*HOLDERS, "redis") or MANIFESTS.fullmatch(str(inside)):
            continue
        try:
            text = path.read_bytes().decode(errors="replace") if path.is_file() else ""
        except FileNotFoundError:
            continue
        yield str(inside), f"{inside} {text}"


def kept_in_redis(hardened: Containers) -> Iterator[tuple[str, str]]:
    with hardened.redis("tester", decode=False) as tester:
        readers: dict[bytes, Callable[[bytes], object]] = {
            b"hash": tester.hgetall,
            b"stream": tester.xrange,
            b"string": tester.get,
            b"list": lambda key: tester.lrange(key, 0, -1),
            b"zset": lambda key: tester.zrange(key, 0, -1),
            b"set": tester.smembers,
        }
        for key in tester.scan_iter(count=1000):
            yield str(key), f"{key!r} {readers[tester.type(key)](key)!r}"


def answered(http: httpx2.Client) -> Iterator[tuple[str, str]]:
    """What the gateway says of itself and of its jobs."""
    for path in ("/v1/info", "/metrics", "/readyz", "/livez", "/openapi.json", "/v1/jobs?limit=1000", "/v1/videos"):
        answer = http.get(path)
        yield path, f"{answer.headers} {answer.text}"
    for job in http.get("/v1/jobs?limit=1000").json()["data"]:
        yield f"job {job['id']}", http.get(f"/v1/jobs/{job['id']}").text


def found(places: Iterator[tuple[str, str]], secrets: Mapping[str, str]) -> list[str]:
    return [f"{what}: {where}" for where, text in places for what, secret in secrets.items() if secret in text]


# what makes errors


def ask_for_trouble(http: httpx2.Client, address: str, furniture: Furniture) -> list[httpx2.Response]:
    """Requests that fail, each in another way."""
    post, classify = http.post, partial(http.post, "/v1/classify")
    closed = f"127.0.0.1:{free_port()}"
    hook = {"Webhook-URL": signed(closed)}
    question = {"labels": ["a cat", "a dog"]}
    answers = [
        classify(json=question | {"video_url": target})
        for target in (
            *(signed(f"{address}/{status}") for status in (200, 302, 404, 500)),
            signed(closed),
            *(url(host) for host in (closed, "10.0.0.1", "[bad", "no.such.host.invalid", "127.0.0.1:99999")),
            url("ftp").replace("http", "ftp"),
            url(address) + "x" * 5000,
        )
    ]
    answers += [
        classify(json={"video_url": [url(address)], "labels": 3}),
        classify(content=b'{"video_url": "' + url(address).encode() + b'", "labels": ['),
        classify(data={"labels": "a", "video_url": url(address)}, files={"video": b"no video"}),
        classify(json=question | {"base64": "AAAA"}),
        post("/v1/batches", json=question | {"items": [{"s3": f"{PREFIX}none.mp4"}, {"video_url": url(closed)}]}),
        http.post(f"/v1/videos/{furniture.video}/classify", json=question | {"frames": 7}, headers=hook),
        http.post("/v1/classify", json=question, headers={"Webhook-URL": url("10.0.0.1")}),
        http.get("/v1/nothing"),
        http.get("/v1/videos", params={"cursor": "wrong", "signature": URL_SIGNATURE}),
        http.put(f"/v1/videos/{furniture.video}"),
        *(
            http.get("/v1/videos", headers={"Authorization": "", name: value})
            for name, value in (
                ("Authorization", f"Bearer {CLIENT_TOKEN}"),
                ("Authorization", f"Basic {CLIENT_TOKEN}"),
                ("X-API-Key", CLIENT_TOKEN),
                ("Cookie", f"vireo_key={CLIENT_TOKEN}; session={CLIENT_TOKEN}"),
            )
        ),
    ]
    return answers


def test_no_secret_is_shown_anywhere(hardened: Containers, http: httpx2.Client, furniture: Furniture) -> None:
    planted = secrets(hardened)
    with site() as address:
        answers = ask_for_trouble(http, address, furniture)
        assert sum(answer.is_error for answer in answers) >= 18, [answer.status_code for answer in answers]
    run = {"name": "scanned", "dataset": furniture.dataset, "base": "tiny", "epochs": 500}
    job = http.post("/v1/training-jobs", json=run).json()["id"]
    at_step(http, job, 2)
    shown = found(shown_by_processes(hardened), planted) + found(written(hardened), planted)
    http.post(f"/v1/jobs/{job}/cancel")
    hardened.restart("redis", signal.SIGKILL)
    answers += [http.get(path) for path in ("/v1/jobs", "/readyz", "/metrics")]
    hardened.wait_ready()
    until(lambda: http.get(f"/v1/jobs/{job}").json()["state"] == "cancelled", 60)
    shown += found(written(hardened), planted) + found(answered(http), planted)
    shown += found(((str(answer.url.path), f"{answer.headers} {answer.text}") for answer in answers), planted)
    assert sorted(set(shown)) == [], "\n".join(sorted(set(shown)))
    unknown_to_redis = {what: secret for what, secret in planted.items() if "URL" not in what}  # a webhook has its URL
    assert found(kept_in_redis(hardened), unknown_to_redis) == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"VIREO_WEBHOOK_SECRET": URL_PASSWORD[:10]}, "webhook_secret"),
        ({"VIREO_REDIS_URL": f"redis://gateway:{URL_PASSWORD}@127.0.0.1:no-port/0"}, "redis_url"),
        ({"VIREO_REDIS_URL": f"reddis://gateway:{URL_PASSWORD}@127.0.0.1/0"}, "redis_url"),
        ({"VIREO_STORE": f"webdaw://writer:{URL_PASSWORD}@store"}, "Protocol not known: webdaw"),
    ],
)
def test_a_process_that_cannot_start_says_why_without_the_secret(
    tmp_path: Path, settings: dict[str, str], named: str
) -> None:
    environment = {"PATH": os.environ["PATH"], "VIREO_DATA_DIR": str(tmp_path), "VIREO_PORT": str(free_port())}
    read_settings = [sys.executable, "-c", "from core.settings import get_settings; get_settings()"]
    command = [str(BIN / "vireo-gateway")] if "VIREO_STORE" in settings else read_settings
    done = subprocess.run(
        command, cwd=ROOT, env=environment | settings, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert named in done.stderr
    assert URL_PASSWORD[:10] not in done.stderr + done.stdout
