"""Outages of Redis: requests get correct errors during an outage, and the gateway recovers without a restart."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2
import pytest
import redis

from launcher import embedded_redis
from tests.service.doubles import answering, classification
from tests.service.processes import free_port
from tests.service.sites import FILE, Site, error, serving
from tests.waiting import wait_until

Serve = Callable[..., AbstractContextManager[Site]]


class RestartableRedis:
    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        port = free_port()
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.tcp_url = f"redis://127.0.0.1:{port}"
        self._command = embedded_redis.command(embedded_redis.find_server(), self.socket, directory)
        self._command += ["--port", str(port)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(self._answers)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()
        self.socket.unlink(missing_ok=True)

    def _answers(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(self.socket)) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestartableRedis]:
    server = RestartableRedis(tmp_path_factory.mktemp("r") / "r")
    server.start()
    yield server
    server.kill()


def test_the_gateway_recovers_from_an_outage_of_redis(own_redis: RestartableRedis, tmp_path: Path) -> None:
    with serving(own_redis.url, tmp_path) as site, answering(own_redis.url) as worker, site.client() as http:
        assert http.post("/v1/classify", data={"labels": "a"}, files=FILE).status_code == 200
        own_redis.kill()

        away = http.post("/v1/classify", data={"labels": "a"}, files=FILE)
        error(away, 503, "storage_unavailable")
        assert int(away.headers["retry-after"]) > 0
        for path in ("/v1/jobs", "/v1/models", "/v1/label-sets", "/v1/info"):
            error(http.get(path), 503, "storage_unavailable")
        assert http.get("/readyz").json()["reasons"][0] == "Redis does not answer"
        assert http.get("/livez").status_code == 200
        assert "vireo_redis_up 0.0" in http.get("/metrics").text
        assert site.partial_files() == []

        own_redis.start()
        worker.announce()
        wait_until(lambda: http.get("/readyz").status_code == 200)
        assert http.post("/v1/classify", data={"labels": "a"}, files=FILE).status_code == 200


@pytest.mark.parametrize("network", [False, True], ids=["socket", "network"])
def test_connections_that_a_restart_of_redis_broke_fail_no_request(
    own_redis: RestartableRedis, tmp_path: Path, network: bool
) -> None:
    with serving(own_redis.tcp_url if network else own_redis.url, tmp_path) as site, site.client() as http:

        async def open_connections() -> None:
            await asyncio.gather(*(site.gateway.redis.ping() for _ in range(12)))
            assert len(await site.gateway.redis.client_list()) > 12

        assert http.get("/v1/jobs").status_code == 200
        site.run(open_connections())
        own_redis.kill()
        own_redis.start()
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda _: http.get("/v1/jobs").status_code, range(24)))
    assert answers == [200] * 24


def test_a_waiting_request_survives_a_restart_of_redis(own_redis: RestartableRedis, tmp_path: Path) -> None:
    answers: list[httpx2.Response] = []

    def ask() -> None:
        with site.client() as http:
            answers.append(http.post("/v1/classify", data={"labels": "a"}, files=FILE))

    with serving(own_redis.url, tmp_path) as site, answering(own_redis.url, lambda _: None) as worker:
        client = threading.Thread(target=ask)
        client.start()
        wait_until(lambda: bool(worker.seen))
        job = worker.job(worker.seen[0])
        time.sleep(1.1)  # the append-only file is written once a second: let the job reach it
        own_redis.kill()
        own_redis.start()
        assert worker.finish(job.id, classification(job))  # before or after the gateway listens again
        client.join(10)
    assert answers[0].status_code == 200
    assert answers[0].json()["id"] == job.id


def test_a_job_that_ends_while_the_subscription_is_lost_is_noticed(site: Site, redis_url: str) -> None:
    with answering(redis_url, lambda _: None) as worker, site.client() as http:
        detached = {"prefer": "respond-async"}
        job_id = http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers=detached).json()["id"]
        wait_until(lambda: bool(worker.seen))

        async def wait_while_cut_off() -> None:
            with site.gateway.waiter.expect(job_id) as done:
                await asyncio.to_thread(site.redis.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
                await asyncio.to_thread(worker.finish, job_id, classification(worker.job(job_id)))
                await asyncio.wait_for(done, 5)

        site.run(wait_while_cut_off())


def test_many_requests_wait_over_one_subscription(site: Site, redis_url: str) -> None:
    answers: list[int] = []

    def ask(label: str) -> None:
        with site.client() as http:
            answers.append(http.post("/v1/classify", data={"labels": label}, files=FILE).status_code)

    with answering(redis_url, lambda _: None) as worker:
        clients = [threading.Thread(target=ask, args=(f"label {i}",)) for i in range(40)]
        for client in clients:
            client.start()
        wait_until(lambda: len(worker.seen) == 40, 15)
        subscribed = [c for c in site.redis.client_list(_type="pubsub") if c["sub"] == "1"]
        assert len(subscribed) == 2  # one of the gateway, one of the double
        for job_id in worker.seen:
            worker.finish(job_id, classification(worker.job(job_id)))
        for client in clients:
            client.join(10)
    assert answers == [200] * 40


def test_requests_that_stop_waiting_leave_no_futures(site: Site) -> None:
    async def leave() -> None:
        with site.gateway.waiter.expect("job_x"), site.gateway.waiter.expect("job_x"):
            pass

    site.run(leave())
    assert site.gateway.waiter.waiting == 0
