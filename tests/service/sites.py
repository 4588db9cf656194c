"""A gateway that listens on a port of its own: uvicorn in a thread."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import redis
import uvicorn

from core.settings import Settings
from core.state.payloads import Payloads
from service.app import create_app
from service.gateway import Gateway
from service.jobs.retention import Limits, Retention
from service.server import server_config
from service.sweeper import Sweeper

ResultT = TypeVar("ResultT")

VIDEO = b"\x00\x00\x00\x18ftypmp42 not a real clip, but no test decodes it"
SHA = hashlib.sha256(VIDEO).hexdigest()
BASE64 = base64.b64encode(VIDEO).decode()
FILE = {"video": ("clip.mp4", VIDEO, "video/mp4")}
LABELS = '["a cat","a dog"]'


@dataclass(frozen=True)
class Site:
    url: str
    settings: Settings
    gateway: Gateway
    redis: redis.Redis
    loop: asyncio.AbstractEventLoop
    server: uvicorn.Server

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run `work` on the gateway's own event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    @property
    def store(self) -> Path:
        return self.settings.data_dir / "store"

    def partial_files(self) -> list[Path]:
        return sorted((self.store / "partial").glob("*.part"))

    def blobs(self) -> list[str]:
        return sorted(path.name for path in (self.store / "blobs").glob("*"))

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=30, trust_env=False, verify=False)  # no TLS here


@contextmanager
def serving(redis_url: str, data_dir: Path, **changes: Any) -> Iterator[Site]:
    settings = Settings(redis_url=redis_url, data_dir=data_dir, **changes)
    app = create_app(settings)
    config = server_config(app, settings)
    config.host, config.port = "127.0.0.1", 0
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="gateway")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the gateway did not start"
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        with redis.Redis.from_url(redis_url, decode_responses=True) as client:
            yield Site(
                f"http://127.0.0.1:{port}", settings, app.state.gateway, client, server.servers[0].get_loop(), server
            )
    finally:
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive(), "the gateway did not stop"


def sweep(site: Site, **changes: Any) -> None:
    """One sweep, with other settings than the site's."""
    sweeper_of(site, **changes).run_once()


@dataclass(frozen=True)
class SiteSweeper:
    site: Site
    sweeper: Sweeper

    def run_once(self) -> None:
        self.site.run(self.sweeper.sweep())


def sweeper_of(site: Site, **changes: Any) -> SiteSweeper:
    gateway, settings = site.gateway, site.settings.model_copy(update=changes)
    payloads = Payloads(gateway.store, settings.job_inline_bytes)
    retention = Retention(gateway.redis, payloads, Limits.from_settings(settings))
    sweeper = Sweeper(gateway.store, gateway.jobs, retention, lambda project: gateway.of(project).videos)
    return SiteSweeper(site, sweeper)


def error(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()["error"]
    assert found["code"] == code, found
    assert found["request_id"] == answer.headers["x-request-id"]
    return found
